"""Hours and days from minutes, where minutes changed. Until it has run, queries read the minutes instead."""

from __future__ import annotations

from typing import Any

from psycopg import Connection

MARKS_A_TICK = 5_000
ADVISORY_LOCK = 7_265_002  # one worker at a time: two could write an older sum over a newer one

_TAKE = """
DELETE FROM rollup_dirty WHERE id IN (SELECT id FROM rollup_dirty ORDER BY id LIMIT %s)
RETURNING sensor_unit, hour
"""
# LATERAL with an aggregate: an index range scan a series and hour; a join would read the whole table instead.
_HOURS = """
INSERT INTO rollup_1h (series_id, bucket, n, sum, min, max, flagged)
SELECT s.id, t.hour, m.n, m.sum, m.min, m.max, m.flagged
FROM unnest(%s::int[], %s::timestamptz[]) AS t(sensor_unit, hour)
JOIN series s ON s.sensor_unit_id = t.sensor_unit
CROSS JOIN LATERAL (
    SELECT sum(n) AS n, sum(sum) AS sum, min(min) AS min, max(max) AS max, sum(flagged) AS flagged
    FROM rollup_1m r
    WHERE r.series_id = s.id AND r.bucket >= t.hour AND r.bucket < t.hour + interval '1 hour') AS m
WHERE m.n IS NOT NULL
ON CONFLICT (series_id, bucket) DO UPDATE SET n = excluded.n, sum = excluded.sum, min = excluded.min,
    max = excluded.max, flagged = excluded.flagged
"""
_DAYS = """
INSERT INTO rollup_1d (series_id, bucket, n, sum, min, max, flagged)
SELECT s.id, t.day, h.n, h.sum, h.min, h.max, h.flagged
FROM (SELECT DISTINCT sensor_unit, date_trunc('day', hour, 'UTC') AS day
      FROM unnest(%s::int[], %s::timestamptz[]) AS u(sensor_unit, hour)) AS t
JOIN series s ON s.sensor_unit_id = t.sensor_unit
CROSS JOIN LATERAL (
    SELECT sum(n) AS n, sum(sum) AS sum, min(min) AS min, max(max) AS max, sum(flagged) AS flagged
    FROM rollup_1h r
    WHERE r.series_id = s.id AND r.bucket >= t.day AND r.bucket < t.day + interval '24 hours') AS h
WHERE h.n IS NOT NULL
ON CONFLICT (series_id, bucket) DO UPDATE SET n = excluded.n, sum = excluded.sum, min = excluded.min,
    max = excluded.max, flagged = excluded.flagged
"""
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
