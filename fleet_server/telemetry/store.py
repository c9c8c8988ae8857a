"""Queries of the telemetry slice: session in, plain dataclasses out, values in their units."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import text
from sqlmodel import Session

from fleet_server.telemetry import bucket_store
from fleet_server.telemetry.bucket_store import Stretch
from fleet_server.telemetry.rules import Gap, scaled
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


SERIES_COLUMNS = """
    s.id, d.tenant, d.name, s.sensor_unit_id, u.kind, u.site, u.serial, s.slot, s.channel, s.unit, s.exponent
"""
FROM = "series s JOIN sensor_unit u ON u.id = s.sensor_unit_id JOIN device d ON d.id = u.device_id"


WITHIN = "(CAST(:within AS text) IS NULL OR d.tenant = :within)"


def find_series(session: Session, series_id: int, within: str | None) -> SeriesInfo | None:
    """None where there is no such series in the tenant `within` (None: in any)."""
    query = text(f"SELECT {SERIES_COLUMNS} FROM {FROM} WHERE s.id = :id AND {WITHIN}")  # noqa: S608 - constants
    row = session.execute(query, {"id": series_id, "within": within}).one_or_none()
    return None if row is None else series_of(*row)


@lru_cache(maxsize=65_536)  # a large city's series; 400 bytes each
def series_of(series_id: int, tenant: str, name: str, *rest: Any) -> SeriesInfo:
    """SERIES_COLUMNS as a value: the same columns give the same one, so that a page of thousands is cheap."""
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


def first_stored(session: Session, address: Address, after: datetime, within: str | None) -> datetime | None:
    """When the first batch with samples came after that instant, by the ledger: it keeps some minutes."""
    query = text(
        "SELECT min(b.received_at) FROM batch b JOIN device d ON d.id = b.device_id"  # noqa: S608 - constants
        f" WHERE d.tenant = :tenant AND d.name = :name AND {WITHIN}"
        " AND b.received_at > :after AND b.samples > 0"
    )
    values = {"tenant": address.tenant, "name": address.device, "after": after, "within": within}
    found: datetime | None = session.execute(query, values).scalar()
    return found


def buckets(session: Session, series: SeriesInfo, stretch: Stretch, limit: int) -> list[Point]:
    """The stretch's minutes, hours or days, ascending, at most `limit`."""
    e = series.exponent
    points = []
    for found in bucket_store.buckets(session, series.sensor_unit, [series.id], stretch, limit):
        mean = found.total / found.n if found.n else None
        low, high = scaled(found.low, e), scaled(found.high, e)
        points.append(Point(found.begins, scaled(mean, e), low, high, found.n, found.flagged))
    return points


# What is missing, by begin; of two that begin together, what was shed goes first. `tie` tells the rest apart.
_GAPS = """
    SELECT begins, ends, reason, samples, source, tie FROM (
        SELECT time AS begins, next AS ends, 'silence' AS reason, NULL::int AS samples, 1 AS source, '' AS tie
        FROM (SELECT time, coalesce(lead(time) OVER (ORDER BY time), :ends) AS next FROM (
            SELECT time FROM sample WHERE sensor_unit = :unit AND time >= :begins AND time < :ends
            UNION ALL (SELECT time FROM sample WHERE sensor_unit = :unit AND time < :begins
                ORDER BY time DESC LIMIT 1)
            UNION ALL (SELECT time FROM sample WHERE sensor_unit = :unit AND time >= :ends
                ORDER BY time LIMIT 1)) all_times) steps
        WHERE extract(epoch FROM next - time) > :longest AND time < :ends
        UNION ALL
        SELECT t.begins, t.ends, t.reason, t.samples, 0,
               encode(t.epoch, 'hex') || lpad(t.class::text, 3, '0') || lpad(t.first::text, 20, '0')
        FROM tombstone t JOIN sensor_unit u USING (device_id)
        WHERE u.id = :unit AND t.class IN (2, 3) AND t.begins < :ends AND t.ends >= :begins
    ) found
    WHERE CAST(:after AS timestamptz) IS NULL
          OR (begins, source, tie COLLATE "C") > (CAST(:after AS timestamptz), :source, :tie)
    ORDER BY begins, source, tie COLLATE "C" LIMIT :limit
"""
GapKey = tuple[datetime, int, str]


def gaps(
    session: Session,
    series: SeriesInfo,
    begins: datetime,
    ends: datetime,
    longest_s: float | None,
    after: GapKey | None,
    limit: int,
) -> list[tuple[Gap, GapKey]]:
    """Longer than `longest_s` without a sample of the unit, and what its lamppost shed; each with its key.

    The samples on either side of a silence may lie outside the range; after the last one it lasts until
    `ends`. longest_s: None for no silences. What was shed is of whichever sensor of the lamppost.
    """
    values = {
        "unit": series.sensor_unit,
        "begins": begins,
        "ends": ends,
        "longest": longest_s,
        "after": after[0] if after else None,
        "source": after[1] if after else 0,
        "tie": after[2] if after else "",
        "limit": limit,
    }
    found = session.execute(text(_GAPS), values)
    return [(Gap(*gap), (gap[0], source, tie)) for *gap, source, tie in found]
