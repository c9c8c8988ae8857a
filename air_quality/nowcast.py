"""The PM NowCast: an hourly value that stands for the day's (US EPA's fact sheet; standards.md 1.2)."""

from __future__ import annotations

from collections.abc import Sequence

from air_quality.values import finite

HOURS = 12
NEWEST = 3  # of so many newest hours ...
NEWEST_NEEDED = 2  # ... so many must be there
MIN_WEIGHT = 0.5


def pm_nowcast(hourly_newest_first: Sequence[float | None]) -> float | None:
    """The weighted mean of up to 12 hourly means of PM2.5 or PM10 in ug/m3, not truncated, never negative.

    Later entries are left out; a shorter sequence lacks its oldest hours. None and what is not finite is
    missing: it keeps its exponent and drops out of both sums. None where fewer than two of the three newest
    hours are there. The US AQI truncates the result itself.
    """
    hours = [finite(value) for value in hourly_newest_first[:HOURS]]
    if sum(value is not None for value in hours[:NEWEST]) < NEWEST_NEEDED:
        return None
    valid = {age: value for age, value in enumerate(hours) if value is not None}
    weight = _weight(min(valid.values()), max(valid.values()))
    total = sum(weight**age * value for age, value in valid.items())
    mean = finite(total / sum(weight**age for age in valid))
    return None if mean is None else max(mean, 0.0)


def _weight(low: float, high: float) -> float:
    return max(low / high, MIN_WEIGHT) if high > 0.0 else 1.0
