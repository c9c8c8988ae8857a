"""Means of districts: the mean of the lampposts' own means. A session in, plain values out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import text
from sqlmodel import Session

from fleet_server.telemetry.rules import Resolution


class Group(NamedTuple):
    """One channel of one district, in the order of the pages."""

    tenant: str
    district: str
    channel: str
    unit: str


class DistrictPoint(NamedTuple):
    """mean: of the lampposts' own means; low, high: the least and greatest believed reading of any."""

    time: datetime
    lampposts: int
    n: int
    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class GroupPoints:
    group: Group
    points: Sequence[DistrictPoint]


@dataclass(frozen=True)
class Wanted:
    """Which groups: empty or None is all of them."""

    channels: tuple[str, ...] = ()
    tenant: str | None = None
    district: str | None = None


# A loose index scan: one probe of the primary key for each group, however long its history.
_GROUPS = """
    WITH RECURSIVE found AS (
        (SELECT tenant, district, channel, unit FROM {table}
         WHERE CAST(:tenant AS text) IS NULL OR tenant = :tenant ORDER BY 1, 2, 3, 4 LIMIT 1)
        UNION ALL
        SELECT next.* FROM found f CROSS JOIN LATERAL (
            SELECT x.tenant, x.district, x.channel, x.unit FROM {table} x
            WHERE (x.tenant, x.district, x.channel, x.unit) > (f.tenant, f.district, f.channel, f.unit)
                  AND (CAST(:tenant AS text) IS NULL OR x.tenant = :tenant)
            ORDER BY 1, 2, 3, 4 LIMIT 1) next
    ) SELECT * FROM found
"""
_GROUPS_OF_MINUTES = """
    SELECT DISTINCT d.tenant, d.district, s.channel, s.unit
    FROM device d JOIN sensor_unit u ON u.device_id = d.id JOIN series s ON s.sensor_unit_id = u.id
    WHERE d.district <> '' AND (CAST(:tenant AS text) IS NULL OR d.tenant = :tenant)
"""
_POINTS = """
    SELECT g.place, array_agg(p.bucket ORDER BY p.bucket), array_agg(p.lampposts ORDER BY p.bucket),
           array_agg(p.n ORDER BY p.bucket), array_agg(p.mean ORDER BY p.bucket),
           array_agg(p.low ORDER BY p.bucket), array_agg(p.high ORDER BY p.bucket)
    FROM unnest(CAST(:tenants AS text[]), CAST(:districts AS text[]), CAST(:channels AS text[]),
                CAST(:units AS text[])) WITH ORDINALITY AS g(tenant, district, channel, unit, place)
    CROSS JOIN LATERAL ({points} ORDER BY bucket LIMIT :limit) p
    GROUP BY g.place ORDER BY g.place
"""
_STORED = """
    SELECT x.bucket, x.lampposts, x.n, x.mean, x.low, x.high FROM {table} x
    WHERE x.tenant = g.tenant AND x.district = g.district AND x.channel = g.channel AND x.unit = g.unit
          AND x.bucket >= CASE WHEN g.place = 1 THEN CAST(:resume AS timestamptz) ELSE :begins END
          AND x.bucket < :ends
"""
# As the worker makes the hours, of the minutes of those who stand in the district now.
_MINUTES = """
    SELECT bucket, count(*) AS lampposts, sum(n)::bigint AS n, avg(mean) AS mean,
           min(low) AS low, max(high) AS high
    FROM (
        SELECT m.bucket, sum(m.n) AS n, sum(m.sum / scale.of) / sum(m.n) AS mean,
               min(m.min / scale.of) AS low, max(m.max / scale.of) AS high
        FROM device d JOIN sensor_unit u ON u.device_id = d.id
        JOIN series s ON s.sensor_unit_id = u.id AND s.channel = g.channel AND s.unit = g.unit
        CROSS JOIN LATERAL (SELECT power(10::float8, -s.exponent) AS of) scale
        JOIN rollup_1m m ON m.series_id = s.id
        WHERE d.tenant = g.tenant AND d.district = g.district AND m.n > 0
              AND m.bucket >= CASE WHEN g.place = 1 THEN CAST(:resume AS timestamptz) ELSE :begins END
              AND m.bucket < :ends
        GROUP BY d.id, m.bucket) lamppost
    GROUP BY bucket
"""
_TABLES = {Resolution.HOUR: "district_hour", Resolution.DAY: "district_day"}


def groups(session: Session, resolution: Resolution, wanted: Wanted, within: str | None) -> list[Group]:
    """The groups that there are (in the tenant), in order: with stored hours or days, or lampposts for
    minutes."""
    table = _TABLES.get(resolution)
    query = _GROUPS_OF_MINUTES if table is None else _GROUPS.format(table=table)
    found = sorted(Group(*row) for row in session.execute(text(query), {"tenant": within or wanted.tenant}))
    return [
        group
        for group in found
        if (not wanted.channels or group.channel in wanted.channels)
        and wanted.tenant in (None, group.tenant)
        and wanted.district in (None, group.district)
    ]


def points(
    session: Session,
    resolution: Resolution,
    of: Sequence[Group],
    span: tuple[datetime, datetime],
    resume: datetime,
    limit: int,
) -> list[GroupPoints]:
    """Each group's points of the span, at most `limit` of each; of the first one from `resume` on."""
    table = _TABLES.get(resolution)
    source = _MINUTES if table is None else _STORED.format(table=table)
    values = {
        "tenants": [group.tenant for group in of],
        "districts": [group.district for group in of],
        "channels": [group.channel for group in of],
        "units": [group.unit for group in of],
        "begins": span[0],
        "ends": span[1],
        "resume": resume,
        "limit": limit,
    }
    found = session.execute(text(_POINTS.format(points=source)), values)
    return [
        GroupPoints(of[place - 1], [DistrictPoint(*each) for each in zip(*columns, strict=True)])
        for place, *columns in found
    ]
