"""Queries of the telemetry slice: session in, plain dataclasses out, values in their units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlmodel import Session

from fleet_server.telemetry.rules import Gap, Resolution, scaled
from wire_contract.flags import Flag
from wire_contract.topics import Address


@dataclass(frozen=True)
class SeriesInfo:
    """One channel of one sensor unit. `exponent`: its resolution, as a power of ten."""

    id: int
    address: Address
    sensor_unit: int
    kind: str
    site: str
    serial: str
    slot: int
    channel: str
    unit: str
    exponent: int


@dataclass(frozen=True)
class LatestReading:
    """The newest reading of a series; `value` is None where the sensor gave none. flag: a wire Flag."""

    series: SeriesInfo
    time: datetime
    value: float | None
    flag: int


@dataclass(frozen=True)
class Point:
    """A reading, or what a minute, an hour or a day of them comes to.

    value: the reading or the mean of the good ones; flagged: how many are suspect, bad or missing;
    flag: of a raw reading only.
    """

    time: datetime
    value: float | None
    low: float | None
    high: float | None
    n: int
    flagged: int
    flag: int | None = None


_SERIES_COLUMNS = """
    s.id, d.tenant, d.name, s.sensor_unit_id, u.kind, u.site, u.serial, s.slot, s.channel, s.unit, s.exponent
"""
_SERIES_FROM = "series s JOIN sensor_unit u ON u.id = s.sensor_unit_id JOIN device d ON d.id = u.device_id"

_HOURS = """
    SELECT bucket, n, sum, min, max, flagged FROM rollup_1h
    WHERE series_id = :series AND bucket >= :begins AND bucket < :ends
          AND bucket NOT IN (SELECT hour FROM dirty)
    UNION ALL
    SELECT d.hour, sum(m.n), sum(m.sum), min(m.min), max(m.max), sum(m.flagged)
    FROM dirty d JOIN rollup_1m m ON m.series_id = :series
         AND m.bucket >= d.hour AND m.bucket < d.hour + interval '1 hour'
    GROUP BY d.hour
"""
_DIRTY = """
    SELECT DISTINCT hour FROM rollup_dirty WHERE sensor_unit = :unit AND hour >= :begins AND hour < :ends
"""
# What the worker role has not folded yet is read from the finer rollup: a chart is never behind.
_BUCKETS = {
    Resolution.MINUTE: """
        SELECT bucket, n, sum, min, max, flagged FROM rollup_1m
        WHERE series_id = :series AND bucket >= :begins AND bucket < :ends
    """,
    Resolution.HOUR: f"WITH dirty AS ({_DIRTY}) {_HOURS}",
    Resolution.DAY: f"""
        WITH dirty AS ({_DIRTY}), hours AS ({_HOURS}),
             days AS (SELECT DISTINCT date_trunc('day', hour, 'UTC') AS day FROM dirty)
        SELECT bucket, n, sum, min, max, flagged FROM rollup_1d
        WHERE series_id = :series AND bucket >= :begins AND bucket < :ends
              AND bucket NOT IN (SELECT day FROM days)
        UNION ALL
        SELECT date_trunc('day', bucket, 'UTC'), sum(n), sum(sum), min(min), max(max), sum(flagged) FROM hours
        WHERE date_trunc('day', bucket, 'UTC') IN (SELECT day FROM days) GROUP BY 1
    """,  # noqa: S608 - made of the constants above
}


def latest(
    session: Session, address: Address | None, channel: str | None, after_series: int, limit: int
) -> list[LatestReading]:
    """The newest readings, by series id; of one device, of one channel, or of all."""
    query = f"""
        SELECT {_SERIES_COLUMNS}, l.time, l.value, l.flag
        FROM {_SERIES_FROM} JOIN latest l ON l.series_id = s.id
        WHERE s.id > :after AND (CAST(:tenant AS text) IS NULL OR (d.tenant = :tenant AND d.name = :name))
              AND (CAST(:channel AS text) IS NULL OR s.channel = :channel)
        ORDER BY s.id LIMIT :limit
    """  # noqa: S608 - made of the constants above
    values = {
        "after": after_series,
        "tenant": address.tenant if address else None,
        "name": address.device if address else None,
        "channel": channel,
        "limit": limit,
    }
    found = []
    for *columns, time, value, flag in session.execute(text(query), values):
        series = _series(columns)
        found.append(LatestReading(series, time, scaled(value, series.exponent), flag))
    return found


def find_series(session: Session, series_id: int) -> SeriesInfo | None:
    query = text(f"SELECT {_SERIES_COLUMNS} FROM {_SERIES_FROM} WHERE s.id = :id")  # noqa: S608 - constants
    row = session.execute(query, {"id": series_id}).one_or_none()
    return None if row is None else _series(row)


def _series(row: Sequence[Any]) -> SeriesInfo:
    series_id, tenant, name, *rest = row
    return SeriesInfo(series_id, Address(tenant, name), *rest)


def cadence_s(
    session: Session, series: SeriesInfo, begins: datetime, ends: datetime, *, newest: bool = False
) -> float | None:
    """The median distance of the unit's first (or last) samples in the range, in s; None: too few to tell."""
    order = "time DESC" if newest else "time"
    query = text(
        "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM step)) FROM ("  # noqa: S608
        " SELECT time - lag(time) OVER (ORDER BY time) AS step FROM ("
        "  SELECT time FROM sample WHERE sensor_unit = :unit AND time >= :begins AND time < :ends"
        f"  ORDER BY {order} LIMIT 1000) few) steps WHERE step IS NOT NULL"
    )
    values = {"unit": series.sensor_unit, "begins": begins, "ends": ends}
    found: float | None = session.execute(query, values).scalar()
    return found


def raw_points(
    session: Session, series: SeriesInfo, begins: datetime, ends: datetime, limit: int
) -> list[Point]:
    """The readings of the series from `begins` up to `ends`, ascending, at most `limit`."""
    slot = int(series.slot)
    query = text(
        f"SELECT time, s{slot}, (flags >> {4 * slot}) & 15 FROM sample"  # noqa: S608 - slot is an integer
        f" WHERE sensor_unit = :unit AND time >= :begins AND time < :ends AND s{slot} IS NOT NULL"
        " ORDER BY time LIMIT :limit"
    )
    values = {"unit": series.sensor_unit, "begins": begins, "ends": ends, "limit": limit}
    points = []
    for time, value, flag in session.execute(query, values):
        flagged = Flag(flag).qartod in (3, 4, 9)
        reading = None if flag == Flag.MISSING else scaled(value, series.exponent)
        points.append(Point(time, reading, reading, reading, int(not flagged), int(flagged), flag))
    return points


def buckets(
    session: Session,
    series: SeriesInfo,
    begins: datetime,
    ends: datetime,
    resolution: Resolution,
    limit: int,
) -> list[Point]:
    """Minutes, hours or days whose start lies from `begins` (a bucket's start) up to `ends`, ascending."""
    query = text(f"SELECT * FROM ({_BUCKETS[resolution]}) found ORDER BY bucket LIMIT :limit")  # noqa: S608
    values = {"series": series.id, "unit": series.sensor_unit, "begins": begins, "ends": ends, "limit": limit}
    points = []
    for bucket, n, total, low, high, flagged in session.execute(query, values):
        mean = float(total) / int(n) if n else None
        e = series.exponent
        points.append(Point(bucket, scaled(mean, e), scaled(low, e), scaled(high, e), int(n), int(flagged)))
    return points


def silences(
    session: Session, series: SeriesInfo, begins: datetime, ends: datetime, longest_s: float, limit: int
) -> list[Gap]:
    """Longer than `longest_s` without a sample of the unit, by begin.

    The samples on either side may lie outside the range; after the last one the silence lasts until `ends`.
    """
    query = text(
        "SELECT time, next FROM (SELECT time, coalesce(lead(time) OVER (ORDER BY time), :ends) AS next FROM ("
        "  SELECT time FROM sample WHERE sensor_unit = :unit AND time >= :begins AND time < :ends"
        "  UNION ALL (SELECT time FROM sample WHERE sensor_unit = :unit AND time < :begins"
        "   ORDER BY time DESC LIMIT 1)"
        "  UNION ALL (SELECT time FROM sample WHERE sensor_unit = :unit AND time >= :ends"
        "   ORDER BY time LIMIT 1)) all_times) steps"
        " WHERE extract(epoch FROM next - time) > :longest AND time < :ends ORDER BY time LIMIT :limit"
    )
    values = {
        "unit": series.sensor_unit,
        "begins": begins,
        "ends": ends,
        "longest": longest_s,
        "limit": limit,
    }
    return [Gap(time, after, "silence") for time, after in session.execute(query, values)]


def shed(session: Session, series: SeriesInfo, begins: datetime, ends: datetime, limit: int) -> list[Gap]:
    """What the series' device shed of its samples within the range, whichever sensor they were of."""
    query = text(
        "SELECT t.begins, t.ends, t.reason, t.samples FROM tombstone t JOIN sensor_unit u USING (device_id)"
        " WHERE u.id = :unit AND t.class IN (2, 3) AND t.begins < :ends AND t.ends >= :begins"
        " ORDER BY t.begins, t.first LIMIT :limit"
    )
    values = {"unit": series.sensor_unit, "begins": begins, "ends": ends, "limit": limit}
    return [Gap(*row) for row in session.execute(query, values)]
