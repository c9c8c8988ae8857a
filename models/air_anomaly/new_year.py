"""The one episode whose hour is known without anybody having written it down: fireworks at New Year.

Hours of Norway and Brandenburg as they are; the rise of the midnight hour is let happen within minutes, as it
does in a street, and each hour's mean is kept. The same nights two weeks before are what is usual. No window
near such a rise is asked for in training (`recipe`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from models.air_anomaly.air import DAY_MIN, HOUR_MIN, MINUTES
from models.air_anomaly.elsewhere import forgetting
from models.air_anomaly.reference import Floats, Station
from models.air_anomaly.sensor import Readings

GROUPS = ("norway", "brandenburg")
YEARS = range(2016, 2025)
HOURS = MINUTES // HOUR_MIN + 1
# The stretch begins at 21 h UTC of the 30th: the day before, then 22 h to 6 h local time of the night.
HOURS_BEFORE_THE_31ST = 3
DAYS_BEFORE = 14
FAST_UG_M3, FAST_SHARE = 20.0, 0.5
WITHIN_MIN = 9


@dataclass(frozen=True)
class Night:
    """`what`: "New Year, fast rise", "New Year, none" or "two weeks before"."""

    what: str
    readings: Readings


def nights(posts: Sequence[Station], seed: int) -> Iterator[Night]:
    """Every such night that has its hours, in a fixed order."""
    for station in posts:
        if station.group not in GROUPS:
            continue
        for year in YEARS:
            midnight = int(datetime(year, 12, 31, tzinfo=UTC).timestamp()) // 3600
            for days in (0, DAYS_BEFORE):
                first = midnight - HOURS_BEFORE_THE_31ST - 24 * days - int(station.hours[0])
                hourly = station.pm2_5[max(0, first) : max(0, first) + HOURS]
                if first < 0 or len(hourly) < HOURS or np.isnan(hourly).mean() > 0.1:
                    continue
                known = np.flatnonzero(np.isfinite(hourly))
                hourly = np.interp(np.arange(HOURS), known, hourly[known])
                what = "two weeks before" if days else f"New Year, {'fast rise' if _fast(hourly) else 'none'}"
                yield Night(what, _sudden(hourly, np.random.default_rng([seed, first])))


def _fast(hourly: Floats) -> bool:
    night = hourly[DAY_MIN // HOUR_MIN :]
    return bool((np.diff(night) >= np.maximum(FAST_UG_M3, FAST_SHARE * night[:-1])).any())


def _sudden(hourly: Floats, rng: np.random.Generator) -> Readings:
    """Steps from hour to hour, a little turbulence, a sensor's noise; no humidity is known."""
    steps = np.pad(np.repeat(hourly, HOUR_MIN), WITHIN_MIN // 2, "edge")
    mass = np.convolve(steps, np.ones(WITHIN_MIN) / WITHIN_MIN, "valid")[:MINUTES]
    mass = mass * np.exp(0.05 * forgetting(rng, 4) + 0.03 * forgetting(rng, 30))
    shown = []
    for share in (1.0, 1.3, 0.7):
        noisy = share * mass * rng.normal(1, 0.03, MINUTES) + rng.normal(0, 0.4, MINUTES)
        shown.append(np.asarray(np.round(np.maximum(0.0, noisy), 1), dtype=np.float64))
    nothing = np.full(MINUTES, np.nan)
    return Readings(shown[0], shown[1], shown[2], nothing, np.zeros(MINUTES, dtype=np.bool_))
