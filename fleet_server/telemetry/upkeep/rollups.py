"""Hours and days from minutes, where minutes changed. Until it has run, queries read the minutes instead.

On PostgreSQL alone the tick folds them into tables; with TimescaleDB it refreshes the continuous aggregates.
What is older than the minutes and hours that retention kept stays as it is: it cannot be computed from them
any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg import Connection

from fleet_server.telemetry import timescale
from fleet_server.telemetry.timescale import FOLDS, ROLLUP_COLUMNS
from fleet_server.telemetry.upkeep.noting import note_policy

MARKS_A_TICK = 5_000
ADVISORY_LOCK = 7_265_002  # one worker at a time: two could write an older sum over a newer one
HOUR = timedelta(hours=1)

_LOOK = "SELECT id, sensor_unit, hour FROM rollup_dirty ORDER BY id LIMIT %s"
_DONE = "DELETE FROM rollup_dirty WHERE id = ANY(%s)"
# A day is made of its hours: these go by whole days.
_KEPT_FROM = "SELECT max(kept_from) FROM retention_log WHERE what IN ('unit_minute', 'unit_hour')"
_FOLDED = ", ".join(FOLDS[name.split("_")[0]].format(c=name) for name in ROLLUP_COLUMNS)
_INTO = f"(sensor_unit, bucket, {', '.join(ROLLUP_COLUMNS)})"
_UPDATE = f"""
ON CONFLICT (sensor_unit, bucket) DO UPDATE SET {", ".join(f"{c} = excluded.{c}" for c in ROLLUP_COLUMNS)}
"""
# LATERAL with an aggregate: an index range scan a unit and hour; a join would read the whole table instead.
_HOURS = f"""
INSERT INTO unit_hour {_INTO}
SELECT t.sensor_unit, t.hour, m.* FROM unnest(%s::int[], %s::timestamptz[]) AS t(sensor_unit, hour)
CROSS JOIN LATERAL (
    SELECT {_FOLDED} FROM unit_minute r
    WHERE r.sensor_unit = t.sensor_unit AND r.bucket >= t.hour AND r.bucket < t.hour + interval '1 hour'
    HAVING count(*) > 0) AS m
{_UPDATE}
"""  # noqa: S608 - made of the constants above
_DAYS = f"""
INSERT INTO unit_day {_INTO}
SELECT t.sensor_unit, t.day, h.*
FROM (SELECT DISTINCT sensor_unit, date_trunc('day', hour, 'UTC') AS day
      FROM unnest(%s::int[], %s::timestamptz[]) AS u(sensor_unit, hour)) AS t
CROSS JOIN LATERAL (
    SELECT {_FOLDED} FROM unit_hour r
    WHERE r.sensor_unit = t.sensor_unit AND r.bucket >= t.day AND r.bucket < t.day + interval '24 hours'
    HAVING count(*) > 0) AS h
{_UPDATE}
"""  # noqa: S608 - made of the constants above
# For the air slice, whose indices are of hours: in this transaction, so that no touched hour is forgotten.
_AIR = """
INSERT INTO air_dirty (sensor_unit, hour)
SELECT t.* FROM unnest(%s::int[], %s::timestamptz[]) AS t(sensor_unit, hour)
WHERE EXISTS (SELECT 1 FROM series s WHERE s.sensor_unit_id = t.sensor_unit
              AND s.channel IN ('pm2_5', 'pm2_5_cf1', 'pm10', 'humidity'))
ON CONFLICT DO NOTHING
"""


# For the districts, whose hours are of lampposts' hours; likewise.
_DISTRICTS = """
INSERT INTO district_dirty (tenant, district, hour)
SELECT DISTINCT d.tenant, d.district, t.hour FROM unnest(%s::int[], %s::timestamptz[]) AS t(sensor_unit, hour)
JOIN sensor_unit u ON u.id = t.sensor_unit JOIN device d ON d.id = u.device_id WHERE d.district <> ''
ON CONFLICT DO NOTHING
"""
Mark = tuple[int, int, datetime]
"""id, sensor unit, hour."""


def roll_up(connection: Connection[Any]) -> int:
    """One tick; returns how many marks were worked off.

    A mark belongs to the transaction that changed the minutes: who sees the mark sees the minutes, and a
    change that is not committed yet brings a mark of its own later.
    """
    if timescale.aggregates(connection):
        return _refresh(connection)
    with connection.transaction():
        locked = connection.execute("SELECT pg_try_advisory_xact_lock(%s)", (ADVISORY_LOCK,)).fetchone()
        if locked is None or not locked[0]:
            return 0
        marks: list[Mark] = connection.execute(_LOOK, (MARKS_A_TICK,)).fetchall()
        columns = _touched(connection, marks)
        if columns[0]:
            connection.execute(_HOURS, columns)
            connection.execute(_DAYS, columns)
        _finish(connection, marks, columns)
        return len(marks)


def _refresh(connection: Connection[Any]) -> int:
    """The marks go after the refresh, which commits for itself: cut off in between, it is done again."""
    locked = connection.execute("SELECT pg_try_advisory_lock(%s)", (ADVISORY_LOCK,)).fetchone()
    if locked is None or not locked[0]:
        return 0
    try:
        marks: list[Mark] = connection.execute(_LOOK, (MARKS_A_TICK,)).fetchall()
        if marks:
            note_policy(connection, "unit_minute", datetime.now(UTC))
        columns = _touched(connection, marks)
        for begins, ends in spans(columns[1], HOUR):
            timescale.refresh(connection, "unit_hour", begins, ends)
        days = (hour.replace(hour=0) for hour in columns[1])
        for begins, ends in spans(days, timedelta(days=1)):
            timescale.refresh(connection, "unit_day", begins, ends)
        with connection.transaction():
            _finish(connection, marks, columns)
        return len(marks)
    finally:
        connection.execute("SELECT pg_advisory_unlock(%s)", (ADVISORY_LOCK,))


def spans(begins: Iterable[datetime], width: timedelta) -> list[tuple[datetime, datetime]]:
    """Buckets as the fewest stretches that hold them: [begin, end)."""
    found: list[tuple[datetime, datetime]] = []
    for begin in sorted(set(begins)):
        if found and found[-1][1] == begin:
            found[-1] = found[-1][0], begin + width
        else:
            found.append((begin, begin + width))
    return found


def _touched(connection: Connection[Any], marks: Sequence[Mark]) -> tuple[list[int], list[datetime]]:
    """The distinct sensor units and hours (UTC) of the marks, as columns; none whose minutes are gone, none
    of a day whose hours are gone."""
    row = connection.execute(_KEPT_FROM).fetchone()
    kept_from = row[0] if row else None
    touched = sorted({(unit, hour.astimezone(UTC)) for _, unit, hour in marks})
    kept = [each for each in touched if kept_from is None or each[1] >= kept_from]
    return [unit for unit, _ in kept], [hour for _, hour in kept]


def _finish(
    connection: Connection[Any], marks: Sequence[Mark], columns: tuple[list[int], list[datetime]]
) -> None:
    if columns[0]:
        connection.execute(_AIR, columns)
        connection.execute(_DISTRICTS, columns)
    if marks:
        connection.execute(_DONE, ([mark[0] for mark in marks],))
