"""The worker's tick: where an hour of a sensor unit changed, means, indices and its district's index follow.

Marks come from the roll-up (minutes changed), from a new calibration, and from the end of an hour that was
running. The newest hours go first, so that a past that is computed anew never delays the present. All is read
from the one-minute rollup, which is right for the running hour and for closed ones alike; what comes out the
same is not written again. A tick that is cut off leaves its marks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from psycopg import Connection

from air_quality.calibration import Calibration
from air_quality.nowcast import HOURS as NOWCAST_HOURS
from fleet_server.air import rules
from fleet_server.air.rules import HOUR, Hour, UnitMeans

MARKS_A_TICK = 1_000
ADVISORY_LOCK = 7_265_006  # one worker at a time: two could write an older mean over a newer one

DeviceHour = tuple[int, datetime]

_REOPEN = """
INSERT INTO air_dirty (sensor_unit, hour)
SELECT sensor_unit, time FROM (SELECT DISTINCT sensor_unit, time FROM air_hour
                               WHERE NOT closed AND time < %s ORDER BY time DESC LIMIT %s) over
ON CONFLICT DO NOTHING
"""
_TAKE = """
DELETE FROM air_dirty WHERE (sensor_unit, hour) IN (
    SELECT sensor_unit, hour FROM air_dirty ORDER BY hour DESC, sensor_unit LIMIT %s)
RETURNING sensor_unit, hour
"""
_TOUCHED = """
SELECT DISTINCT u.device_id, t.hour FROM unnest(%s::int[], %s::timestamptz[]) AS t(sensor_unit, hour)
JOIN sensor_unit u ON u.id = t.sensor_unit ORDER BY 1, 2
"""
# LATERAL with an aggregate: an index range scan a series and hour, however long the past in the table is.
# The last bounds say nothing new: TimescaleDB excludes chunks by constants, not by what a join brings.
_MEANS = """
SELECT t.device, t.hour, u.id, u.kind, s.channel,
       m.total::double precision / m.n::double precision * power(10::double precision, s.exponent),
       m.parts, m.through
FROM unnest(%s::int[], %s::timestamptz[]) AS t(device, hour)
JOIN sensor_unit u ON u.device_id = t.device
JOIN series s ON s.sensor_unit_id = u.id
CROSS JOIN LATERAL (
    SELECT sum(n) AS n, sum(sum) AS total, max(bucket) + interval '1 minute' AS through,
           bit_or(CASE WHEN n >= flagged THEN 1 << (extract(epoch FROM bucket - t.hour)::int / %s) ELSE 0 END)
           AS parts
    FROM rollup_1m r
    WHERE r.series_id = s.id AND r.bucket >= t.hour AND r.bucket < t.hour + interval '1 hour' AND r.n > 0
          AND r.bucket >= %s AND r.bucket < %s
) AS m
WHERE m.n > 0 AND (s.channel, s.unit) IN
      (('pm2_5', 'ug/m3'), ('pm2_5_cf1', 'ug/m3'), ('pm10', 'ug/m3'), ('humidity', '%%'))
ORDER BY t.device, t.hour, u.id
"""
_CALIBRATIONS = """
SELECT c.sensor_unit_id, c.slope, c.offset_, c.humidity, c.valid_from, c.source, c.channel
FROM calibration c JOIN sensor_unit u ON u.id = c.sensor_unit_id WHERE u.device_id = ANY(%s)
"""
_DROP_HOURS = """
DELETE FROM air_hour a USING unnest(%s::int[], %s::timestamptz[]) AS t(device_id, time)
WHERE a.device_id = t.device_id AND a.time = t.time AND (a.device_id, a.time, a.pollutant) NOT IN (
    SELECT * FROM unnest(%s::int[], %s::timestamptz[], %s::text[]))
"""
_HOURS = """
INSERT INTO air_hour AS a (device_id, time, pollutant, sensor_unit, raw, value, correction, humidity, parts,
                           complete, closed, through)
SELECT * FROM unnest(%s::int[], %s::timestamptz[], %s::text[], %s::int[], %s::float8[], %s::float8[],
                     %s::text[], %s::float8[], %s::smallint[], %s::bool[], %s::bool[], %s::timestamptz[])
ON CONFLICT (device_id, time, pollutant) DO UPDATE SET sensor_unit = excluded.sensor_unit, raw = excluded.raw,
    value = excluded.value, correction = excluded.correction, humidity = excluded.humidity,
    parts = excluded.parts, complete = excluded.complete, closed = excluded.closed, through = excluded.through
WHERE a IS DISTINCT FROM excluded
"""
# What an index can depend on: eleven hours back; what it can move: eleven hours on.
_AROUND = """
SELECT DISTINCT a.device_id, a.time, a.pollutant, a.sensor_unit, a.raw, a.value, a.correction, a.humidity,
       a.parts, a.complete, a.closed, a.through
FROM unnest(%s::int[], %s::timestamptz[]) AS t(device_id, hour)
JOIN air_hour a ON a.device_id = t.device_id AND a.time > t.hour - %s AND a.time < t.hour + %s
"""
_DROP_INDICES = """
DELETE FROM air_index i USING unnest(%s::int[], %s::timestamptz[]) AS t(device_id, time)
WHERE i.device_id = t.device_id AND i.time = t.time AND (i.device_id, i.time, i.index_id) NOT IN (
    SELECT * FROM unnest(%s::int[], %s::timestamptz[], %s::text[]))
"""
_INDICES = """
INSERT INTO air_index AS i (device_id, time, index_id, value, level, category, driver, concentration,
                            correction, through)
SELECT * FROM unnest(%s::int[], %s::timestamptz[], %s::text[], %s::int[], %s::smallint[], %s::text[],
                     %s::text[], %s::float8[], %s::text[], %s::timestamptz[])
ON CONFLICT (device_id, time, index_id) DO UPDATE SET value = excluded.value, level = excluded.level,
    category = excluded.category, driver = excluded.driver, concentration = excluded.concentration,
    correction = excluded.correction, through = excluded.through
WHERE i IS DISTINCT FROM excluded
"""
_OF_DISTRICTS = """
WITH touched AS (
    SELECT DISTINCT d.tenant, d.district, t.time FROM unnest(%s::int[], %s::timestamptz[]) AS t(device, time)
    JOIN device d ON d.id = t.device WHERE d.district <> '')
SELECT t.tenant, t.district, t.time, i.index_id, i.value, i.driver
FROM touched t LEFT JOIN device d ON d.tenant = t.tenant AND d.district = t.district AND d.state = 'active'
LEFT JOIN air_index i ON i.device_id = d.id AND i.time = t.time
"""
_DROP_DISTRICTS = """
DELETE FROM district_index i
USING unnest(%s::text[], %s::text[], %s::timestamptz[]) AS t(tenant, district, time)
WHERE i.tenant = t.tenant AND i.district = t.district AND i.time = t.time
      AND (i.tenant, i.district, i.time, i.index_id) NOT IN (
          SELECT * FROM unnest(%s::text[], %s::text[], %s::timestamptz[], %s::text[]))
"""
_DISTRICTS = """
INSERT INTO district_index AS i (tenant, district, time, index_id, value, level, category, driver, n)
SELECT * FROM unnest(%s::text[], %s::text[], %s::timestamptz[], %s::text[], %s::int[], %s::smallint[],
                     %s::text[], %s::text[], %s::int[])
ON CONFLICT (tenant, district, time, index_id) DO UPDATE SET value = excluded.value, level = excluded.level,
    category = excluded.category, driver = excluded.driver, n = excluded.n
WHERE i IS DISTINCT FROM excluded
"""


def follow(connection: Connection[Any], now: datetime) -> int:
    """One tick; returns how many marks were worked off. now: the street clock's."""
    with connection.transaction():
        locked = connection.execute("SELECT pg_try_advisory_xact_lock(%s)", (ADVISORY_LOCK,)).fetchone()
        if locked is None or not locked[0]:
            return 0
        connection.execute(_REOPEN, (rules.hour_of(now), MARKS_A_TICK))
        marks = connection.execute(_TAKE, (MARKS_A_TICK,)).fetchall()
        # an hour that has not begun is a wrong clock's: it would stand as the newest for ever
        marks = [(unit, hour) for unit, hour in marks if hour <= now]
        if marks:
            touched: list[DeviceHour] = connection.execute(_TOUCHED, _columns(marks, 2)).fetchall()
            _follow_hours(connection, touched, now)
            moved = _follow_indices(connection, touched)
            _follow_districts(connection, moved)
        return len(marks)


def _columns(rows: Sequence[Sequence[Any]], width: int) -> list[list[Any]]:
    """Rows as one list a column, for unnest."""
    return [[row[i] for row in rows] for i in range(width)]


def _follow_hours(connection: Connection[Any], touched: Sequence[DeviceHour], now: datetime) -> None:
    keys = _columns(touched, 2)
    hours = [hour for _, hour in touched]
    within = (min(hours), max(hours) + HOUR) if hours else (now, now)
    units = _units(connection.execute(_MEANS, (*keys, rules.PART_S, *within)).fetchall())
    calibrations = _calibrations(connection, {device for device, _ in touched})
    rows = [
        (device, start, h.pollutant, h.sensor_unit, h.raw, h.value, h.correction, h.humidity, h.parts,
         h.complete, h.closed, h.through)
        for (device, start), several in units.items()
        for h in rules.hours_of(several, calibrations, start, now)
    ]  # fmt: skip
    connection.execute(_DROP_HOURS, (*keys, *_columns(rows, 3)))
    connection.execute(_HOURS, _columns(rows, 12))


def _units(rows: Sequence[tuple[Any, ...]]) -> dict[DeviceHour, list[UnitMeans]]:
    """(device, hour) -> what its units measured."""
    found: dict[DeviceHour, dict[int, UnitMeans]] = defaultdict(dict)
    for device, start, unit, kind, channel, mean, parts, through in rows:
        of_hour = found[device, start.astimezone(UTC)]
        before = of_hour.get(unit) or UnitMeans(unit, kind, {}, {}, through)
        of_hour[unit] = UnitMeans(
            unit,
            kind,
            {**before.means, channel: mean},
            {**before.parts, channel: parts},
            max(before.through, through),
        )
    return {where: list(units.values()) for where, units in found.items()}


def _calibrations(connection: Connection[Any], devices: set[int]) -> Mapping[int, Sequence[Calibration]]:
    found: dict[int, list[Calibration]] = defaultdict(list)
    for unit, slope, offset, humidity, begins, source, channel in connection.execute(
        _CALIBRATIONS, (sorted(devices),)
    ):
        begins_ms = int(begins.timestamp() * 1000)
        found[unit].append(Calibration(slope, offset, humidity, begins_ms, source, channel))
    return found


def _follow_indices(connection: Connection[Any], touched: Sequence[DeviceHour]) -> list[DeviceHour]:
    """Write the indices that the touched hours go into; returns the lampposts' hours looked at."""
    hours: dict[int, dict[tuple[datetime, str], Hour]] = defaultdict(dict)
    span = NOWCAST_HOURS * HOUR
    for device, start, pollutant, *rest in connection.execute(_AROUND, (*_columns(touched, 2), span, span)):
        hours[device][start.astimezone(UTC), pollutant] = Hour(pollutant, *rest)
    targets = {(device, start.astimezone(UTC)) for device, start in touched}
    for device, start in sorted(targets):
        later = (start + n * HOUR for n in range(1, NOWCAST_HOURS))
        targets |= {(device, t) for t in later if any((t, p) in hours[device] for p in rules.POLLUTANTS)}
    rows = [
        (device, start, i.index_id, i.value, i.level, i.category, i.driver, i.concentration, i.correction,
         i.through)
        for device, start in sorted(targets)
        if any((start, pollutant) in hours[device] for pollutant in rules.POLLUTANTS)
        for i in rules.indices_of(hours[device], start)
    ]  # fmt: skip
    moved = sorted(targets)
    connection.execute(_DROP_INDICES, (*_columns(moved, 2), *_columns(rows, 3)))
    connection.execute(_INDICES, _columns(rows, 10))
    return moved


def _follow_districts(connection: Connection[Any], moved: Sequence[DeviceHour]) -> None:
    lampposts: dict[tuple[str, str, datetime], dict[str, list[tuple[int, str]]]] = {}
    for tenant, district, time, index_id, value, driver in connection.execute(
        _OF_DISTRICTS, _columns(moved, 2)
    ):
        by_index = lampposts.setdefault((tenant, district, time), defaultdict(list))
        if index_id is not None:
            by_index[index_id].append((value, driver))
    rows = [
        (*where, index_id, d.value, d.level, d.category, d.driver, d.n)
        for where, by_index in lampposts.items()
        for index_id, several in by_index.items()
        if (d := rules.district_of(index_id, several)) is not None
    ]
    connection.execute(_DROP_DISTRICTS, (*_columns(list(lampposts), 3), *_columns(rows, 4)))
    connection.execute(_DISTRICTS, _columns(rows, 9))
