"""The embedded PostgreSQL: killed, stale, cut short, unreachable; always real."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from fleet_server.db import Database
from fleet_server.embedded import running_pid, socket_directory
from fleet_server.embedded_server import EmbeddedServer
from fleet_server.errors import ConfigurationError, DatabaseUnreachable
from fleet_server.processes import PARENT_VARIABLE, is_alive
from tests.support.waiting import wait_until


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    with EmbeddedServer(tmp_path / "data" / "postgres", {"track_commit_timestamp": "on"}) as running:
        yield running


def ask(url: str, question: str) -> object:
    with psycopg.connect(url, connect_timeout=30) as connection:
        row = connection.execute(question).fetchone()
        return row[0] if row else None


def test_keeps_what_was_committed_through_a_kill(server: EmbeddedServer) -> None:
    database = Database(server.url())
    with psycopg.connect(database.url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT generate_series(1, 1000) AS n")
    with database.session() as session:
        assert session.connection().exec_driver_sql("SELECT count(*) FROM kept").scalar() == 1000
    killed = server.pid
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: server.pid is None, 10, "the killed postmaster to be gone")
    with pytest.raises(DatabaseUnreachable), database.session() as session:
        session.connection().exec_driver_sql("SELECT 1")

    assert server.ensure_running()
    assert server.pid != killed

    with database.session() as session:  # the pool holds a dead connection, and must not hand it out
        assert session.connection().exec_driver_sql("SELECT count(*) FROM kept").scalar() == 1000
    database.close()


def test_syncs_to_disk_and_listens_on_its_socket_only(server: EmbeddedServer) -> None:
    assert ask(server.url(), "SHOW fsync") == "on"
    assert ask(server.url(), "SHOW full_page_writes") == "on"
    assert ask(server.url(), "SHOW listen_addresses") == ""
    assert ask(server.url(), "SHOW timezone") == "UTC"
    assert ask(server.url(), "SHOW track_commit_timestamp") == "on"
    sockets = socket_directory(server.directory)
    assert sockets.stat().st_mode & 0o077 == 0


def test_a_stop_leaves_no_process_and_starts_clean(server: EmbeddedServer) -> None:
    pid = server.pid
    assert pid is not None
    server.stop()
    assert not is_alive(pid)
    assert running_pid(server.directory) is None
    server.start()
    log = server.directory.with_name("postgres.log").read_text()
    assert "not properly shut down" not in log


def test_a_stale_pid_file_of_a_living_stranger_does_not_stop_a_start(server: EmbeddedServer) -> None:
    server.stop()
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        (server.directory / "postmaster.pid").write_text(f"{stranger.pid}\n{server.directory}\n1\n5432\n")
        server.start()
        assert ask(server.url(), "SELECT 1") == 1
    finally:
        stranger.kill()
        stranger.wait()


def test_a_pid_file_cut_short_by_a_power_loss_does_not_stop_a_start(server: EmbeddedServer) -> None:
    server.stop()
    (server.directory / "postmaster.pid").write_text("")
    server.start()
    assert ask(server.url(), "SELECT 1") == 1


def test_a_second_server_on_the_same_folder_is_refused(server: EmbeddedServer) -> None:
    with pytest.raises(ConfigurationError, match=r"runs on .* already"):
        _start_and_stop(server.directory)
    assert ask(server.url(), "SELECT 1") == 1


def _start_and_stop(directory: Path) -> None:
    second = subprocess.run(
        [sys.executable, "-m", "fleet_server.embedded", str(directory)], capture_output=True, text=True
    )
    if second.returncode == 2:
        raise ConfigurationError(second.stderr)


def test_a_folder_with_other_things_in_it_is_refused_and_untouched(tmp_path: Path) -> None:
    folder = tmp_path / "postgres"
    folder.mkdir()
    (folder / "holiday.txt").write_text("photos")
    with pytest.raises(ConfigurationError, match="is not empty and holds no PostgreSQL"):
        EmbeddedServer(folder).start()
    assert [entry.name for entry in folder.iterdir()] == ["holiday.txt"]


def test_another_version_is_refused_by_name(tmp_path: Path) -> None:
    folder = tmp_path / "postgres"
    folder.mkdir()
    (folder / "PG_VERSION").write_text("12\n")
    with pytest.raises(ConfigurationError, match="made by PostgreSQL 12, and this is PostgreSQL 18"):
        EmbeddedServer(folder).start()


def test_a_set_up_that_was_interrupted_is_made_again(tmp_path: Path) -> None:
    half = tmp_path / "postgres.making"
    half.mkdir()
    (half / "PG_VERSION").write_text("18\n")
    with EmbeddedServer(tmp_path / "postgres") as server:
        assert ask(server.url(), "SELECT current_database()") == "lamppost"
    assert not half.exists()


def test_a_path_too_long_for_a_socket_works(tmp_path: Path) -> None:
    folder = tmp_path / ("a" * 60) / ("b" * 60) / "postgres"
    folder.parent.mkdir(parents=True)
    with EmbeddedServer(folder) as server:
        assert ask(server.url(), "SELECT 1") == 1
        assert socket_directory(folder) != folder.resolve()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to give up its rights")
def test_started_by_root_it_runs_as_somebody_else_and_opens_no_parent_folder(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with EmbeddedServer(closed / "postgres") as server:
        status = Path(f"/proc/{server.pid}/status").read_text()
        uid = next(line.split()[1] for line in status.splitlines() if line.startswith("Uid:"))
        assert uid != "0"
    assert closed.stat().st_mode & 0o777 == 0o700


def test_postgres_ends_when_its_starter_is_killed(tmp_path: Path) -> None:
    starter = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, time; from pathlib import Path\n"
            "from fleet_server.embedded_server import EmbeddedServer\n"
            "server = EmbeddedServer(Path(sys.argv[1])); server.start()\n"
            "print(server.pid, flush=True); time.sleep(600)",
            str(tmp_path / "postgres"),
        ],
        stdout=subprocess.PIPE,
        text=True,
        env={k: v for k, v in os.environ.items() if k != PARENT_VARIABLE},
    )
    assert starter.stdout is not None
    pid = int(starter.stdout.readline())
    assert is_alive(pid)
    starter.kill()
    starter.wait()
    starter.stdout.close()
    wait_until(lambda: not is_alive(pid), 20, "PostgreSQL to end after its starter")
