"""Hours and days of districts, from the hours and days of their lampposts, where one of them changed.

Plain tables on TimescaleDB too: a continuous aggregate would not notice that a lamppost moved to another
district. A lamppost counts once, however many of its sensors measure a channel and however often: its mean is
over all its readings of the channel in that unit, and the district's is the mean of these. Suspect, bad and
missing readings are in none of them. low and high are the lowest and the highest reading.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg import Connection

from fleet_server.telemetry.upkeep.rollups import ADVISORY_LOCK as ROLL_UP_LOCK
from wire_contract.limits import MAX_SLOTS

MARKS_A_TICK = 200  # district hours: each reads an hour of all the district's lampposts
MOVES_A_TICK = 20
ADVISORY_LOCK = 7_265_009  # one worker at a time: two could write an older mean over a newer one

# All hours that the lamppost has. Serialized with the roll-up, which may be marking the district it left.
_MOVES = """
WITH moved AS (
    DELETE FROM district_move WHERE id IN (SELECT id FROM district_move ORDER BY id LIMIT %s)
    RETURNING device_id, tenant, district),
marked AS (
    INSERT INTO district_dirty (tenant, district, hour)
    SELECT DISTINCT m.tenant, m.district, h.bucket
    FROM moved m JOIN sensor_unit u ON u.device_id = m.device_id JOIN unit_hour h ON h.sensor_unit = u.id
    ON CONFLICT DO NOTHING)
SELECT count(*) FROM moved
"""
_TAKE = """
DELETE FROM district_dirty WHERE (tenant, district, hour) IN (
    SELECT tenant, district, hour FROM district_dirty ORDER BY hour DESC, tenant, district LIMIT %s)
RETURNING tenant, district, hour
"""
_SLOTS = ", ".join(
    f"({slot}, m.n_{slot}, m.sum_{slot}, m.min_{slot}, m.max_{slot})" for slot in range(MAX_SLOTS)
)
# One index look a sensor unit and bucket; the series then say what each slot measures. The bounds are for
# TimescaleDB, which excludes chunks by a constant and not by what a join brings.
_FOLD = f"""
WITH wanted AS (
    SELECT DISTINCT * FROM unnest(%(tenants)s::text[], %(districts)s::text[], %(buckets)s::timestamptz[])
                           AS t(tenant, district, bucket)),
readings AS (
    SELECT w.tenant, w.district, w.bucket, d.id AS device, s.channel, s.unit,
           power(10::float8, s.exponent) AS scale, v.n, v.sum, v.low, v.high
    FROM wanted w
    JOIN device d ON d.tenant = w.tenant AND d.district = w.district
    JOIN sensor_unit u ON u.device_id = d.id
    JOIN {{table}} m ON m.sensor_unit = u.id AND m.bucket = w.bucket
                    AND m.bucket >= %(first)s AND m.bucket <= %(last)s
    CROSS JOIN LATERAL (VALUES {_SLOTS}) AS v(slot, n, sum, low, high)
    JOIN series s ON s.sensor_unit_id = u.id AND s.slot = v.slot
    WHERE v.n > 0),
lampposts AS (
    SELECT tenant, district, channel, unit, bucket, device, sum(n) AS n, sum(sum * scale) / sum(n) AS mean,
           min(low * scale) AS low, max(high * scale) AS high
    FROM readings GROUP BY tenant, district, channel, unit, bucket, device),
fresh AS (
    SELECT tenant, district, channel, unit, bucket, count(*)::int AS lampposts, sum(n)::bigint AS n,
           avg(mean) AS mean, min(low) AS low, max(high) AS high
    FROM lampposts GROUP BY tenant, district, channel, unit, bucket),
gone AS (
    DELETE FROM {{into}} o USING wanted w
    WHERE o.tenant = w.tenant AND o.district = w.district AND o.bucket = w.bucket AND NOT EXISTS (
        SELECT FROM fresh f WHERE f.tenant = o.tenant AND f.district = o.district AND f.channel = o.channel
                                  AND f.unit = o.unit AND f.bucket = o.bucket))
INSERT INTO {{into}} AS o (tenant, district, channel, unit, bucket, lampposts, n, mean, low, high)
SELECT tenant, district, channel, unit, bucket, lampposts, n, mean, low, high FROM fresh
ON CONFLICT (tenant, district, channel, unit, bucket) DO UPDATE SET lampposts = excluded.lampposts,
    n = excluded.n, mean = excluded.mean, low = excluded.low, high = excluded.high
WHERE (o.lampposts, o.n, o.mean, o.low, o.high)
      IS DISTINCT FROM (excluded.lampposts, excluded.n, excluded.mean, excluded.low, excluded.high)
"""  # noqa: S608 - made of the constants above
_HOURS = _FOLD.format(table="unit_hour", into="district_hour")
_DAYS = _FOLD.format(table="unit_day", into="district_day")


def follow_districts(connection: Connection[Any]) -> int:
    """One tick; returns how many marks were worked off."""
    with connection.transaction():
        if not _locked(connection, ADVISORY_LOCK):
            return 0
        moves = _expand_moves(connection)
        marks = connection.execute(_TAKE, (MARKS_A_TICK,)).fetchall()
        if marks:
            connection.execute(_HOURS, _columns(marks))
            connection.execute(_DAYS, _columns([(t, d, _day(hour)) for t, d, hour in marks]))
        return len(marks) + moves


def _expand_moves(connection: Connection[Any]) -> int:
    if connection.execute("SELECT 1 FROM district_move LIMIT 1").fetchone() is None:
        return 0
    if not _locked(connection, ROLL_UP_LOCK):
        return 0
    row = connection.execute(_MOVES, (MOVES_A_TICK,)).fetchone()
    assert row is not None
    return int(row[0])


def _locked(connection: Connection[Any], lock: int) -> bool:
    row = connection.execute("SELECT pg_try_advisory_xact_lock(%s)", (lock,)).fetchone()
    return row is not None and bool(row[0])


def _columns(marks: list[tuple[str, str, datetime]]) -> dict[str, Any]:
    tenants, districts, buckets = zip(*marks, strict=True)
    columns = {"tenants": list(tenants), "districts": list(districts), "buckets": list(buckets)}
    return columns | {"first": min(buckets), "last": max(buckets)}


def _day(hour: datetime) -> datetime:
    utc = hour.astimezone(UTC)
    return utc - timedelta(hours=utc.hour)
