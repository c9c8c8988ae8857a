"""Decisions about telemetry, pure: what is contiguous, which resolution answers, where a gap is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from statistics import median

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


def resolution_for(span_s: float, cadence_s: float) -> Resolution:
    """The finest resolution that answers `span_s` with at most POINTS_WANTED points.

    cadence_s: seconds between raw samples; where it is not known, 1.
    """
    if span_s / max(cadence_s, 0.001) <= POINTS_WANTED:
        return Resolution.RAW
    for resolution in (Resolution.MINUTE, Resolution.HOUR):
        if span_s / SECONDS_OF[resolution] <= POINTS_WANTED:
            return resolution
    return Resolution.DAY


@dataclass(frozen=True)
class Gap:
    """Nothing was measured, or nothing was kept, from `begins_ms` to `ends_ms`."""

    begins_ms: int
    ends_ms: int
    reason: str  # "silence", or a tombstone's reason
    samples_lost: int | None = None  # what the device says it shed; None where nobody knows


def median_cadence_ms(times_ms: Sequence[int]) -> float | None:
    """The usual distance between ascending instants; None for fewer than three."""
    if len(times_ms) < 3:
        return None
    return float(median(after - before for before, after in pairwise(times_ms)))


def silences(times_ms: Sequence[int], cadence_ms: float, factor: float = GAP_FACTOR) -> list[Gap]:
    """The intervals between ascending instants that are longer than `factor` cadences."""
    longest = cadence_ms * factor
    return [Gap(before, after, "silence") for before, after in pairwise(times_ms) if after - before > longest]
