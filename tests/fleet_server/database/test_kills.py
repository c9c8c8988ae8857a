"""kill -9 in the middle of a backup and of a restore: what was there is there, and the next goes through."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import psycopg

from fleet_server import db_cli
from fleet_server.database.fingerprints import TableState, fingerprints
from fleet_server.database.manifest import manifest_of
from fleet_server.database.restore import restore
from fleet_server.database.state import database_of
from tests.fleet_server.database.conftest import Saved, databases
from tests.support.postgres import with_database
from tests.support.waiting import wait_until


def command(config: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "lamppost", "db", *arguments, "--config", str(config)]


def config_of(url: str, folder: Path) -> Path:
    file = folder / "server.toml"
    file.write_text(f'data_dir = "{folder}/data"\n[tenant]\nname = "city"\n[database]\nurl = "{url}"\n')
    return file


def test_a_killed_backup_leaves_none_and_the_next_clears_up(saved: Saved, tmp_path: Path) -> None:
    config, folder = config_of(saved.url, tmp_path), tmp_path / "backups"
    folder.mkdir()
    with psycopg.connect(saved.url) as holding:
        # pg_dump waits for it, and nobody else
        holding.execute("LOCK TABLE pg_largeobject_metadata IN ACCESS EXCLUSIVE MODE")
        running = subprocess.Popen(command(config, "backup", str(folder)))
        wait_until(lambda: list(folder.glob("*.part")), 30, "the backup has begun")
        running.send_signal(signal.SIGKILL)
        running.wait()
    left = [path.name for path in folder.iterdir()]
    assert [name.endswith(".part") for name in left] == [True]
    assert db_cli.main(["backup", str(folder), "--config", str(config)]) == 0
    (file,) = folder.glob("*.backup")
    assert sorted(folder.iterdir()) == sorted([file, manifest_of(file)])


def unaudited(connection: psycopg.Connection) -> dict[str, TableState]:
    """Every table but the audit log's, which tells of the restore itself."""
    return {
        name: state
        for name, state in fingerprints(connection).items()
        if not name.startswith("public.audit_")
    }


def test_a_killed_restore_leaves_the_old_one_and_the_next_clears_up(
    saved: Saved, fresh_url: str, tmp_path: Path
) -> None:
    name = database_of(fresh_url)
    restore(saved.made.file, fresh_url, lambda _: None, replace=False, use_timescale=False)
    with psycopg.connect(fresh_url) as connection:
        connection.execute("DELETE FROM batch")  # another than the backup's
        before = unaudited(connection)
    config = config_of(fresh_url, tmp_path)
    running = subprocess.Popen(
        command(config, "restore", str(saved.made.file), "--replace", "--yes"), stdout=subprocess.DEVNULL
    )
    (half,) = wait_until(lambda: databases(saved.server, f"{name}_restoring_"), 30, "the restore has begun")
    with psycopg.connect(
        with_database(saved.server, half)
    ):  # while somebody is in it, it cannot be swapped in
        running.send_signal(signal.SIGKILL)
        running.wait()
    assert databases(saved.server, name) == [name, half]
    with psycopg.connect(fresh_url) as connection:
        assert unaudited(connection) == before
    again = ["restore", str(saved.made.file), "--replace", "--yes", "--config", str(config)]
    assert db_cli.main(again) == 0
    with psycopg.connect(fresh_url) as connection:
        saved_tables = saved.made.manifest.tables
        assert unaudited(connection) == {name: saved_tables[name] for name in unaudited(connection)}
    assert half not in databases(saved.server, name)
