"""`lamppost serve` with all its real processes: started, killed one by one, stopped, and killed itself."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet_server import broker_role, roles
from fleet_server import supervisor as supervisor_module
from fleet_server.broker_role import mosquitto_program
from fleet_server.config import load_config
from fleet_server.errors import ConfigurationError
from fleet_server.processes import is_alive
from fleet_server.setup_role import certify
from fleet_server.supervisor import Supervisor
from tests.support.serve import Serve
from tests.support.waiting import wait_until

AGAIN_S = 60.0
ROLES = ("database", "broker", "api", "ingest", "worker", "ui")

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """One whole server for the tests of this module that leave it as it was."""
    serve = Serve(tmp_path_factory.mktemp("city"))
    serve.start("--log-json")
    try:
        serve.wait_ready()
        yield serve
        assert serve.stop() == 0
    finally:
        serve.kill_all()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Serve]:
    serve = Serve(tmp_path)
    yield serve
    serve.kill_all()


def is_ready(serve: Serve) -> bool:
    try:
        with urllib.request.urlopen(f"{serve.api}/readyz", timeout=10) as answer:
            return bool(json.load(answer)["ready"])
    except OSError:
        return False


def test_every_role_is_a_process_of_its_own(city: Serve) -> None:
    state = city.state()
    assert tuple(state["roles"]) == ROLES
    pids = {role["pid"] for role in state["roles"].values()}
    assert len(pids | {state["supervisor"]}) == len(ROLES) + 1
    assert all(is_alive(pid) for pid in pids)
    wait_until(lambda: is_ready(city), 10, "/readyz to be 200")


@pytest.mark.parametrize("role", ROLES)
def test_a_killed_role_is_started_again_and_the_server_is_ready_again(city: Serve, role: str) -> None:
    killed = city.pid_of(role)
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: city.state()["roles"][role]["pid"] not in (killed, None), AGAIN_S, f"another {role}")
    wait_until(lambda: city.state()["ready"] and is_ready(city), AGAIN_S, "the server to be ready again")
    lines = [json.loads(line) for line in city.said().splitlines() if line.startswith("{")]
    told = [line["message"] for line in lines if line["role"] == "serve"]
    assert any(message.startswith(f"{role} was killed by SIGKILL; starting it again") for message in told)
    assert f"{role} works again" in told


def test_a_role_that_cannot_be_started_now_is_started_later_and_the_others_go_on(city: Serve) -> None:
    """As when the disk is full: nothing can be written for the role that died."""
    run = city.data / "run"
    aside = city.data / "run.aside"
    run.rename(aside)
    run.write_text("a file where the folder should be")
    before = city.state()
    os.kill(city.pid_of("worker"), signal.SIGKILL)
    wait_until(lambda: "worker cannot be started" in city.said(), AGAIN_S, "a start that fails")
    for role in ("database", "broker", "api", "ingest", "ui"):
        assert city.state()["roles"][role]["pid"] == before["roles"][role]["pid"]
    run.unlink()
    aside.rename(run)
    wait_until(lambda: city.state()["ready"], AGAIN_S, "the server to be ready again")


def test_every_line_is_an_event_in_json(city: Serve) -> None:
    lines = city.said().splitlines()
    assert lines
    for line in lines:
        event = json.loads(line)
        assert {"time", "level", "role", "logger", "message"} <= set(event)


def test_a_second_server_on_the_same_data_is_refused(city: Serve) -> None:
    status, said = city.run_once()
    assert status == 2
    assert "Another `lamppost serve` works in" in said
    assert len(said.splitlines()) == 1


def test_it_stops_in_order_and_starts_again_on_its_data(own: Serve) -> None:
    own.start()
    own.wait_ready()
    assert own.stop() == 0
    assert "an authority for city was made" in own.said()
    assert str(own.data / "authority" / "root") in own.said()
    assert not (own.data / "serve.json").exists()
    log = (own.data / "logs" / "database.log").read_text()
    assert "database system is shut down" in log
    assert "terminating connection" not in log  # it went last, when nobody used it any more
    before = own.said()
    own.start()
    own.wait_ready()
    assert own.stop() == 0
    assert "authority" not in own.said()[len(before) :]


def test_nothing_is_left_when_it_is_killed_itself(own: Serve) -> None:
    own.start()
    own.wait_ready()
    assert own.process is not None
    assert len(own.living()) > len(ROLES)
    own.process.kill()
    own.process.wait()
    wait_until(lambda: not own.living(), 60, "every process to follow the supervisor")


def test_nothing_is_left_when_it_is_killed_while_it_starts(own: Serve) -> None:
    own.start()
    wait_until(lambda: own.state().get("roles"), 60, "the first role")
    assert own.process is not None
    own.process.kill()
    own.process.wait()
    wait_until(lambda: not own.living(), 60, "every process to follow the supervisor")


def test_a_first_password_is_generated_and_shown_once(own: Serve) -> None:
    own.start("--role", "database")
    wait_until(lambda: (own.data / "postgres" / "postmaster.pid").exists(), 60, "the database")
    environment = {"LAMPPOST_ADMIN_PASSWORD": ""}
    assert own.run_once("--role", "setup", environment=environment)[0] == 2  # an empty one is no password

    said = _set_up_without_password(own)
    assert "Password, shown this once: " in said
    assert "Password" not in _set_up_without_password(own)
    assert own.stop() in (0, -signal.SIGTERM, -signal.SIGINT)


def _set_up_without_password(serve: Serve) -> str:
    environment = {k: v for k, v in serve.environment.items() if k != "LAMPPOST_ADMIN_PASSWORD"}
    done = subprocess.run(serve.command("--role", "setup"), capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_port_that_is_taken_is_one_clear_line(own: Serve) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", own.api_port))
        taken.listen()
        status, said = own.run_once()
    assert status == 2
    assert said.splitlines() == [
        f"lamppost serve: api.listen = 127.0.0.1:{own.api_port} cannot be listened on: another program "
        "listens there. Stop what listens there, or set api.listen to another port."
    ]


def test_a_data_folder_that_cannot_be_written_is_one_clear_line(own: Serve) -> None:
    own.data.write_text("a file where the folder should be")
    status, said = own.run_once()
    assert status == 2
    assert len(said.splitlines()) == 1
    assert f"data_dir = {own.data} cannot be written: File exists." in said
    assert "--data DIR" in said


def test_a_database_that_does_not_answer_is_one_clear_line_without_its_password(tmp_path: Path) -> None:
    own = Serve(tmp_path, database="postgresql://ada:tell-nobody@127.0.0.1:1/city")
    status, said = own.run_once()
    assert status == 2
    assert len(said.splitlines()) == 1
    assert "database.url = postgresql://ada:***@127.0.0.1:1/city does not take a connection" in said
    assert "tell-nobody" not in said


def test_a_wrong_configuration_is_one_clear_line(own: Serve) -> None:
    own.file.write_text("[api]\nlisten = 3\n")
    status, said = own.run_once()
    assert status == 2
    assert said.splitlines() == [
        f"lamppost serve: {own.file}: api.listen = 3 is wrong: allowed is an address with a port from 1 to "
        '65535, such as "127.0.0.1:8000" or "[::1]:8000".'
    ]


def test_a_missing_mosquitto_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(broker_role, "PLACES", ())
    monkeypatch.setattr(broker_role, "UNPACKED", ())
    with pytest.raises(ConfigurationError, match="apt-get install mosquitto"):
        mosquitto_program()


def test_explain_prints_the_documented_configuration(own: Serve) -> None:
    status, said = own.run_once("--explain")
    assert status == 0
    assert "[database]" in said


@pytest.mark.parametrize("part", ["api", "ui", "broker"])
def test_a_port_that_is_taken_since_the_first_look_is_told_by_the_last_line(
    part: str, own: Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The role's own refusal, without the roles that stand before it in a start."""
    config = load_config(own.file)
    certify(config)
    key, port = f"{part}.listen", config.broker.port
    if part == "broker":
        key = "broker.listen and broker.port"
    else:
        port = getattr(config, part).listen.port
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        supervisor = Supervisor(config, ["--config", str(own.file)])
        child = supervisor._child(roles.ROLES[part])
        monkeypatch.setattr(supervisor, "_stages", lambda: [[child]])
        assert supervisor._start() == 2
    wanted = f"{part} does not start. {key} = 127.0.0.1:{port} cannot be listened on: "
    assert wanted in caplog.messages[-1]
    assert f"Stop what listens there, or set {key} to another" in caplog.messages[-1]
    assert "Errno" not in caplog.messages[-1]
    assert child.reap(60.0)


def test_what_mosquitto_itself_says_of_its_start_is_told_and_not_waited_for(
    own: Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    config = load_config(own.file)
    certify(config)
    assert config.broker.server_socket is not None
    (config.broker.server_socket / "in the way").mkdir(parents=True)
    supervisor = Supervisor(config, ["--config", str(own.file)])
    child = supervisor._child(roles.BROKER)
    monkeypatch.setattr(supervisor, "_stages", lambda: [[child]])
    monkeypatch.setattr(supervisor_module, "START_TIMEOUT_S", AGAIN_S)
    assert supervisor._start() == 1
    told = caplog.messages[-1]
    assert told.startswith("broker ended 3 times as it started. Its last words: ")
    assert "Error binding unix socket: Address already in use. Mend" in told
    assert f"{config.data_dir}/logs/broker.log" in told
    assert child.reap(60.0)
