"""`verify`: everything there is to look at, of a database or of a backup's file."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from psycopg import Connection, IsolationLevel

from fleet_server.database import accounting, recount, structure
from fleet_server.database import manifest as manifests
from fleet_server.database.errors import BackupUnusable
from fleet_server.database.findings import Finding, Verdict, named, not_checked, sound, unsound
from fleet_server.database.fingerprints import hold_tables
from fleet_server.database.manifest import Manifest
from fleet_server.database.programs import program
from fleet_server.database.restore import drop_database, restore
from fleet_server.database.state import connected, server_of, with_database
from fleet_server.embedded_programs import MAJOR
from fleet_server.embedded_server import EmbeddedServer
from fleet_server.errors import LamppostError

Told = Callable[[str], None]

DRILL = "lamppost_drill"  # the database of a drill on a server; what a killed one left goes with the next
# Nothing of it outlives the drill.
DRILL_SETTINGS = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}


def look_at_database(url: str, told: Told, now: datetime, *, everything: bool) -> list[Finding]:
    """In one snapshot, while the server works on. Raises DatabaseUnreachable, ConfigurationError."""
    with connected(url) as connection:
        connection.isolation_level = IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        hold_tables(connection)  # what retention drops meanwhile would be missed
        return look_within(connection, url, told, now, everything=everything)


def look_within(
    connection: Connection[Any], url: str, told: Told, now: datetime, *, everything: bool
) -> list[Finding]:
    """In the connection's transaction."""
    found = [structure.schema(connection)]
    if found[0].verdict is Verdict.UNSOUND:
        return [*found, not_checked("the rest", "it is looked at once the schema fits")]
    server = server_of(connection)
    told("looking at partitions, sequences, references")
    found.append(structure.partitions(connection, now))
    found.append(structure.counters(connection))
    found.append(structure.references(connection))
    found.append(structure.retention(connection, now))
    found += accounting.look(connection, told)
    found.append(recount.look(connection, told, everything=everything))
    found.append(structure.indexes(connection, server, url, told, everything=everything))
    return found


def look_at_backup(file: Path, told: Told, *, drill: bool, on: str | None = None) -> list[Finding]:
    """Manifest, hash, table of contents; with `drill` a restore that is thrown away, on the server `on`."""
    found: list[Finding] = []
    try:
        manifest = manifests.read(file)
        found.append(
            sound("manifest", f"of {manifest.started}, {manifest.rows:,} rows, schema {manifest.schema}")
        )
        manifests.check_file(
            file, manifest, lambda done, size: told(f"reading {file.name}: {done / size:.0%}")
        )
    except BackupUnusable as unusable:
        return [*found, unsound("file" if found else "manifest", unusable.detail, unusable.remedy)]
    found.append(sound("file", f"{manifest.bytes:,} bytes, as they were written"))
    found.append(_contents(file, manifest))
    if drill:
        found.append(_drill(file, manifest, told, on))
    else:
        found.append(not_checked("restore", "not tried", "lamppost db verify FILE --drill"))
    return found


def _contents(file: Path, manifest: Manifest) -> Finding:
    """Does pg_restore find each of the manifest's tables in it?"""
    check = "table of contents"
    lister = program("pg_restore", manifest.pg_dump_major)
    done = subprocess.run(
        [str(lister.path), "--list", str(file)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        return unsound(check, f"pg_restore cannot read it: {done.stderr.strip()}", "Take another backup.")
    listed = {tuple(line.split()[3:6]) for line in done.stdout.splitlines() if not line.startswith(";")}
    lacking = [name for name in manifest.tables if ("TABLE", *name.split(".", 1)) not in listed]
    if lacking:
        return unsound(check, f"without {named(lacking)}", "Take another backup.")
    return sound(check, f"all {len(manifest.tables)} tables")


def _drill(file: Path, manifest: Manifest, told: Told, on: str | None) -> Finding:
    """A drill that was asked for and could not be done is no proof: it counts against the backup."""
    check = "restore"
    if on is None and (manifest.timescaledb is not None or manifest.server_major > MAJOR):
        return unsound(
            check,
            "not tried: the embedded PostgreSQL cannot hold it"
            f" (PostgreSQL {manifest.server_major}, TimescaleDB {manifest.timescaledb or 'none'})",
            "lamppost db verify FILE --drill --on postgresql://… (a server like the old one; what is made"
            " there is dropped)",
        )
    try:
        if on is not None:
            _restore_on(on, file, manifest, told)
        else:
            _restore_embedded(file, told)
    except LamppostError as failed:
        return unsound(check, failed.detail, failed.remedy)
    return sound(check, f"restored, {manifest.rows:,} rows in {len(manifest.tables)} tables are the same")


def _restore_embedded(file: Path, told: Told) -> None:
    with tempfile.TemporaryDirectory(prefix="lamppost-drill-") as folder:
        Path(folder).chmod(0o755)  # PostgreSQL may run as another account: its own folder in it is closed
        with EmbeddedServer(Path(folder) / "postgres", DRILL_SETTINGS) as server:
            restore(file, server.url(), told, replace=False, use_timescale=False)


def _restore_on(server: str, file: Path, manifest: Manifest, told: Told) -> None:
    """Into a database of its own there, which is dropped."""
    url = with_database(server, DRILL)
    drop_database(url)
    try:
        restore(file, url, told, replace=False, use_timescale=manifest.timescaledb is not None)
    finally:
        drop_database(url)
