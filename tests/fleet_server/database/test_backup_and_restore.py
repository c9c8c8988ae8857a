"""The drill: a city that goes on writing is saved, brought back elsewhere, and is the same."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import msgspec
import psycopg
import pytest

from fleet_server.config import RetentionConfig
from fleet_server.database import looking
from fleet_server.database import manifest as manifests
from fleet_server.database import restore as restoring
from fleet_server.database.backup import back_up
from fleet_server.database.errors import BackupUnusable, DatabaseOccupied
from fleet_server.database.findings import all_sound
from fleet_server.database.fingerprints import TableState, fingerprints
from fleet_server.database.manifest import Manifest, manifest_of
from fleet_server.database.restore import restore
from fleet_server.database.state import database_of
from fleet_server.errors import ConfigurationError, Conflict
from fleet_server.telemetry import timescale
from fleet_server.telemetry.upkeep.retain import retain
from tests.fleet_server.database.conftest import HOURS, POSTS, Saved, databases, drop
from tests.fleet_server.telemetry.stores import ENGINES, Store, assert_all_agree, opened, stored
from tests.fleet_server.telemetry.support import MINUTE_MS, NOW, NOW_MS, Desk, Post
from tests.support.postgres import with_database
from tests.support.waiting import wait_until
from wire_contract.classes import Class

_OF = "SELECT 1 FROM pg_stat_activity WHERE datname = %s AND backend_type = 'client backend'"


def quiet(_: str) -> None:
    """Nobody reads the progress."""


def states(url: str) -> dict[str, TableState]:
    with psycopg.connect(url) as connection:
        return fingerprints(connection)


def test_a_city_that_goes_on_writing_is_saved_and_comes_back_the_same(
    saved: Saved, fresh_url: str, tmp_path: Path
) -> None:
    writer, post, stop, wrote = Desk(saved.url), Post("writer"), threading.Event(), threading.Event()
    writer.register(post)
    writer.take(post.declare())

    def write() -> None:
        at = NOW_MS
        while not stop.is_set():
            at += MINUTE_MS
            writer.take(post.publish(Class.LIVE, post.samples([at])))
            wrote.set()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        assert wrote.wait(60)
        made = back_up(saved.url, tmp_path, "city", (), quiet)
    finally:
        stop.set()
        thread.join()
    writer.take(post.publish(Class.LIVE, post.samples([NOW_MS + 10_000 * MINUTE_MS])))
    assert writer.one("SELECT count(*) FROM sample") > POSTS * HOURS * 60

    done = restore(made.file, fresh_url, quiet, replace=False, use_timescale=False)

    assert done.put_aside is None
    assert states(fresh_url) == made.manifest.tables
    live, back = states(saved.url), states(fresh_url)
    assert {n for n in live if live[n] != back[n]} >= {"public.batch", "public.unit_minute"} & set(live)
    assert live["public.batch"].rows > back["public.batch"].rows, "what came after the snapshot is not in it"
    found = looking.look_at_database(fresh_url, quiet, NOW, everything=True)
    assert all_sound(found), found
    assert all_sound(looking.look_at_database(saved.url, quiet, NOW, everything=False))
    writer.close()


def test_a_month_that_falls_due_meanwhile_stays_until_it_is_counted(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pg_dump's own locks end with it; a dropped partition is gone from every snapshot."""
    monkeypatch.setattr("fleet_server.telemetry.upkeep.retain.WAIT_FOR_READERS", "20ms")
    desk, post = Desk(database_url), Post()
    desk.register(post)
    times = [NOW_MS - days * 1440 * MINUTE_MS for days in (200, 150, 0)]
    desk.take(post.declare(), post.publish(Class.HISTORY, post.samples(times)))
    keep = RetentionConfig(90, 90, 90, 90, 90, 90, 90, 90)
    before = states(database_url)

    def clean(told: str) -> None:
        if told == "counting alembic_version":  # the first: pg_dump has ended
            retain(desk.connection, keep, NOW)

    made = back_up(database_url, tmp_path, "city", (), clean)
    assert made.manifest.tables["public.sample_standard"].rows == 3
    assert made.manifest.tables == before
    assert desk.one("SELECT count(*) FROM sample") == 3
    retain(desk.connection, keep, NOW)
    assert desk.one("SELECT count(*) FROM sample") == 1, "it was due"
    desk.close()


def _truncate(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.truncate(file.stat().st_size - 100)


def _flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def _forged(change: Callable[[Manifest], Manifest], *, seal: bool) -> Callable[[Path], None]:
    def forge(file: Path) -> None:
        changed = change(manifests.read(file))
        changed = changed.sealed() if seal else changed
        manifest_of(file).write_bytes(msgspec.json.encode(changed))

    return forge


def _another_hash(manifest: Manifest) -> Manifest:
    return msgspec.structs.replace(manifest, sha256="0" * 64)


def _another_row(manifest: Manifest) -> Manifest:
    state = manifest.tables["public.batch"]
    tables = {**manifest.tables, "public.batch": msgspec.structs.replace(state, fingerprint="1")}
    return msgspec.structs.replace(manifest, tables=tables)


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated": (_truncate, "is cut short"),
    "longer": (lambda file: file.write_bytes(file.read_bytes() + b"x"), "is too long"),
    "one bit": (_flip, "is damaged"),
    "gone": (lambda file: file.unlink(), "There is no backup"),
    "no manifest": (lambda file: manifest_of(file).unlink(), "is missing"),
    "garbage": (lambda file: manifest_of(file).write_bytes(b"\xff{"), "is no manifest"),
    "not an object": (lambda file: manifest_of(file).write_bytes(b"[1]"), "is no manifest"),
    "edited": (_forged(_another_hash, seal=False), "was changed"),
    "of another file": (_forged(_another_hash, seal=True), "is damaged"),
    "of a newer program": (
        _forged(lambda m: msgspec.structs.replace(m, schema="9999"), seal=True),
        "is of schema step 9999",
    ),
    "another format": (_forged(lambda m: msgspec.structs.replace(m, format=2), seal=True), "is of format 2"),
    "other rows": (_forged(_another_row, seal=True), "batch has"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_damaged_is_refused_by_name_and_nothing_is_touched(
    saved: Saved, tmp_path: Path, damage: str
) -> None:
    file = tmp_path / saved.made.file.name
    for path in (saved.made.file, manifest_of(saved.made.file)):
        shutil.copy(path, tmp_path)
    spoil, words = DAMAGES[damage]
    spoil(file)
    before = states(saved.url)
    with pytest.raises(BackupUnusable) as refused:
        restore(file, saved.url, quiet, replace=True, use_timescale=False)
    assert words in str(refused.value)
    assert file.name in str(refused.value)
    assert states(saved.url) == before
    assert databases(saved.server, database_of(saved.url)) == [database_of(saved.url)]


def of_timescale(saved: Saved, folder: Path) -> Path:
    """A copy of the backup that says it is of TimescaleDB."""
    for path in (saved.made.file, manifest_of(saved.made.file)):
        shutil.copy(path, folder)
    file = folder / saved.made.file.name
    _forged(lambda m: msgspec.structs.replace(m, timescaledb="0.0.1"), seal=True)(file)
    return file


def test_who_is_no_superuser_is_told_so_before_a_database_of_timescaledb_is_restored(
    saved: Saved, fresh_url: str, tmp_path: Path
) -> None:
    file = of_timescale(saved, tmp_path)
    with psycopg.connect(saved.server, autocommit=True) as keeper:
        keeper.execute("CREATE ROLE \"Plain one\" LOGIN CREATEDB PASSWORD 'plain'")
        try:
            plain = urlsplit(fresh_url)
            host = plain.netloc.rpartition("@")[2]
            url = urlunsplit(plain._replace(netloc=f"Plain%20one:plain@{host}"))
            with pytest.raises(ConfigurationError, match="only a superuser") as refused:
                restore(file, url, quiet, replace=False, use_timescale=False)
        finally:
            keeper.execute('DROP ROLE "Plain one"')
    assert 'ALTER ROLE "Plain one" SUPERUSER;' in str(refused.value.remedy)
    with pytest.raises(ConfigurationError, match="does not offer"):
        restore(file, fresh_url, quiet, replace=False, use_timescale=False)


def test_what_the_server_refuses_is_told_in_its_words_and_leaves_nothing(
    saved: Saved, fresh_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = of_timescale(saved, tmp_path)
    monkeypatch.setattr("fleet_server.database.restore._check_server", lambda *_: None)
    with pytest.raises(ConfigurationError, match=r"refuses to restore .*timescaledb"):
        restore(file, fresh_url, quiet, replace=False, use_timescale=False)
    assert databases(saved.server, database_of(fresh_url)) == []


def test_a_full_database_is_put_aside_only_when_told_and_unused(
    saved: Saved, fresh_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fleet_server.database.restore.LEAVING_S", 0.3)
    restore(saved.made.file, fresh_url, quiet, replace=False, use_timescale=False)
    with pytest.raises(DatabaseOccupied, match="not empty"):
        restore(saved.made.file, fresh_url, quiet, replace=False, use_timescale=False)
    with (
        psycopg.connect(fresh_url, application_name="a page"),
        pytest.raises(DatabaseOccupied, match="a page"),
    ):
        restore(saved.made.file, fresh_url, quiet, replace=True, use_timescale=False)
    with psycopg.connect(fresh_url) as connection:
        connection.execute("DELETE FROM batch")
    done = restore(saved.made.file, fresh_url, quiet, replace=True, use_timescale=False)
    assert databases(saved.server, database_of(fresh_url)) == sorted(
        [database_of(fresh_url), str(done.put_aside)]
    )
    assert states(fresh_url) == saved.made.manifest.tables


# As far as the loader of TimescaleDB matters here: who renames a database stops its jobs, and only this
# function starts them. It is in the backup, as an extension's would not be.
_JOBS = """
CREATE SCHEMA _timescaledb_functions;
CREATE TABLE _timescaledb_functions.started (database name);
CREATE FUNCTION _timescaledb_functions.start_background_workers() RETURNS boolean LANGUAGE sql
AS $$ INSERT INTO _timescaledb_functions.started VALUES (current_database()) RETURNING true $$;
"""


def test_the_jobs_of_timescaledb_run_again_under_the_name_that_was_given(
    database_url: str, fresh_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute(_JOBS.encode())
    made = back_up(database_url, tmp_path, "city", (), quiet)
    restore(made.file, fresh_url, quiet, replace=False, use_timescale=False)
    name = database_of(fresh_url)
    started = "SELECT database FROM _timescaledb_functions.started"
    with psycopg.connect(fresh_url, autocommit=True) as connection:
        assert connection.execute(started).fetchall() == [(name,)]
        with pytest.raises(DatabaseOccupied), restoring._awake_again(fresh_url, exists=True):
            raise DatabaseOccupied("Somebody reads.")
        assert len(connection.execute(started).fetchall()) == 2
        connection.execute("DROP TABLE _timescaledb_functions.started")
        with restoring._awake_again(fresh_url, exists=True):
            assert not caplog.records, "nothing was refused until now"
    assert f"jobs do not run in {name}" in caplog.text


def test_a_scheduler_of_timescaledb_uses_no_database(database_url: str) -> None:
    """Who is no superuser sees only what it calls itself."""
    name = database_of(database_url)
    with psycopg.connect(with_database(database_url, "postgres"), autocommit=True) as keeper:
        for called, users in (("a page", ["a page"]), (restoring.SCHEDULER, [])):
            with psycopg.connect(database_url, application_name=called):
                assert restoring._users(keeper, name) == users
            wait_until(lambda: not keeper.execute(_OF, (name,)).fetchall(), 10, "it to leave")


def test_backups_take_turns_and_keep_to_their_number(saved: Saved, tmp_path: Path) -> None:
    (tmp_path / "lamppost-city-19990101T000000Z.backup.part").write_bytes(b"cut off")
    (tmp_path / "lamppost-city-19990101T000000Z.backup").write_bytes(b"never finished")
    (tmp_path / "lamppost-other-19990101T000000Z.backup").write_bytes(b"another city's")
    made = [
        back_up(saved.url, tmp_path, "city", (), quiet, keep=2, begun=NOW + timedelta(days=day))
        for day in range(3)
    ]
    assert made[2].removed == (made[0].file,)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [
            "lamppost-city-19990101T000000Z.backup",
            "lamppost-other-19990101T000000Z.backup",
            *(name for each in made[1:] for name in (each.file.name, manifest_of(each.file).name)),
        ]
    )
    with pytest.raises(Conflict, match="is there already"):
        back_up(saved.url, made[2].file, "city", (), quiet)
    with pytest.raises(ConfigurationError, match="no folder"):
        back_up(saved.url, tmp_path / "nowhere" / "file", "city", (), quiet)
    assert made[2].file.stat().st_mode & 0o077 == 0, "nobody else may read it"


def test_a_backup_is_looked_at_without_a_restore_and_with_one(saved: Saved, tmp_path: Path) -> None:
    assert all_sound(looking.look_at_backup(saved.made.file, quiet, drill=False))
    drilled = looking.look_at_backup(saved.made.file, quiet, drill=True)
    assert drilled[-1].detail.startswith("restored"), drilled
    for path in (saved.made.file, manifest_of(saved.made.file)):
        shutil.copy(path, tmp_path)
    file = tmp_path / saved.made.file.name
    _flip(file)
    assert not all_sound(looking.look_at_backup(file, quiet, drill=False))


def test_a_drill_on_a_server_leaves_nothing_there(saved: Saved) -> None:
    with psycopg.connect(saved.server, autocommit=True) as keeper:
        keeper.execute(
            f"CREATE DATABASE {looking.DRILL} TEMPLATE template0".encode()
        )  # of one that was killed
    drilled = looking.look_at_backup(saved.made.file, quiet, drill=True, on=saved.server)
    assert drilled[-1].detail.startswith("restored"), drilled
    assert databases(saved.server, looking.DRILL) == []


def test_a_drill_that_cannot_be_done_is_no_proof(saved: Saved, tmp_path: Path) -> None:
    file = of_timescale(saved, tmp_path)
    assert all_sound(looking.look_at_backup(file, quiet, drill=False))
    found = looking.look_at_backup(file, quiet, drill=True)
    assert not all_sound(found)
    assert "--on postgresql://" in found[-1].remedy
    gone = looking.look_at_backup(file, quiet, drill=True, on="postgresql://x@127.0.0.1:1/x")
    assert not all_sound(gone)
    assert "does not answer" in gone[-1].detail


@pytest.mark.parametrize("engine", [ENGINES[0], ENGINES[2]])
def test_every_store_comes_back_with_its_rollups_and_goes_on(
    engine: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Compressed chunks, aggregates and policies with it; older than its policies keep."""
    keep = RetentionConfig(*[20] * 8)
    with opened(engine, request, monkeypatch) as store:
        post = Post()
        store.desk.register(post)
        store.desk.connection.execute("UPDATE device SET district = 'Harbour'")
        times = [NOW_MS - quarter * 360 * MINUTE_MS for quarter in range(4 * 45, 0, -1)]
        store.desk.take(post.declare(), post.publish(Class.HISTORY, post.samples(times)))
        store.settle()
        store.compress()
        if engine == "timescale":
            for table in timescale.TABLES:
                timescale.keep_policy(store.desk.connection, table, 20)
        rollups = {view: stored(store.desk, view) for view in ("rollup_1m", "rollup_1h", "rollup_1d")}
        made = back_up(store.url, tmp_path, "city", (), quiet)
        assert (made.manifest.timescaledb is None) == (engine == "partitions")
        server = with_database(store.url, "postgres")
        url = with_database(store.url, f"lamppost_again_{os.getpid()}")
        try:
            restore(made.file, url, quiet, replace=False, use_timescale=engine == "timescale")
            assert states(url) == made.manifest.tables
            back = Desk(url)
            if engine == "timescale":
                asleep = (
                    "SELECT count(*) FROM timescaledb_information.jobs WHERE job_id >= 1000 AND scheduled"
                )
                assert back.one(asleep) == 0, "as it was saved"
            again = Store(engine, url, back)
            assert timescale.aggregates(back.connection) == (engine == "timescale")
            assert {view: stored(back, view) for view in rollups} == rollups
            found = looking.look_at_database(url, quiet, NOW, everything=True)
            assert all_sound(found), found
            late = post.publish(Class.HISTORY, post.samples([times[3] + 7 * MINUTE_MS, NOW_MS]))
            assert back.take(late).counts["samples"] == 2
            again.settle()
            assert_all_agree(back)
            while retain(back.connection, keep, NOW):
                pass
            assert all_sound(looking.look_at_database(url, quiet, NOW, everything=True))
            back.close()
            if engine == "timescale":
                drilled = looking.look_at_backup(made.file, quiet, drill=True, on=server)
                assert drilled[-1].detail.startswith("restored"), drilled
        finally:
            drop(server, database_of(url))
