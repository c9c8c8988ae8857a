"""Who may be seen when: stations and months of training, of choosing thresholds, and of the test, all
disjoint.

A part's stretches come from its own stations in its own months only. The test's stations lie in none of the
other parts, nor do its months: what it measures is another place at another time, one whole city (Shanghai)
included. Stations of one city breathe the same air, so a station held out in the months of training would be
no test.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

import numpy as np

from models.air_anomaly.reference import Station


class Part(StrEnum):
    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


TEST_STATIONS = frozenset({"Guanyuan", "Shunyi", "Wanliu", "Valand", "P-Zentrum"})
TEST_GROUPS = frozenset({"shanghai"})
VALIDATION_STATIONS = frozenset({"Dongsi", "Huairou", "Nygaardsgata", "Blankenfelde"})
VALIDATION_GROUPS = frozenset({"guangzhou"})
# The last year of each source is the test's, so that it is also later than everything that was learned from.
TEST_FROM = {
    "beijing": (2015, 3),
    "norway": (2021, 1),
    "brandenburg": (2020, 1),
    "china": (2015, 1),
}
# Before it, one month of each season is for choosing thresholds.
VALIDATION_MONTHS = frozenset({2, 5, 8, 11})
# Hours a stretch keeps from the edges of its month: air remembers some days, an hour's weather less.
MARGIN_HOURS = 24
STRETCH_HOURS = 34
# Holes up to this long are interpolated.
LONGEST_HOLE_HOURS = 3


@dataclass(frozen=True)
class Stretch:
    """`STRETCH_HOURS` hours of one station from index `first` of its series."""

    station: Station
    first: int


def part_of_station(station: Station) -> Part:
    if station.name in TEST_STATIONS or station.group in TEST_GROUPS:
        return Part.TEST
    if station.name in VALIDATION_STATIONS or station.group in VALIDATION_GROUPS:
        return Part.VALIDATION
    return Part.TRAIN


def part_of_month(group: str, year: int, month: int) -> Part:
    start = TEST_FROM.get(group, TEST_FROM["china"])
    if (year, month) >= start:
        return Part.TEST
    return Part.VALIDATION if month in VALIDATION_MONTHS else Part.TRAIN


def month_of(hour: int) -> tuple[int, int]:
    """(year, month) of an hour since 1970."""
    at = datetime.fromtimestamp(hour * 3600, UTC)
    return at.year, at.month


def stretches(station: Station) -> list[Stretch]:
    """Every stretch, six hours apart, that this station may give to its part: within one month of the part,
    off the month's edges, and without a hole longer than LONGEST_HOLE_HOURS."""
    part = part_of_station(station)
    found = []
    for first in range(MARGIN_HOURS, len(station.hours) - STRETCH_HOURS - MARGIN_HOURS, 6):
        start = month_of(int(station.hours[first]) - MARGIN_HOURS)
        end = month_of(int(station.hours[first]) + STRETCH_HOURS + MARGIN_HOURS)
        if start == end and part_of_month(station.group, *start) is part:
            missing = np.isnan(station.pm2_5[first : first + STRETCH_HOURS])
            if _longest_run(missing) <= LONGEST_HOLE_HOURS and missing.mean() < 0.2:
                found.append(Stretch(station, first))
    return found


def _longest_run(mask: np.typing.NDArray[np.bool_]) -> int:
    edges = np.flatnonzero(np.diff(np.concatenate(([0], mask.astype(np.int8), [0]))))
    return int((edges[1::2] - edges[::2]).max(initial=0))
