"""What is older than it is kept goes, in bounded pieces, and each piece leaves a line in `retention_log`.

Whole partitions (or TimescaleDB's chunks) where the table has them, else batches of rows; a tenant that keeps
less than the class loses rows out of partitions that stay. Cut off anywhere, the next tick goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg import Connection, sql

from fleet_server.config import RetentionConfig
from fleet_server.telemetry import partitions, timescale
from fleet_server.telemetry.timescale import Dropped
from fleet_server.telemetry.upkeep.noting import note, note_policy

ADVISORY_LOCK = 7_265_010  # one worker at a time
ROWS_A_TICK = 20_000  # a tick's deletes take about a second
ROWS_A_DELETE = 5_000
# Dropping stops who comes next while it waits for who is there: then better later. Under PostgreSQL's second
# after which it looks for deadlocks: so it is not a late writer who has to give way.
WAIT_FOR_READERS = "500ms"

_log = logging.getLogger(__name__)

# By sensor unit or key first: an index range look each, where the time alone would mean reading the table.
_OLD_ROWS = {
    "unit_hour": """
        DELETE FROM unit_hour WHERE (sensor_unit, bucket) IN (
            SELECT o.* FROM sensor_unit u CROSS JOIN LATERAL (
                SELECT h.sensor_unit, h.bucket FROM unit_hour h
                WHERE h.sensor_unit = u.id AND h.bucket < %(horizon)s LIMIT 1000) o LIMIT %(limit)s)
    """,
    "unit_day": """
        DELETE FROM unit_day WHERE (sensor_unit, bucket) IN (
            SELECT o.* FROM sensor_unit u CROSS JOIN LATERAL (
                SELECT h.sensor_unit, h.bucket FROM unit_day h
                WHERE h.sensor_unit = u.id AND h.bucket < %(horizon)s LIMIT 1000) o LIMIT %(limit)s)
    """,
    "district_hour": """
        DELETE FROM district_hour WHERE (tenant, district, channel, unit, bucket) IN (
            SELECT o.* FROM (SELECT DISTINCT tenant, district, channel, unit FROM district_day) k
            CROSS JOIN LATERAL (
                SELECT h.tenant, h.district, h.channel, h.unit, h.bucket FROM district_hour h
                WHERE (h.tenant, h.district, h.channel, h.unit) = (k.tenant, k.district, k.channel, k.unit)
                      AND h.bucket < %(horizon)s LIMIT 1000) o LIMIT %(limit)s)
    """,
    "district_day": """
        DELETE FROM district_day WHERE (tenant, district, channel, unit, bucket) IN (
            SELECT tenant, district, channel, unit, bucket FROM district_day
            WHERE bucket < %(horizon)s LIMIT %(limit)s)
    """,
    # what an incident is made of stays with it, and what was not looked at yet
    "verdict": """
        DELETE FROM verdict WHERE id IN (
            SELECT o.id FROM sensor_unit u CROSS JOIN LATERAL (
                SELECT v.id FROM verdict v
                WHERE v.sensor_unit = u.id AND v.time < %(horizon)s AND v.decided_at IS NOT NULL
                      AND NOT EXISTS (SELECT FROM incident_verdict i WHERE i.verdict_id = v.id)
                LIMIT 1000) o LIMIT %(limit)s)
    """,
    "dead_letter": """
        DELETE FROM dead_letter WHERE id IN (
            SELECT id FROM dead_letter WHERE received_at < %(horizon)s ORDER BY id LIMIT %(limit)s)
    """,
}
_OVERDUE_UNIT = """
SELECT u.id FROM sensor_unit u JOIN device d ON d.id = u.device_id
WHERE d.tenant = {tenant} AND u.retention = {name}
      AND EXISTS (SELECT FROM {table} s WHERE s.sensor_unit = u.id AND s.time < {horizon}) LIMIT 1
"""
# Constants, not a join: only so does TimescaleDB unpack no more of a compressed chunk than these rows.
_UP_TO = """
SELECT coalesce((SELECT time FROM {table} WHERE sensor_unit = {unit} AND time < {horizon}
                 ORDER BY time OFFSET {limit} LIMIT 1), {horizon})
"""
_DELETE = "DELETE FROM {table} WHERE sensor_unit = {unit} AND time < {up_to}"


def retain(connection: Connection[Any], keep: RetentionConfig, now: datetime) -> int:
    """One tick; 1 where there is more to do at once, else 0. now: the street clock's."""
    locked = connection.execute("SELECT pg_try_advisory_lock(%s)", (ADVISORY_LOCK,)).fetchone()
    if locked is None or not locked[0]:
        return 0
    try:
        for table, days in _whole(connection, keep, now):
            if days:
                _drop(connection, table, days, now)
        more = [_delete(connection, what, days, now) for what, days in _by_row(connection, keep) if days]
        more += [_delete_of_tenant(connection, *rule, now) for rule in _of_tenants(connection)]
        return int(any(more))
    finally:
        connection.execute("SELECT pg_advisory_unlock(%s)", (ADVISORY_LOCK,))


def _whole(connection: Connection[Any], keep: RetentionConfig, now: datetime) -> Iterator[tuple[str, int]]:
    """Tables whose partitions or chunks go whole, and their days."""
    tables = {f"sample_{name}": keep.of_class(name) for name in ("short", "standard", "long")}
    tables["unit_minute"] = keep.minutes_days
    if timescale.aggregates(connection):
        for table, days in tables.items():
            note_policy(connection, table, now)  # before a new policy makes the old one's past forgotten
            timescale.keep_policy(connection, table, days)
        tables |= {"unit_hour": keep.hours_days, "unit_day": keep.days_days}
    yield from tables.items()


def _by_row(connection: Connection[Any], keep: RetentionConfig) -> Iterator[tuple[str, int]]:
    if not timescale.aggregates(connection):
        yield from {"unit_hour": keep.hours_days, "unit_day": keep.days_days}.items()
    yield from {"district_hour": keep.hours_days, "district_day": keep.days_days}.items()
    yield from {"verdict": keep.verdicts_days, "dead_letter": keep.dead_letters_days}.items()


def _drop(connection: Connection[Any], table: str, days: int, now: datetime) -> None:
    """Drop the partitions, or the chunks, whose time is over, the oldest first.

    Each once: a device that sends what is too old makes them again, and they go again with the next tick.
    """
    reached: datetime | None = None
    while (dropped := _drop_next(connection, table, now - timedelta(days=days), now)) is not None:
        if reached is not None and dropped.kept_from <= reached:
            return
        reached = dropped.kept_from


def _drop_next(connection: Connection[Any], table: str, horizon: datetime, now: datetime) -> Dropped | None:
    engine = partitions if partitions.is_partitioned(connection) else timescale
    try:
        with connection.transaction():
            connection.execute("SELECT set_config('lock_timeout', %s, true)", (WAIT_FOR_READERS,))
            dropped: Dropped | None = engine.drop_before(connection, table, horizon)
            if dropped is not None and dropped.rows:
                note(connection, now, table, "", dropped)
    except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
        _log.info("%s: somebody reads what is to go; it is tried again later", table)
        return None
    return dropped


def _delete(connection: Connection[Any], what: str, days: int, now: datetime) -> bool:
    """Delete some rows. A dead letter's age is by the database's clock, all else's by the street's."""
    if what == "dead_letter":
        row = connection.execute("SELECT clock_timestamp()").fetchone()
        assert row is not None
        now = row[0]
    horizon = now - timedelta(days=days)
    if what == "unit_hour":  # by whole days (UTC): of part of its hours a day cannot be made anew
        horizon = horizon.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    with connection.transaction():
        deleted = 0
        for _ in range(ROWS_A_TICK // ROWS_A_DELETE):
            values = {"horizon": horizon, "limit": ROWS_A_DELETE}
            count = connection.execute(_OLD_ROWS[what].encode(), values).rowcount
            deleted += count
            if count == 0:
                break
        if deleted:
            note(connection, now, what, "", Dropped(deleted, 0, horizon))
    return deleted >= ROWS_A_TICK


def _of_tenants(connection: Connection[Any]) -> list[tuple[str, str, int]]:
    query = "SELECT tenant, class, keep_days FROM tenant_retention ORDER BY tenant, class"
    return connection.execute(query).fetchall()


def _delete_of_tenant(connection: Connection[Any], tenant: str, name: str, days: int, now: datetime) -> bool:
    """Delete some of a tenant's samples of a class. The same statements on both engines."""
    horizon = now - timedelta(days=days)
    given = {
        "table": sql.Identifier(f"sample_{name}"),
        "tenant": sql.Literal(tenant),
        "name": sql.Literal(name),
        "horizon": sql.Literal(horizon),
        "limit": sql.Literal(ROWS_A_DELETE),
    }
    deleted = 0
    while deleted < ROWS_A_TICK:
        with connection.transaction():
            found = connection.execute(sql.SQL(_OVERDUE_UNIT).format(**given)).fetchone()
            if found is None:
                break
            unit = {"unit": sql.Literal(found[0])}
            row = connection.execute(sql.SQL(_UP_TO).format(**given, **unit)).fetchone()
            assert row is not None
            up_to = sql.Literal(row[0])
            count = connection.execute(sql.SQL(_DELETE).format(**given, **unit, up_to=up_to)).rowcount
            deleted += count
            note(connection, now, f"sample_{name}", tenant, Dropped(count, 0, row[0]))
    return deleted >= ROWS_A_TICK
