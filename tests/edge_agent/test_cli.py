"""The commands as a technician types them: doctor, install, status, spool; the daemon as a process."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent import cli
from edge_agent.config import load
from firmware_bridge.kinds import SensorKind
from tests.edge_agent.making import ADDRESS, counting, on_broker, running
from tests.support.acking_server import AckingServer
from tests.support.mosquitto import IdentityFiles, MosquittoBroker
from tests.support.waiting import wait_until
from wire_contract.messages import Presence


@pytest.fixture
def server(broker: MosquittoBroker) -> Iterator[AckingServer]:
    made = AckingServer.on(broker).start()
    yield made
    made.stop()


def write_config(folder: Path, port: int, identity: IdentityFiles | None, sensor_port: str) -> Path:
    files = ""
    if identity:
        files = (
            f'ca_file = "{identity.ca}"\ncertificate_file = "{identity.certificate}"\n'
            f'key_file = "{identity.key}"\n'
        )
    path = folder / "agent.toml"
    path.write_text(
        f'[device]\ntenant = "{ADDRESS.tenant}"\nname = "{ADDRESS.device}"\ndata_dir = "{folder}/data"\n'
        f'[server]\nhost = "127.0.0.1"\nport = {port}\n{files}'
        f'[[sensor]]\nname = "front"\nkind = "sds011"\nport = "{sensor_port}"\nevery_s = 1\n'
        "[telemetry]\nflush_interval_s = 1\n[bench]\nbackoff_max_s = 0.5\n"
    )
    return path


@pytest.fixture
def sensor_port(tmp_path: Path) -> Iterator[str]:
    """An emulated SDS011 on a pseudo-terminal, in a process of its own."""
    link = tmp_path / "sds"
    plan = tmp_path / "plan.json"
    unit = {
        "name": "front", "kind": "sds011", "link": str(link), "ledger": str(tmp_path / "ledger.jsonl"),
        "seed": 1, "scene": {"type": "synthetic"}, "position": [0, 0], "serial": None, "history": None,
    }  # fmt: skip
    plan.write_text(json.dumps({"clock": None, "units": [unit]}))
    emulator = subprocess.Popen(
        [sys.executable, "-m", "lamppost", "sensors", "emulate", "--plan", str(plan)],
        stdout=subprocess.DEVNULL,
    )
    wait_until(link.exists, 20, "the emulated sensor")
    yield str(link)
    emulator.terminate()
    emulator.wait(30)


def doctor(path: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, dict[str, object]]]:
    status = cli.main(["doctor", "--config", str(path), "--json"])
    return status, {check["name"]: check for check in json.loads(capsys.readouterr().out)}


def test_doctor_finds_nothing_wrong_where_nothing_is(
    tmp_path: Path,
    broker: MosquittoBroker,
    server: AckingServer,
    sensor_port: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = write_config(tmp_path, broker.port, broker.device_identity(ADDRESS), sensor_port)
    status, checks = doctor(path, capsys)
    assert status == 0, checks
    assert {"configuration", "clock", "disk", "certificate", "broker", "server", "sensor front"} <= set(
        checks
    )
    assert "pm2_5" in str(checks["sensor front"]["detail"])


def test_doctor_names_each_problem_and_its_remedy(
    tmp_path: Path, broker: MosquittoBroker, capsys: pytest.CaptureFixture[str]
) -> None:
    identity = broker.device_identity(ADDRESS)
    identity.key.chmod(0o644)
    path = write_config(tmp_path, broker.port, identity, "/dev/not-there")
    status, checks = doctor(path, capsys)
    assert status == 1
    assert not checks["server"]["ok"], "nobody answers behind this broker"
    assert not checks["key"]["ok"]
    assert not checks["sensor front"]["ok"]
    assert all(check["remedy"] for check in checks.values() if not check["ok"])
    assert checks["broker"]["ok"]


def test_doctor_without_a_certificate_says_how_to_get_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_config(tmp_path, 1, None, "/dev/not-there")
    assert cli.main(["doctor", "--config", str(path)]) == 1
    told = capsys.readouterr().out
    assert "PROBLEM  certificate" in told
    assert "lamppost agent enrol" in told


def test_doctor_of_a_device_whose_certificate_ran_out(
    tmp_path: Path, broker: MosquittoBroker, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_config(tmp_path, broker.port, broker.expired_identity(ADDRESS), "/dev/not-there")
    status, checks = doctor(path, capsys)
    assert status == 1
    assert "expired 10 days ago" in str(checks["certificate"]["detail"])


def test_doctor_of_a_wrong_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "agent.toml"
    path.write_text("[device]\nnome = 'x'\n")
    status, checks = doctor(path, capsys)
    assert status == 1
    assert "did you mean name?" in str(checks["configuration"]["detail"])


def test_doctor_takes_the_running_agents_word_on_the_sensors(
    tmp_path: Path, broker: MosquittoBroker, server: AckingServer, capsys: pytest.CaptureFixture[str]
) -> None:
    config = on_broker(tmp_path, broker)
    path = write_config(tmp_path, broker.port, broker.device_identity(ADDRESS), "/dev/test0")
    with running(config, counting(SensorKind.SDS011)) as agent:
        server.wait_samples(1)
        agent._status.write()
        _, checks = doctor(path, capsys)
    assert checks["sensor front"]["ok"]
    assert "running agent" in str(checks["sensor front"]["detail"])


@pytest.mark.system
def test_the_daemon_samples_delivers_and_stops_in_order(
    tmp_path: Path, broker: MosquittoBroker, server: AckingServer, sensor_port: str
) -> None:
    path = write_config(tmp_path, broker.port, broker.device_identity(ADDRESS), sensor_port)
    command = [sys.executable, "-m", "lamppost", "agent"]
    with (tmp_path / "daemon.log").open("w") as log:
        daemon = subprocess.Popen([*command, "run", "--config", str(path)], stderr=log)
    server.wait_samples(3)
    told = json.loads(subprocess.check_output([*command, "spool", "--config", str(path), "--json"]))
    assert told["classes"]["live"]["samples"] >= 3
    daemon.send_signal(signal.SIGUSR1)
    status = tmp_path / "data" / "status.json"
    wait_until(lambda: json.loads(status.read_text())["sampling"] is False, 15, "sampling to end")
    spooled = sum(json.loads(status.read_text())["spooled"].values())
    server.wait_samples(spooled)
    assert daemon.poll() is None, "it goes on draining"
    assert "nothing is wrong" in subprocess.check_output(
        [*command, "status", "--config", str(path)], text=True
    )
    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait(30) == 0
    assert len(server.samples()) == sum(json.loads(status.read_text())["spooled"].values()) >= spooled
    sent = [
        tuple(json.loads(line)["values"]) for line in (tmp_path / "ledger.jsonl").read_text().splitlines()
    ]
    stored = [values for *_, values, _ in sorted(server.samples(), key=lambda sample: sample[1])]
    # The sensor streams: frames before the agent listened and after it stopped are nobody's. None between.
    runs = (sent[i : i + len(stored)] for i in range(len(sent) - len(stored) + 1))
    assert stored in runs, (sent, stored)


@pytest.mark.chaos
def test_kill_9_of_the_daemon_speaks_the_will_and_loses_nothing_spooled(
    tmp_path: Path, broker: MosquittoBroker, server: AckingServer, sensor_port: str
) -> None:
    path = write_config(tmp_path, broker.port, broker.device_identity(ADDRESS), sensor_port)
    command = [sys.executable, "-m", "lamppost", "agent", "run", "--config", str(path)]
    daemon = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    server.wait_samples(2)
    server.hold_acks = True
    held = len(server.samples())
    wait_until(lambda: len(server.samples()) > held, 15, "samples not acknowledged")
    daemon.kill()
    daemon.wait(30)
    wait_until(lambda: not server.presences[-1].online, 20, "the will")
    born, gone = _last(server, True), _last(server, False)
    assert gone.session == born.session
    server.release_acks()
    again = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    count = len(server.samples())
    server.wait_samples(count + 2)
    again.send_signal(signal.SIGTERM)
    assert again.wait(30) == 0
    assert _last(server, True).session > gone.session
    sent = [
        tuple(json.loads(line)["values"]) for line in (tmp_path / "ledger.jsonl").read_text().splitlines()
    ]
    stored = [values for *_, values, _ in server.samples()]
    assert len(stored) == len(set((unit, time_ms) for unit, time_ms, *_ in server.samples())), "none twice"
    assert server.reformed() == 0
    assert len(sent) - len(stored) <= 5, "at most what five seconds had not yet put on the disk"


def _last(server: AckingServer, online: bool) -> Presence:
    return next(each for each in reversed(server.presences) if each.online == online)


def test_install_writes_a_hardened_unit_below_a_root(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_config(tmp_path, 1, None, "/dev/x")
    path.write_text(path.read_text().replace(f"{tmp_path}/data", "/var/lib/lamppost"))
    root = tmp_path / "image"
    assert cli.main(["install", "--config", str(path), "--root", str(root)]) == 0
    unit = (root / "etc/systemd/system/lamppost-agent.service").read_text()
    assert "@" not in unit.replace("@system-service", "")
    for line in (
        "Type=notify", "WatchdogSec=60", "Restart=always", "StateDirectory=lamppost", "User=lamppost",
        "NoNewPrivileges=yes", "ProtectSystem=strict", "SupplementaryGroups=dialout",
        "CapabilityBoundingSet=",
    ):  # fmt: skip
        assert line in unit.splitlines()
    wanted = root / "etc/systemd/system/multi-user.target.wants/lamppost-agent.service"
    assert wanted.resolve() == (root / "etc/systemd/system/lamppost-agent.service").resolve()
    capsys.readouterr()
    assert cli.main(["install", "--config", str(path), "--print"]) == 0
    assert capsys.readouterr().out == unit


def test_install_refuses_a_strange_user(tmp_path: Path) -> None:
    path = write_config(tmp_path, 1, None, "/dev/x")
    assert cli.main(["install", "--config", str(path), "--print", "--user", "root; rm"]) == cli.WRONG_INPUT


@pytest.mark.parametrize(
    "command", ["run", "doctor", "enrol", "status", "spool", "rehearse", "install", "config"]
)
def test_help_shows_how(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main([command, "--help"])
    assert caught.value.code == 0
    assert "--config" in capsys.readouterr().out


def test_a_wrong_configuration_is_two_and_a_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["run", "--config", str(tmp_path / "none.toml")]) == cli.WRONG_INPUT
    assert "there is no such file" in capsys.readouterr().err


MINIMAL = '[device]\ntenant = "city"\nname = "post-1"\ndata_dir = "data"\n[server]\nhost = "127.0.0.1"\n'
CLAIM = '[enrolment]\nurl = "https://127.0.0.1:1"\nclaim = "ab.cd"\nca_file = "{}"\n'


@pytest.mark.parametrize(
    ("more", "enrolled", "options", "told"),
    [
        (
            CLAIM.format("none.pem"),
            False,
            [],
            "[enrolment] ca_file = '{tmp}/none.pem': there is no such file",
        ),
        (CLAIM.format("/none.pem"), False, [], "[enrolment] ca_file = '/none.pem': there is no such file"),
        (CLAIM.format("there.pem"), False, [], ""),
        (CLAIM.format("none.pem"), True, [], ""),
        (CLAIM.format("none.pem"), False, ["--elsewhere"], ""),
        (CLAIM.format(""), False, [], ""),
        (CLAIM.format("none.pem").replace("ab.cd", ""), False, [], ""),
        ('[[sensor]]\nname = "pm"\nkind = "pms500"\nport = "/dev/x"\n', False, [], "did you mean pms5003?"),
    ],
)
def test_config_finds_what_the_first_start_would_miss(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    more: str,
    enrolled: bool,
    options: list[str],
    told: str,
) -> None:
    """Asked from another folder than the file's: a relative path counts from the file."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    (tmp_path / "there.pem").touch()
    (tmp_path / "agent.toml").write_text(MINIMAL + more)
    if enrolled:
        (tmp_path / "data" / "identity").mkdir(parents=True)
        (tmp_path / "data" / "identity" / "device.pem").touch()
    status = cli.main(["config", "--config", "../agent.toml", "--json", *options])
    said = json.loads(capsys.readouterr().out)
    assert status == (cli.WRONG_INPUT if told else 0)
    if told:
        assert told.format(tmp=tmp_path / "elsewhere" / "..") in said["detail"]
    else:
        assert said == {"file": "../agent.toml", "well": True, "sensors": []}


def test_what_config_names_counts_from_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "agent.toml").write_text(
        MINIMAL + 'ca_file = "/etc/ca.pem"\n[model]\ndirectory = "m"\n[bench]\nclock_file = "clock"\n'
    )
    monkeypatch.chdir(tmp_path.parent)
    config = load(Path(tmp_path.name) / "agent.toml")
    assert (config.data_dir, config.ca_file) == (tmp_path / "data", Path("/etc/ca.pem"))
    assert (config.model.directory, config.bench.clock_file) == (f"{tmp_path}/m", f"{tmp_path}/clock")
    assert config.certificate_file == tmp_path / "data" / "identity" / "device.pem", "empty stays empty"


def test_what_install_and_rehearse_did_is_told_as_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "agent.toml").write_text(MINIMAL)
    options = ["--config", str(tmp_path / "agent.toml"), "--json"]
    assert cli.main(["install", *options, "--root", str(tmp_path / "image")]) == 0
    told = json.loads(capsys.readouterr().out)
    assert str(tmp_path / "data") in told["unit"]
    assert told["done"][0] == f"wrote {tmp_path}/image/etc/systemd/system/lamppost-agent.service"
    assert cli.main(["rehearse", *options, "--hours", "1", "--until-ms", "1795219200000"]) == 0
    assert json.loads(capsys.readouterr().out) == {"spooled": 0}


def test_the_running_agent_imports_no_cryptography_numpy_or_asyncio() -> None:
    """What it costs in memory is decided by what it imports."""
    program = (
        "import sys, edge_agent.cli, edge_agent.app, firmware_bridge.serial_sensor;"
        "print([m for m in ('cryptography', 'numpy', 'asyncio', 'fastapi', 'sqlmodel') if m in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "[]"
