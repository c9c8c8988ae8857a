"""Which presence message counts, and what is fresh."""

from __future__ import annotations

import itertools

import pytest

from fleet_server.devices.rules import (
    DeviceState,
    Freshness,
    PresenceMark,
    freshness,
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
