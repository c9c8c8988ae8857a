"""A backup brought back: into a fresh database beside, compared with its manifest, and only then swapped in.

Nothing is touched before the file's hash is right; nothing that was there is renamed before every table of
the new one is what the manifest says. Both renames are one transaction: a kill leaves the old one or the new
one. What an earlier restore left half done (`NAME_restoring_…`) is dropped by the next.
"""

from __future__ import annotations

import logging
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, LiteralString

import psycopg
from psycopg import Connection, sql

from fleet_server.database import manifest as manifests
from fleet_server.database import upgrading
from fleet_server.database.errors import BackupUnusable, DatabaseOccupied
from fleet_server.database.fingerprints import differences, fingerprints
from fleet_server.database.manifest import Manifest
from fleet_server.database.programs import program, target
from fleet_server.database.state import (
    MAINTENANCE,
    Server,
    connected,
    database_of,
    first_line,
    is_empty,
    knows,
    newest_step,
    server_of,
    with_database,
)
from fleet_server.errors import ConfigurationError, DatabaseUnreachable
from fleet_server.progress import size

ADVISORY_LOCK = 7_265_020  # one restore a server at a time
FEED_BYTES = 1 << 18
RESTORING = "_restoring_"
BEFORE = "_before_"
LEAVING_S = 2.0  # a backend ends some milliseconds after its client has gone
MAX_NAME_BYTES = 63  # PostgreSQL's NAMEDATALEN - 1
WAKING: LiteralString = "_timescaledb_functions.start_background_workers()"  # since 2.12
SCHEDULER = "TimescaleDB Background Worker Scheduler"  # one a database; whoever renames that, stops it

_log = logging.getLogger(__name__)

Told = Callable[[str], None]


@dataclass(frozen=True)
class Restored:
    """`put_aside`: the name that the database of before has now. upgraded_to: None: nothing was pending."""

    manifest: Manifest
    database: str
    put_aside: str | None
    upgraded_to: str | None


def restore(file: Path, url: str, told: Told, *, replace: bool, use_timescale: bool) -> Restored:
    """Make the database that `url` names the one of the backup. It need not exist yet.

    replace: what is in it now may be put aside. Raises BackupUnusable, DatabaseOccupied, ConfigurationError,
    HardwareError, DatabaseUnreachable; then everything is as it was.
    """
    manifest = manifests.read(file)
    _check_known(file, manifest)
    manifests.check_file(file, manifest, lambda done, all_: told(f"checking {file.name}: {done / all_:.0%}"))
    name = database_of(url)
    stamp = f"{datetime.now(UTC):%Y%m%d%H%M%S}"
    with connected(with_database(url, MAINTENANCE), autocommit=True) as keeper:
        _lock(keeper)
        _check_server(file, manifest, keeper)
        exists, occupied = _look(keeper, url, name)
        if occupied and not replace:
            raise DatabaseOccupied(
                f"The database {name} is not empty.",
                remedy="Restore beside it (--into), or say --replace: it is put aside, not dropped.",
            )
        _check_alone(keeper, name)
        _drop_leftovers(keeper, name)
        with _fresh(keeper, f"{_short(name)}{RESTORING}{stamp}") as fresh:
            there = with_database(url, fresh)
            _fill(file, manifest, there, told)
            upgraded = manifest.schema != newest_step()
            told("bringing the schema to its newest step")
            upgrading.upgrade(there, use_timescale=use_timescale)
            with connected(there, autocommit=True) as connection:
                connection.execute("ANALYZE")
            aside = f"{_short(name)}{BEFORE}{stamp}" if exists else None
            with _awake_again(url, exists):
                _swap(keeper, fresh, name, aside)
        if aside is not None and not occupied:
            keeper.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(aside)))
            aside = None
    return Restored(manifest, name, aside, newest_step() if upgraded else None)


def _check_known(file: Path, manifest: Manifest) -> None:
    if not knows(manifest.schema):
        raise BackupUnusable(
            f"{file} is of schema step {manifest.schema}, and this program knows {newest_step()} at most.",
            remedy=f"Restore it with Lamppost {manifest.lamppost} or later.",
        )


def _lock(keeper: Connection[Any]) -> None:
    row = keeper.execute("SELECT pg_try_advisory_lock(%s)", (ADVISORY_LOCK,)).fetchone()
    if row is None or not row[0]:
        raise DatabaseOccupied("Another restore runs on this server.", remedy="Wait until it has ended.")


def _check_server(file: Path, manifest: Manifest, keeper: Connection[Any]) -> Server:
    """Can this server hold it? Raises ConfigurationError."""
    server = server_of(keeper)
    if server.major < manifest.server_major:
        raise ConfigurationError(
            f"{file} is of PostgreSQL {manifest.server_major}, and this is PostgreSQL {server.major}.",
            remedy=f"Restore it into PostgreSQL {manifest.server_major} or later.",
        )
    if manifest.timescaledb is not None:
        _check_superuser(file, keeper)
        offered = keeper.execute(
            "SELECT 1 FROM pg_available_extension_versions WHERE name = 'timescaledb' AND version = %s",
            (manifest.timescaledb,),
        ).fetchone()
        if offered is None:
            raise ConfigurationError(
                f"{file} is of TimescaleDB {manifest.timescaledb}, which this server does not offer.",
                remedy="Install exactly that version; update the extension after the restore.",
            )
    return server


def _check_superuser(file: Path, keeper: Connection[Any]) -> None:
    """TimescaleDB's own books are written by a superuser alone (its issues 2686, 4291)."""
    row = keeper.execute(
        "SELECT current_user, quote_ident(current_user), current_setting('is_superuser')"
    ).fetchone()
    assert row is not None
    name, quoted, is_superuser = row
    if is_superuser != "on":
        raise ConfigurationError(
            f"{file} is of TimescaleDB, which only a superuser may restore, and {name} is none.",
            remedy=f"Have a superuser run ALTER ROLE {quoted} SUPERUSER; restore, and what is restored is"
            f" {name}'s own; then ALTER ROLE {quoted} NOSUPERUSER;",
        )


def _look(keeper: Connection[Any], url: str, name: str) -> tuple[bool, bool]:
    """(is there such a database, is anything in it)."""
    there = keeper.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone()
    if there is None:
        return False, False
    with connected(url) as connection:
        return True, not is_empty(connection)


def _check_alone(keeper: Connection[Any], name: str) -> None:
    """Raises DatabaseOccupied. A connection that was just closed is waited for."""
    deadline_s = time.monotonic() + LEAVING_S
    while (users := _users(keeper, name)) and time.monotonic() < deadline_s:
        time.sleep(0.05)
    if users:
        who = ", ".join(sorted({each for each in users if each}))
        raise DatabaseOccupied(
            f"{len(users)} connections use the database {name}{f' ({who})' if who else ''}.",
            remedy="Stop `lamppost serve` and whatever else reads it, then restore.",
        )


def _users(keeper: Connection[Any], name: str) -> list[str]:
    """What those call themselves that are connected to it.

    Who is no superuser sees of others' processes the name, and not the type.
    """
    found = keeper.execute(
        "SELECT application_name FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"
        " AND coalesce(backend_type, 'client backend') = 'client backend' AND application_name <> %s",
        (name, SCHEDULER),
    )
    return [str(row[0]) for row in found]


def _short(name: str) -> str:
    """So much of a name that what is put behind it still fits."""
    return name.encode()[: MAX_NAME_BYTES - len(RESTORING) - 14].decode(errors="ignore")


def _drop_leftovers(keeper: Connection[Any], name: str) -> None:
    pattern = f"{_short(name)}{RESTORING}"
    found = keeper.execute("SELECT datname FROM pg_database WHERE starts_with(datname, %s)", (pattern,))
    for (left,) in found.fetchall():
        _drop(keeper, left)


def drop_database(url: str) -> None:
    """The one that the URL names, if it is there. Raises DatabaseUnreachable."""
    with connected(with_database(url, MAINTENANCE), autocommit=True) as keeper:
        _drop(keeper, database_of(url))


def _drop(keeper: Connection[Any], name: str) -> None:
    keeper.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


@contextmanager
def _fresh(keeper: Connection[Any], name: str) -> Iterator[str]:
    """A new database; dropped where the block fails. Raises ConfigurationError."""
    try:
        keeper.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
    except psycopg.errors.InsufficientPrivilege:
        raise ConfigurationError(
            "The database's account may not create databases, and a restore is made beside what is there.",
            remedy="ALTER ROLE … CREATEDB, for as long as the restore takes.",
        ) from None
    try:
        yield name
    except BaseException:
        if not keeper.closed:
            _drop(keeper, name)
        raise


def _fill(file: Path, manifest: Manifest, url: str, told: Told) -> None:
    """pg_restore, then every table against the manifest. Raises BackupUnusable, ConfigurationError."""
    with connected(url, autocommit=True) as connection, _refusals(file):
        if manifest.timescaledb is not None:
            wanted = sql.Literal(manifest.timescaledb)
            connection.execute(sql.SQL("CREATE EXTENSION timescaledb VERSION {}").format(wanted))
            connection.execute("SELECT timescaledb_pre_restore()")
        _run(file, manifest, url, server_of(connection), told)
        asleep = _open_to_timescale(connection) if manifest.timescaledb is not None else []
    with connected(url) as connection, _refusals(file):
        found = fingerprints(connection, told)
        for job in asleep:
            connection.execute("SELECT alter_job(%s, scheduled => true)", (job,))
    wrong = differences(manifest.tables, found)
    if wrong:
        raise BackupUnusable(
            f"{file} was restored, and is not what was saved: {'; '.join(wrong[:5])}"
            f"{' and more' if len(wrong) > 5 else ''}.",
            remedy="Take another backup, or report this: the file's own hash is right.",
        )


def _open_to_timescale(connection: Connection[Any]) -> list[int]:
    """After pg_restore. Returns the jobs that would run at once, and sleep until the tables are compared.

    In one transaction: the scheduler that it starts waits for it. A retention policy would remove from an old
    backup what was due since, and the comparison would find it missing.
    """
    with connection.transaction():
        connection.execute("SELECT timescaledb_post_restore()")
        found = connection.execute(
            "SELECT job_id FROM timescaledb_information.jobs WHERE job_id >= 1000 AND scheduled"
        ).fetchall()
        for job in found:
            connection.execute("SELECT alter_job(%s, scheduled => false)", job)
    return [job for (job,) in found]


@contextmanager
def _refusals(file: Path) -> Iterator[None]:
    """What the server refuses, as a ConfigurationError in its words; a lost connection passes."""
    try:
        yield
    except (psycopg.OperationalError, psycopg.InterfaceError):
        raise
    except psycopg.Error as refused:
        raise ConfigurationError(
            f"The server refuses to restore {file}: {first_line(refused)}.",
            remedy="Nothing was changed. The reason above is PostgreSQL's.",
        ) from refused


def _run(file: Path, manifest: Manifest, url: str, server: Server, told: Told) -> None:
    """pg_restore with the file on its standard input: where we die it ends, and we know how far it is."""
    restorer = program("pg_restore", max(manifest.pg_dump_major, server.major))
    address, environment = target(url)
    # Roles of the old server may not be here: the objects become the account's own.
    command = [str(restorer.path), "--exit-on-error", "--no-owner", "--no-privileges", "--no-password"]
    command.append(f"--dbname={address}")
    fed = 0
    with tempfile.TemporaryFile() as said, file.open("rb") as source:
        running = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=said, env=environment
        )
        assert running.stdin is not None
        try:
            while block := source.read(FEED_BYTES):
                running.stdin.write(block)
                fed += len(block)
                told(f"restored {size(fed)} of {size(manifest.bytes)}")
            running.stdin.close()
            told("building the indexes")
            status = running.wait()
        except BrokenPipeError:
            status = running.wait()
        except BaseException:
            running.kill()
            running.wait()
            raise
        said.seek(0)
        words = said.read().decode(errors="replace").strip().splitlines()
    if status != 0:
        reason = next((line for line in words if "error:" in line), words[-1] if words else "it said nothing")
        raise ConfigurationError(f"pg_restore failed ({status}): {reason.rstrip('.')}.")


@contextmanager
def _awake_again(url: str, exists: bool) -> Iterator[None]:
    """Afterwards, TimescaleDB's jobs run in the database that bears the name then, the new one or the old.

    Whoever renames a database stops its scheduler, even where the name is refused, until it is started or
    PostgreSQL starts anew: what is old would be neither compressed nor removed. exists: there is an old one.
    """
    swapped = False
    try:
        yield
        swapped = True
    finally:
        if swapped or exists:
            _wake(url)


def _wake(url: str) -> None:
    """Where it cannot, it says so in the log: what was restored is restored."""
    try:
        with connected(url, autocommit=True) as connection:
            row = connection.execute(f"SELECT to_regprocedure('{WAKING}') IS NOT NULL").fetchone()
            if row is not None and row[0]:
                connection.execute(f"SELECT {WAKING}")
    except (psycopg.Error, DatabaseUnreachable) as refused:
        _log.warning(
            "TimescaleDB's jobs do not run in %s (%s): have a superuser run there SELECT %s;",
            database_of(url),
            first_line(refused),
            WAKING,
        )


def _swap(keeper: Connection[Any], fresh: str, name: str, aside: str | None) -> None:
    """Both names at once. Raises DatabaseOccupied where somebody has come in meanwhile."""
    rename = sql.SQL("ALTER DATABASE {} RENAME TO {}")
    # Autovacuum is nobody who reads. TimescaleDB's schedulers are stopped by the renaming, with their jobs;
    # one that ends otherwise may come back by itself, and is not stopped then (its issue 8266).
    keeper.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = ANY(%s) AND backend_type NOT IN ('client backend', 'parallel worker')"
        " AND application_name <> %s",
        ([fresh, name], SCHEDULER),
    )
    try:
        with keeper.transaction():
            if aside is not None:
                keeper.execute(rename.format(sql.Identifier(name), sql.Identifier(aside)))
            keeper.execute(rename.format(sql.Identifier(fresh), sql.Identifier(name)))
    except psycopg.errors.ObjectInUse as used:
        raise DatabaseOccupied(
            f"Somebody uses the database {name}: {first_line(used)}.",
            remedy="Stop `lamppost serve` and whatever else reads it, then restore again.",
        ) from used
