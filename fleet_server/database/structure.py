"""Whether a database is built as it should be: schema, partitions, counters, references, heap and indexes."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from psycopg import Connection, sql
from psycopg.conninfo import conninfo_to_dict

from fleet_server.database.errors import NoSuitableProgram
from fleet_server.database.findings import Finding, named, not_checked, sound, unsound
from fleet_server.database.fingerprints import fingerprints
from fleet_server.database.programs import program, target
from fleet_server.database.state import Server, database_of, knows, newest_step, schema_of

_COUNTERS = """
SELECT c.oid::regclass::text, a.attname, pg_get_serial_sequence(c.oid::regclass::text, a.attname)
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p') AND NOT c.relispartition
      AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE '%timescaledb%'
      AND pg_get_serial_sequence(c.oid::regclass::text, a.attname) IS NOT NULL ORDER BY 1
"""
# The distinct units by one index look each: a scan would read every sample.
_ORPHANS = """
WITH RECURSIVE units AS (
    SELECT (SELECT min(sensor_unit) FROM sample) AS unit
    UNION ALL
    SELECT (SELECT min(sensor_unit) FROM sample WHERE sensor_unit > units.unit) FROM units
    WHERE units.unit IS NOT NULL)
SELECT count(*) FROM units WHERE unit IS NOT NULL
       AND NOT EXISTS (SELECT 1 FROM sensor_unit u WHERE u.id = units.unit)
"""
_PARTITIONED = """
SELECT p.oid::regclass::text, count(*) FILTER (WHERE %(now)s >= b.begins AND %(now)s < b.ends)
FROM pg_partitioned_table t JOIN pg_class p ON p.oid = t.partrelid
LEFT JOIN pg_inherits i ON i.inhparent = p.oid LEFT JOIN pg_class c ON c.oid = i.inhrelid
CROSS JOIN LATERAL (SELECT pg_get_expr(c.relpartbound, c.oid) AS words) w
CROSS JOIN LATERAL (SELECT (regexp_match(w.words, $$FROM \\('([^']+)'\\)$$))[1]::timestamptz AS begins,
                           (regexp_match(w.words, $$TO \\('([^']+)'\\)$$))[1]::timestamptz AS ends) b
WHERE t.partstrat = 'r' GROUP BY p.oid ORDER BY 1
"""
_INVALID = """
SELECT i.indexrelid::regclass::text FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE (NOT i.indisvalid OR NOT i.indisready) AND c.relkind = 'i' ORDER BY 1
"""
# NULL: offered, and not in this database
_AMCHECK = "SELECT installed_version FROM pg_available_extensions WHERE name = 'amcheck'"
_KEPT = "SELECT tenant, class, keep_days FROM tenant_retention ORDER BY 1, 2"
# One index look a unit.
_OLDEST = """
SELECT min(o.time) FROM sensor_unit u JOIN device d ON d.id = u.device_id
CROSS JOIN LATERAL (SELECT min(time) AS time FROM sample WHERE sensor_unit = u.id) o
WHERE d.tenant = %s AND u.retention = %s
"""
GOES_WITHIN = timedelta(days=2)  # retention runs once a day, and a server may be off for one
CORRUPT = 2  # pg_amcheck's exit status where it found something


def schema(connection: Connection[Any]) -> Finding:
    at = schema_of(connection)
    if at == newest_step():
        return sound("schema", f"at step {at}")
    if at is None:
        return unsound("schema", "there is none", "lamppost db upgrade")
    if not knows(at):
        return unsound("schema", f"at step {at}, newer than this program", "Install a newer Lamppost.")
    return unsound("schema", f"at step {at}, this program's is {newest_step()}", "lamppost db upgrade")


def partitions(connection: Connection[Any], now: datetime) -> Finding:
    """Is there a place for what is measured now, and next week? Where tables are partitioned at all."""
    lacking = []
    found = 0
    for ahead, when in ((timedelta(0), "now"), (timedelta(days=7), "in a week")):
        for name, fitting in connection.execute(_PARTITIONED, {"now": now + ahead}).fetchall():
            found += 1
            if not fitting:
                lacking.append(f"{name} has no partition for {when}")
    if not found:
        return not_checked("partitions", "no table is partitioned here (TimescaleDB keeps its own chunks)")
    if lacking:
        return unsound("partitions", named(lacking), "The worker role makes them ahead: is it running?")
    return sound("partitions", f"{found // 2} tables have one for now and for the coming week")


def counters(connection: Connection[Any]) -> Finding:
    """A sequence that is behind its column would give a number twice."""
    behind = []
    listed = connection.execute(_COUNTERS).fetchall()
    for table, column, sequence in listed:
        query = sql.SQL("SELECT (SELECT max({}) FROM {}), last_value, is_called FROM {}").format(
            sql.Identifier(column), sql.SQL(table), sql.SQL(sequence)
        )
        row = connection.execute(query).fetchone()
        assert row is not None
        highest, last, called = row
        if highest is not None and (last < highest or (last == highest and not called)):
            behind.append(f"{sequence} is at {last}, {table} holds {highest}")
    if behind:
        return unsound(
            "sequences", named(behind), "SELECT setval('SEQUENCE', THE NUMBER THAT THE TABLE HOLDS)"
        )
    return sound("sequences", f"{len(listed)}, none behind its table")


def references(connection: Connection[Any]) -> Finding:
    """Samples carry no foreign key: it would cost each of them a look. So they are looked at here."""
    row = connection.execute(_ORPHANS).fetchone()
    if row is not None and row[0]:
        return unsound(
            "references",
            f"samples of {row[0]} sensor units that nobody declared",
            "Units were deleted by hand: restore sensor_unit from a backup.",
        )
    return sound("references", "every sample is of a sensor unit that was declared")


def retention(connection: Connection[Any], now: datetime) -> Finding:
    """Is what a tenant wants forgotten gone, a partition's length later?"""
    late = [
        f"{tenant} {cls} ({days} days): {oldest.isoformat(timespec='minutes')}"
        for tenant, cls, days in connection.execute(_KEPT).fetchall()
        if (oldest := _oldest(connection, tenant, cls)) is not None
        and oldest < now - timedelta(days=days) - GOES_WITHIN
    ]
    if late:
        return unsound("retention", f"older than asked for: {named(late)}", "Is the worker role running?")
    return sound("retention", "nothing is there that should be gone")


def _oldest(connection: Connection[Any], tenant: str, cls: str) -> datetime | None:
    row = connection.execute(_OLDEST, (tenant, cls)).fetchone()
    return None if row is None else row[0]


def indexes(
    connection: Connection[Any], server: Server, url: str, told: Callable[[str], None], *, everything: bool
) -> Finding:
    """Invalid ones always; with `everything`, heap and indexes by pg_amcheck, where the server has it."""
    check = "heap and indexes"
    invalid = [row[0] for row in connection.execute(_INVALID).fetchall()]
    if invalid:
        return unsound(check, f"not valid: {named(invalid)}", "REINDEX INDEX …")
    if not everything:
        return sound(check, "no index is invalid; --all reads them all (pg_amcheck)")
    row = connection.execute(_AMCHECK).fetchone()
    if row is None:
        fingerprints(connection, told)
        return not_checked(check, "this server does not offer amcheck; every table was read without an error")
    if row[0] is None:
        return not_checked(
            check, "the extension amcheck is not in this database", "CREATE EXTENSION amcheck;"
        )
    try:
        checker = program("pg_amcheck", server.major)
    except NoSuitableProgram as missing:
        return not_checked(check, missing.detail, missing.remedy)
    told("reading heap and indexes (pg_amcheck)")
    return _amcheck(check, str(checker.path), url)


def _amcheck(check: str, checker: str, url: str) -> Finding:
    address, environment = target(url)
    for key, value in conninfo_to_dict(address).items():
        if key in ("host", "port", "user"):
            environment[f"PG{key.upper()}"] = str(value)
    command = [checker, "--heapallindexed", "--no-password", database_of(url)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    words = (done.stdout + done.stderr).strip().splitlines()
    if done.returncode == 0:
        return sound(check, "pg_amcheck found nothing")
    if done.returncode == CORRUPT:
        remedy = "Save what is there (lamppost db backup), then REINDEX, or restore."
        return unsound(check, f"pg_amcheck: {named(words, 3)}", remedy)
    return not_checked(check, f"pg_amcheck could not look: {words[0] if words else 'it said nothing'}")
