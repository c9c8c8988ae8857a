"""Which presence message counts, and what is fresh."""

from __future__ import annotations

import itertools
import math

import pytest

from fleet_server.devices.rules import (
    DeviceState,
    Freshness,
    Place,
    PresenceMark,
    cell_told,
    freshness,
    place_problem,
    presence_counts,
    report_counts,
)

BIRTH_1, CHANGE_1, WILL_1 = PresenceMark(1, True, 10), PresenceMark(1, True, 20), PresenceMark(1, False, 10)
BIRTH_2, WILL_2 = PresenceMark(2, True, 30), PresenceMark(2, False, 30)


@pytest.mark.parametrize(
    ("told", "end"),
    [
        ((BIRTH_1, CHANGE_1), CHANGE_1),
        ((BIRTH_1, CHANGE_1, WILL_1), WILL_1),
        ((BIRTH_1, CHANGE_1, WILL_1, BIRTH_2), BIRTH_2),
        ((BIRTH_1, CHANGE_1, WILL_1, BIRTH_2, WILL_2), WILL_2),
    ],
)
def test_the_order_of_arrival_does_not_matter(told: tuple[PresenceMark, ...], end: PresenceMark) -> None:
    for order in itertools.permutations(told * 2):
        stored: PresenceMark | None = None
        for mark in order:
            if presence_counts(stored, mark):
                stored = mark
        assert stored == end
        if len(told) > 3:
            break


def test_a_late_will_of_an_older_session_is_ignored() -> None:
    assert not presence_counts(BIRTH_2, WILL_1)


def test_a_new_computer_is_heard_whatever_session_its_predecessor_left() -> None:
    """A thief's last presence, or a clock far ahead, would otherwise hold the name for ever."""
    poison = PresenceMark(2**63 - 1, True, 10)
    assert not presence_counts(poison, BIRTH_1)
    assert presence_counts(poison, BIRTH_1, same_epoch=False)
    assert not presence_counts(BIRTH_1, PresenceMark(2**63 - 1, False, 10), same_epoch=False)
    assert presence_counts(BIRTH_1, WILL_1, same_epoch=False), "storage made anew while it was connected"


@pytest.mark.parametrize(
    ("age_s", "shown"),
    [
        (None, Freshness.NONE),
        (0.0, Freshness.FRESH),
        (300.0, Freshness.FRESH),
        (301.0, Freshness.LATE),
        (1801.0, Freshness.STALE),
    ],
)
def test_freshness(age_s: float | None, shown: Freshness) -> None:
    assert freshness(age_s) is shown


def test_data_is_taken_from_whom_people_let() -> None:
    assert {state for state in DeviceState if state.data_accepted} == {
        DeviceState.PENDING,
        DeviceState.ACTIVE,
    }


@pytest.mark.parametrize(
    ("stored", "told", "same_epoch", "counts"),
    [
        (None, 0, False, True),
        (4, 5, True, True),
        (4, 4, True, False),
        (4, 3, True, False),
        (4, 1, False, True),
    ],
)
def test_a_report_counts_when_it_is_newer_or_its_device_began_anew(
    stored: int | None, told: int, same_epoch: bool, counts: bool
) -> None:
    assert report_counts(stored, told, same_epoch=same_epoch) is counts


@pytest.mark.parametrize(
    "place",
    [
        Place(),
        Place(41.1496, -8.6109, "Harbour"),
        Place(-90.0, 180.0),
        Place(90, -180),
        Place(0.0, 6.73),
        Place(district="São João, 4.º"),
        Place(district="x" * 64),
    ],
)
def test_places(place: Place) -> None:
    assert place_problem(place) is None


@pytest.mark.parametrize(
    ("place", "told"),
    [
        (Place(91.0, 0.5), "latitude 91 "),
        (Place(-8.6, 181.0), "longitude 181 "),
        (Place(-181.0, 10.0), "latitude comes first"),
        (Place(math.nan, 10.0), "latitude nan"),
        (Place(10.0, math.nan), "longitude nan"),
        (Place(math.inf, 10.0), "latitude inf"),
        (Place(10.0, -math.inf), "longitude -inf"),
        (Place(1e308, 1e308), "latitude 1e+308"),
        (Place(0.0, -0.0), "Atlantic"),
        (Place(10.0, None), "or neither"),
        (Place(None, 10.0), "or neither"),
        (Place(district="x" * 65), "at most 64"),
        (Place(district="a\nb"), "printable"),
        (Place(district="nul\0"), "printable"),
        (Place(district=" Harbour"), "without spaces"),
    ],
)
def test_what_is_no_place_is_told(place: Place, told: str) -> None:
    assert told in (place_problem(place) or "")


@pytest.mark.parametrize(
    ("settings", "cell"),
    [
        ({"cell": "ez3fh5"}, "ez3fh5"),
        ({"cell": "e"}, "e"),
        ({"cell": "0123456789bc"}, "0123456789bc"),
        ({}, ""),
        ({"cell": ""}, ""),
        ({"cell": "ez3fh5x012345"}, ""),
        ({"cell": "EZ3FH5"}, ""),
        ({"cell": "ez3fi5"}, ""),
        ({"cell": "41.1496,-8.6109"}, ""),
        ({"cell": "ez3fh5\n"}, ""),
    ],
)
def test_only_a_geohash_is_a_cell(settings: dict[str, str], cell: str) -> None:
    assert cell_told(settings) == cell
