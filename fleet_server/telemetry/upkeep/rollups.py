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
_HOURS = """
INSERT INTO rollup_1h (series_id, bucket, n, sum, min, max, flagged)
SELECT m.series_id, t.hour, sum(m.n), sum(m.sum), min(m.min), max(m.max), sum(m.flagged)
FROM unnest(%s::int[], %s::timestamptz[]) AS t(sensor_unit, hour)
JOIN series s ON s.sensor_unit_id = t.sensor_unit
JOIN rollup_1m m ON m.series_id = s.id AND m.bucket >= t.hour AND m.bucket < t.hour + interval '1 hour'
GROUP BY m.series_id, t.hour
ON CONFLICT (series_id, bucket) DO UPDATE SET n = excluded.n, sum = excluded.sum, min = excluded.min,
    max = excluded.max, flagged = excluded.flagged
"""
_DAYS = """
INSERT INTO rollup_1d (series_id, bucket, n, sum, min, max, flagged)
SELECT h.series_id, t.day, sum(h.n), sum(h.sum), min(h.min), max(h.max), sum(h.flagged)
FROM (SELECT DISTINCT sensor_unit, date_trunc('day', hour, 'UTC') AS day
      FROM unnest(%s::int[], %s::timestamptz[]) AS u(sensor_unit, hour)) AS t
JOIN series s ON s.sensor_unit_id = t.sensor_unit
JOIN rollup_1h h ON h.series_id = s.id AND h.bucket >= t.day AND h.bucket < t.day + interval '24 hours'
GROUP BY h.series_id, t.day
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
