"""Which step a chart's points have, and which days of a unit are whole: decisions without a database."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from fleet_server.telemetry.rules import SECONDS_OF, Resolution

DAY = timedelta(days=1)
# What a clock's face divides into; a step reads at most thirty of the buckets that it is made of.
_MINUTES_S = (60, 120, 300, 600, 900, 1_800)
_HOURS_S = (3_600, 7_200, 10_800, 21_600, 43_200)
MINUTES_UP_TO = timedelta(hours=6)  # of a district: 500 lampposts' minutes of six hours are 180,000 rows
HOURS_UP_TO = timedelta(days=62)  # of a district: a month with its neighbours, hour by hour


def step_for(begins: datetime, ends: datetime, width: int) -> int:
    """Seconds of the finest step with which [begins, ends) has at most `width` (2 or more) points."""
    return next(step for step in _steps() if points_of(begins, ends, step) <= width)


def points_of(begins: datetime, ends: datetime, step_s: int) -> int:
    """How many steps, aligned to 1970-01-01 UTC, touch [begins, ends)."""
    return math.ceil(ends.timestamp() / step_s) - math.floor(begins.timestamp() / step_s)


def _steps() -> Iterator[int]:
    yield from _MINUTES_S
    yield from _HOURS_S
    decade = 1
    while True:
        for days in (1, 2, 5):
            yield days * decade * SECONDS_OF[Resolution.DAY]
        decade *= 10


def base_of(step_s: int) -> Resolution:
    """The rollup that a step is made of: the coarsest one that divides it."""
    for resolution in (Resolution.DAY, Resolution.HOUR):
        if step_s % SECONDS_OF[resolution] == 0:
            return resolution
    return Resolution.MINUTE


def floored(at: datetime, seconds: int, *, up: bool = False) -> datetime:
    """The start of the bucket (UTC) that holds `at`; up: of the first one that starts at it or later."""
    buckets = at.timestamp() / seconds
    return datetime.fromtimestamp((math.ceil(buckets) if up else math.floor(buckets)) * seconds, UTC)


def district_resolution(begins: datetime, ends: datetime) -> Resolution:
    """What answers a span of a district's means with a chart's number of points."""
    if ends - begins <= MINUTES_UP_TO:
        return Resolution.MINUTE
    return Resolution.HOUR if ends - begins <= HOURS_UP_TO else Resolution.DAY


def expected_instants(
    day: datetime, cadence_s: float | None, begins: datetime, ends: datetime
) -> float | None:
    """How many samples a unit that measures from `begins` up to `ends` owes in this day (UTC).

    None where nobody knows how often it measures.
    """
    if cadence_s is None or cadence_s <= 0:
        return None
    owed_s = (min(ends, day + DAY) - max(begins, day)).total_seconds()
    return max(0.0, owed_s) / cadence_s
