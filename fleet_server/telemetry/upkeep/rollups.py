"""Hours and days from minutes, where minutes changed. Until it has run, queries read the minutes instead."""

from __future__ import annotations

from typing import Any

from psycopg import Connection

from wire_contract.limits import MAX_SLOTS

MARKS_A_TICK = 5_000
ADVISORY_LOCK = 7_265_002  # one worker at a time: two could write an older sum over a newer one

_TAKE = """
DELETE FROM rollup_dirty WHERE id IN (SELECT id FROM rollup_dirty ORDER BY id LIMIT %s)
RETURNING sensor_unit, hour
"""
_FOLDS = {"sum": "sum({c})::bigint", "n": "sum({c})::int", "min": "min({c})", "max": "max({c})"}
_FOLDS |= {"flagged": "sum({c})::int"}
_COLUMNS = [f"{field}_{i}" for field in _FOLDS for i in range(MAX_SLOTS)]
_FOLDED = ", ".join(
    f"{fold.format(c=f'{field}_{i}')}" for field, fold in _FOLDS.items() for i in range(MAX_SLOTS)
)
_INTO = f"(sensor_unit, bucket, {', '.join(_COLUMNS)})"
_UPDATE = f"""
ON CONFLICT (sensor_unit, bucket) DO UPDATE SET {", ".join(f"{c} = excluded.{c}" for c in _COLUMNS)}
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


def roll_up(connection: Connection[Any]) -> int:
    """One tick; returns how many marks were worked off.

    A mark belongs to the transaction that changed the minutes: who sees the mark sees the minutes, and a
    change that is not committed yet brings a mark of its own later.
    """
    with connection.transaction():
        locked = connection.execute("SELECT pg_try_advisory_xact_lock(%s)", (ADVISORY_LOCK,)).fetchone()
        if locked is None or not locked[0]:
            return 0
        marks = connection.execute(_TAKE, (MARKS_A_TICK,)).fetchall()
        touched = sorted(set(marks))
        if touched:
            columns = ([unit for unit, _ in touched], [hour for _, hour in touched])
            connection.execute(_HOURS, columns)
            connection.execute(_DAYS, columns)
            connection.execute(_AIR, columns)
        return len(marks)
