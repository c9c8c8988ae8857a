"""What a technician may tell of a post; what is garbage; what comes too late."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest

from fleet_server.technician import rules
from fleet_server.technician.rules import BadWork, Changed, Kind, Since

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (Kind.PLACE, {"height_m": 3}),
        (Kind.PLACE, {"latitude": 1.0, "longitude": -2, "district": None}),
        (Kind.PLACE, {"district": "Harbour", "reason": "the square is rebuilt"}),
        (Kind.CALIBRATE, {"slope": 1.0}),
        (Kind.CALIBRATE, {"sensor_unit": 3, "slope": 0.5, "source": "beside station 4"}),
        (Kind.REPLACE_UNIT, {"sensor": "pm", "new_serial": "2F"}),
        (Kind.REPLACE_DEVICE, {}),
        (Kind.DECOMMISSION, {"reason": "x"}),
        (Kind.NOTE, {"text": "two\nlines"}),
    ],
)
def test_what_is_taken(kind: Kind, told: dict[str, Any]) -> None:
    assert rules.read_work(kind, told)


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (Kind.HANDOVER, {}),
        (Kind.PLACE, {}),
        (Kind.PLACE, {"reason": "it was moved"}),
        (Kind.PLACE, {"latitude": 1.0}),
        (Kind.PLACE, {"height_m": 101}),
        (Kind.PLACE, {"height_m": True}),
        (Kind.PLACE, {"height_m": float("nan")}),
        (Kind.PLACE, {"height": 3}),
        (Kind.PLACE, {"district": "x" * 101}),
        (Kind.PLACE, {"district": 3}),
        (Kind.PLACE, {"district": "a\x00b"}),
        (Kind.CALIBRATE, {}),
        (Kind.CALIBRATE, {"sensor_unit": 3, "source": "beside station 4"}),
        (Kind.CALIBRATE, {"slope": "1"}),
        (Kind.CALIBRATE, {"slope": None}),
        (Kind.CALIBRATE, {"slope": float("inf")}),
        (Kind.CALIBRATE, {"sensor_unit": 0}),
        (Kind.CALIBRATE, {"sensor_unit": 2**40}),
        (Kind.CALIBRATE, {"sensor_unit": 1.5}),
        (Kind.REPLACE_UNIT, {"sensor": "pm"}),
        (Kind.DECOMMISSION, {}),
        (Kind.DECOMMISSION, {"reason": ["x"]}),
        (Kind.NOTE, {"text": ""}),
        (Kind.NOTE, {"text": "x" * 2001}),
        (Kind.NOTE, {"text": {"a": 1}}),
    ],
)
def test_what_is_not(kind: Kind, told: dict[str, Any]) -> None:
    with pytest.raises(BadWork):
        rules.read_work(kind, told)


@pytest.mark.parametrize(
    ("done_at", "good"),
    [
        (NOON, True),
        (NOON + timedelta(minutes=10), True),
        (NOON + timedelta(minutes=11), False),
        (NOON - timedelta(days=90), True),
        (NOON - timedelta(days=91), False),
        (NOON.replace(tzinfo=None), False),
    ],
)
def test_when(done_at: datetime, good: bool) -> None:
    assert (rules.when_problem(done_at, NOON) is None) is good


AGAINST = {
    (Kind.PLACE, Kind.PLACE),
    (Kind.DECOMMISSION, Kind.REPLACE_DEVICE),
    (Kind.DECOMMISSION, Kind.HANDOVER),
    (Kind.REPLACE_DEVICE, Kind.DECOMMISSION),
}


@pytest.mark.parametrize(("kind", "other"), list(product(Kind, Kind)))
def test_what_stands_against_what_came_late(kind: Kind, other: Kind) -> None:
    later, before = Since(other, NOON + HOUR, "rui"), Since(other, NOON - HOUR, "rui")
    assert (rules.superseded(kind, NOON, [before, later]) is later) is ((kind, other) in AGAINST)
    assert rules.superseded(kind, NOON, [before, Since(other, NOON, "rui")]) is None


OLD, NEW, NEWER = {1: ""}, {1: "", 2: "2F81"}, {1: "", 2: "2F81", 3: "3A"}
AT_NOON, LATER = Changed(NOON, "2F81"), Changed(NOON + 2 * HOUR, "3A")


@pytest.mark.parametrize(
    ("units", "changed", "at", "expected"),
    [
        (OLD, [], NOON, 1),
        ({}, [], NOON, None),
        ({1: "a", 2: "b"}, [], NOON, None),  # nobody said which came after which
        (NEW, [AT_NOON], NOON - HOUR, 1),
        (NEW, [AT_NOON], NOON, 2),
        (NEWER, [LATER, AT_NOON], NOON + HOUR, 2),
        (NEWER, [LATER, AT_NOON], NOON + 3 * HOUR, 3),
        (NEWER, [LATER, AT_NOON], NOON - HOUR, 1),
        (OLD, [AT_NOON], NOON + HOUR, "has not told"),  # else the old one would get what is the new one's
        (NEW, [LATER, AT_NOON], NOON + 3 * HOUR, "has not told"),
    ],
)
def test_which_unit_was_in_a_place(
    units: dict[int, str], changed: list[Changed], at: datetime, expected: int | str | None
) -> None:
    if isinstance(expected, str):
        with pytest.raises(BadWork, match=expected):
            rules.unit_in_place(units, changed, at)
    else:
        assert rules.unit_in_place(units, changed, at) == expected
