"""A backup: pg_dump's custom format through our hands into a file, and a manifest of the very same snapshot.

The dump is written to FILE.part, synced, renamed; the manifest comes last. So whatever is cut off, by a kill,
a full disk or the power, there is no manifest over a file that is not whole.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import BinaryIO

from psycopg import IsolationLevel

from fleet_server.database import manifest as manifests
from fleet_server.database.fingerprints import fingerprints, hold_tables
from fleet_server.database.manifest import FORMAT, LeftOut, Manifest
from fleet_server.database.programs import program, target
from fleet_server.database.state import connected, schema_of, server_of
from fleet_server.errors import ConfigurationError, Conflict, HardwareError
from fleet_server.progress import size

READ_BYTES = 1 << 18
# gzip, by its level alone: pg_dump 15 knows no other words. One level more takes a third longer for 2 %
COMPRESSION = "1"
# Rows of small integers as text, compressed, come to a seventh of the tables on disk; indexes are not dumped.
ROOM_SHARE = 0.25
ENDING = ".backup"
PART = ".part"
SECRET = 0o600  # it holds what people are known by, and the hashes of their passwords

Told = Callable[[str], None]


@dataclass(frozen=True)
class Made:
    """`removed`: older backups that --keep had no place for."""

    file: Path
    manifest: Manifest
    removed: tuple[Path, ...]


def back_up(
    url: str,
    where: Path,
    tenant: str,
    left_out: tuple[LeftOut, ...],
    told: Told,
    *,
    keep: int | None = None,
    begun: datetime | None = None,
) -> Made:
    """Save the database at `url` to `where`, a new file or a folder, while it is in use.

    Raises Conflict (the file is there), ConfigurationError (no program, no folder, no schema),
    HardwareError (no space), DatabaseUnreachable.
    """
    begun = begun or datetime.now(UTC)
    file = _file(where, tenant, begun)
    with connected(url) as connection:
        connection.isolation_level = IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        hold_tables(connection)  # pg_dump lets go of them at its end, and they are counted after it
        server, schema = server_of(connection), schema_of(connection)
        if schema is None:
            raise ConfigurationError("There is no schema of Lamppost in this database: nothing to save.")
        dumper = program("pg_dump", server.major)
        row = connection.execute(
            "SELECT pg_database_size(current_database()), pg_export_snapshot()"
        ).fetchone()
        assert row is not None
        database_bytes, snapshot = int(row[0]), str(row[1])
        _check_room(file.parent, database_bytes)
        _clear_leftovers(file.parent, tenant)
        with _part_of(file) as part:
            digest, written = _dump(url, str(dumper.path), snapshot, part, told)
            tables = fingerprints(connection, told)
            _keep_for_good(part, file)
    made = Manifest(
        format=FORMAT,
        file=file.name,
        bytes=written,
        sha256=digest,
        lamppost=version("lamppost"),
        tenant=tenant,
        schema=schema,
        server=server.version,
        server_major=server.major,
        timescaledb=server.timescaledb,
        pg_dump=dumper.version,
        pg_dump_major=dumper.major,
        started=begun.isoformat(timespec="seconds"),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        database_bytes=database_bytes,
        tables=tables,
        left_out=left_out,
    )
    try:
        manifests.write(made, file)
    except OSError as failed:
        raise HardwareError(f"The manifest of {file} cannot be written: {failed.strerror}.") from failed
    return Made(file, made, tuple(_rotate(file.parent, tenant, keep)) if keep else ())


def _file(where: Path, tenant: str, begun: datetime) -> Path:
    """Where it goes: a folder gets a name made of tenant and time. Raises Conflict, ConfigurationError."""
    file = where
    if where.is_dir():
        file = where / f"lamppost-{tenant}-{begun:%Y%m%dT%H%M%SZ}{ENDING}"
    if not file.parent.is_dir():
        raise ConfigurationError(f"There is no folder {file.parent}.", remedy="Make it, or name another.")
    if file.exists() or manifests.manifest_of(file).exists():
        raise Conflict(f"{file} is there already.", remedy="Name a new file, or a folder.")
    return file


def _check_room(folder: Path, database_bytes: int) -> None:
    free, wanted = shutil.disk_usage(folder).free, int(database_bytes * ROOM_SHARE)
    if free < wanted:
        raise HardwareError(
            f"{folder} has {size(free)} free; a backup of {size(database_bytes)} may take {size(wanted)}.",
            remedy="Make room, keep fewer, or save to another disk.",
        )


@contextmanager
def _part_of(file: Path) -> Iterator[BinaryIO]:
    """FILE.part, locked as long as it is written; gone afterwards unless it was renamed. Raises Conflict."""
    path = file.with_name(file.name + PART)
    try:
        part = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, SECRET), "ab")
    except OSError as refused:
        raise ConfigurationError(f"{path} cannot be written: {refused.strerror}.") from None
    with part:
        try:
            fcntl.flock(part, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Conflict(f"Another backup is writing {file} just now.") from None
        part.truncate(0)
        try:
            yield part
        finally:
            path.unlink(missing_ok=True)


def _dump(url: str, dumper: str, snapshot: str, part: BinaryIO, told: Told) -> tuple[str, int]:
    """(SHA-256, bytes). Where this process dies the pipe breaks, and pg_dump ends with it."""
    address, environment = target(url)
    command = [dumper, "--format=custom", f"--compress={COMPRESSION}", f"--snapshot={snapshot}"]
    command += ["--no-password", f"--dbname={address}"]
    digest, written = hashlib.sha256(), 0
    with tempfile.TemporaryFile() as said:
        running = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said, env=environment
        )
        assert running.stdout is not None
        try:
            while block := running.stdout.read(READ_BYTES):
                part.write(block)
                digest.update(block)
                written += len(block)
                told(f"saved {size(written)}")
            part.flush()
        except OSError as full:
            running.kill()
            raise HardwareError(f"The backup cannot be written: {full.strerror}.") from full
        except BaseException:
            running.kill()
            raise
        finally:
            running.stdout.close()
            status = running.wait()
        said.seek(0)
        words = said.read().decode(errors="replace").strip()
    if status != 0:
        raise ConfigurationError(f"pg_dump failed ({status}): {_last(words)}.")
    return digest.hexdigest(), written


def _last(words: str) -> str:
    return (words.splitlines() or ["it said nothing"])[-1].rstrip(".")


def _keep_for_good(part: BinaryIO, file: Path) -> None:
    try:
        os.fsync(part.fileno())
        file.with_name(file.name + PART).rename(file)
        manifests.sync_folder(file.parent)
    except OSError as failed:
        raise HardwareError(f"{file} cannot be written: {failed.strerror}.") from failed


def _clear_leftovers(folder: Path, tenant: str) -> None:
    """What backups that were cut off have left: nobody holds its lock any more."""
    for path in folder.glob(f"lamppost-{tenant}-*{ENDING}{PART}"):
        with suppress(OSError), path.open("rb") as part:
            fcntl.flock(part, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()


def _rotate(folder: Path, tenant: str, keep: int) -> Iterator[Path]:
    """Remove all but the newest `keep` whole backups of this tenant that bear the names we give."""
    named = sorted(folder.glob(f"lamppost-{tenant}-*{ENDING}"), reverse=True)
    whole = [path for path in named if manifests.manifest_of(path).exists()]
    for path in whole[keep:]:
        manifests.manifest_of(path).unlink(missing_ok=True)  # first: a file without it is no backup
        path.unlink(missing_ok=True)
        yield path
