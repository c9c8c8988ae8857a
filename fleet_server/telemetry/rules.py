"""Decisions about telemetry, pure: what is contiguous, which resolution answers, where a gap is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

Range = tuple[int, int]
"""First and last, both inclusive."""

POINTS_WANTED = 2_000  # a chart two thousand pixels wide shows no more
GAP_FACTOR = 3.0  # two missed samples are jitter and a retry; three are a gap


class Resolution(StrEnum):
    RAW = "raw"
    MINUTE = "1m"
    HOUR = "1h"
    DAY = "1d"
    AUTO = "auto"


SECONDS_OF = {Resolution.MINUTE: 60, Resolution.HOUR: 3_600, Resolution.DAY: 86_400}


def contiguous(floor: int, ranges: Iterable[Range]) -> tuple[int, tuple[Range, ...]]:
    """The contiguous prefix that begins with 1 to `floor`; what lies above it as disjoint, ascending ranges.

    ranges: any order, may overlap, touch, repeat, or lie below the floor.
    """
    merged: list[list[int]] = [[0, floor]]
    for first, last in sorted(ranges):
        if first <= merged[-1][1] + 1:
            merged[-1][1] = max(merged[-1][1], last)
        else:
            merged.append([first, last])
    return merged[0][1], tuple((first, last) for first, last in merged[1:])


def resolution_for(span_s: float, cadence_s: float | None) -> Resolution:
    """The finest resolution that answers `span_s` with at most POINTS_WANTED points.

    cadence_s: seconds between raw samples; None where there are too few to tell, and so few enough to show.
    """
    if cadence_s is None or span_s / max(cadence_s, 0.001) <= POINTS_WANTED:
        return Resolution.RAW
    for resolution in (Resolution.MINUTE, Resolution.HOUR):
        if span_s / SECONDS_OF[resolution] <= POINTS_WANTED:
            return resolution
    return Resolution.DAY


@dataclass(frozen=True)
class Gap:
    """Nothing was measured, or nothing was kept, from `begins` to `ends`."""

    begins: datetime
    ends: datetime
    reason: str  # "silence", or a tombstone's reason
    samples_lost: int | None = None  # what the device says it shed; None where nobody knows


def gap_threshold_s(cadence_s: float, factor: float = GAP_FACTOR) -> float:
    """How long nothing may come, in seconds, before it is a gap."""
    return cadence_s * factor


def scaled(value: float | None, exponent: int) -> float | None:
    """A stored integer (or a mean) in its unit. Dividing by a power of ten gives the nearest double."""
    if value is None:
        return None
    return value * float(10**exponent) if exponent >= 0 else value / float(10**-exponent)
