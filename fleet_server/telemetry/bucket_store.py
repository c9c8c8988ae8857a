"""Minutes, hours and days of one sensor unit's series, as they would be if all was folded already.

What the worker role has not folded yet is read from the finer rollup: a chart is never behind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from sqlalchemy import text
from sqlmodel import Session

from fleet_server.telemetry.rules import Resolution

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_DIRTY = """
    SELECT DISTINCT hour FROM rollup_dirty WHERE sensor_unit = :unit AND hour >= :begins AND hour < :ends
"""
# The last two conditions on m say nothing new: by them TimescaleDB excludes chunks, by a join it does not.
_HOURS = """
    SELECT series_id, bucket, n, sum, min, max, flagged FROM rollup_1h
    WHERE series_id = ANY(:series) AND bucket >= :begins AND bucket < :ends
          AND bucket NOT IN (SELECT hour FROM dirty)
    UNION ALL
    SELECT m.series_id, d.hour, sum(m.n), sum(m.sum), min(m.min), max(m.max), sum(m.flagged)
    FROM dirty d JOIN rollup_1m m ON m.series_id = ANY(:series)
         AND m.bucket >= d.hour AND m.bucket < d.hour + interval '1 hour'
         AND m.bucket >= :begins AND m.bucket < CAST(:ends AS timestamptz) + interval '1 hour'
    GROUP BY m.series_id, d.hour
"""
FOUND = {
    Resolution.MINUTE: """
        WITH found AS (
            SELECT series_id, bucket, n, sum, min, max, flagged FROM rollup_1m
            WHERE series_id = ANY(:series) AND bucket >= :begins AND bucket < :ends)
    """,
    Resolution.HOUR: f"WITH dirty AS ({_DIRTY}), found AS ({_HOURS})",
    Resolution.DAY: f"""
        WITH dirty AS ({_DIRTY}), hours AS ({_HOURS}),
        days AS (SELECT DISTINCT date_trunc('day', hour, 'UTC') AS day FROM dirty),
        found AS (
            SELECT series_id, bucket, n, sum, min, max, flagged FROM rollup_1d
            WHERE series_id = ANY(:series) AND bucket >= :begins AND bucket < :ends
                  AND bucket NOT IN (SELECT day FROM days)
            UNION ALL
            SELECT series_id, date_trunc('day', bucket, 'UTC'), sum(n), sum(sum), min(min), max(max),
                   sum(flagged)
            FROM hours WHERE date_trunc('day', bucket, 'UTC') IN (SELECT day FROM days) GROUP BY 1, 2)
    """,  # noqa: S608 - made of the constants above
}
_AS_THEY_ARE = "SELECT series_id, bucket, n, sum, min, max, flagged FROM found ORDER BY bucket, series_id"
_IN_STEPS = """
    SELECT series_id, date_bin(:step * interval '1 second', bucket, :epoch), sum(n), sum(sum), min(min),
           max(max), sum(flagged)
    FROM found GROUP BY 1, 2 ORDER BY 2, 1
"""


class Bucket(NamedTuple):
    """What a series' readings of a stretch come to, as stored integers; `total`: of the `n` believed."""

    series_id: int
    begins: datetime
    n: int
    total: int
    low: int | None
    high: int | None
    flagged: int


@dataclass(frozen=True)
class Stretch:
    """Whole buckets whose start lies from `begins` up to `ends`; `step_s`: put together to longer ones."""

    begins: datetime
    ends: datetime
    resolution: Resolution
    step_s: int | None = None


def buckets(
    session: Session, unit: int, series: Sequence[int], stretch: Stretch, limit: int | None = None
) -> list[Bucket]:
    """By time, then series, of some of the unit's series; at most `limit` rows. Not for RAW and AUTO."""
    ending = _AS_THEY_ARE if stretch.step_s is None else _IN_STEPS
    query = text(f"{FOUND[stretch.resolution]} {ending} LIMIT :limit")
    values = {
        "unit": unit,
        "series": list(series),
        "begins": stretch.begins,
        "ends": stretch.ends,
        "step": stretch.step_s,
        "epoch": _EPOCH,
        "limit": limit,
    }
    found = session.execute(query, values)
    return [
        Bucket(which, at, int(n), int(total), low, high, int(flagged))
        for which, at, n, total, low, high, flagged in found
    ]
