"""The table of states and events, and how verdicts are judged."""

from __future__ import annotations

from itertools import product

import pytest

from fleet_server.decisions import rules
from fleet_server.decisions.rules import (
    Event,
    Place,
    Refusal,
    Severity,
    Standing,
    State,
    What,
    distance_m,
    is_late,
    is_told,
    near,
    severity,
    standing,
    step,
)

HERE, SAME_STREET = Place("city", 52.0, 5.0), Place("city", 52.0134, 5.0)  # 1,490 m
TOO_FAR = Place("city", 52.0136, 5.0)  # 1,512 m


def test_every_pair_of_state_and_event_is_ruled() -> None:
    assert set(rules.TABLE) == set(product(State, Event))


def test_nothing_comes_back_from_a_merger() -> None:
    assert {step(State.MERGED, event) for event in Event} == {State.MERGED, Refusal.MERGED}


def test_power_loss_changes_nothing() -> None:
    assert all(step(state, Event.POWER_LOSS) is state for state in State)


def test_the_diagram_has_every_change_of_state() -> None:
    drawn = rules.diagram()
    changes = {(s, e) for (s, e), o in rules.TABLE.items() if isinstance(o, State) and o is not s}
    assert len(changes) == 7
    assert all(f"    {s} --> {step(s, e)}: {e}" in drawn for s, e in changes)


def test_a_distance_that_is_known() -> None:
    """Berlin to Paris, 878 km by great circle."""
    assert distance_m((52.520, 13.405), (48.857, 2.352)) == pytest.approx(878_000, rel=0.003)
    assert distance_m((0.0, 179.999), (0.0, -179.999)) == pytest.approx(222.4, rel=0.01), (
        "across the date line"
    )


@pytest.mark.parametrize(
    ("a", "b", "can_see_the_same"),
    [
        (HERE, HERE, True),
        (HERE, SAME_STREET, True),
        (HERE, TOO_FAR, False),
        (HERE, Place("other", 52.0, 5.0), False),
        (Place("city", 52.0, 5.0, "Old Town"), Place("city", None, None, "Old Town"), True),
        (Place("city", 52.0, 5.0, "Old Town"), Place("city", 52.1, 5.0, "Old Town"), False),
        (Place("city", None, None, "Old Town"), Place("city", None, None, "Harbour"), False),
        (Place("city", None, None, "Old Town"), Place("other", None, None, "Old Town"), False),
        (Place("city"), Place("city"), False),
    ],
)
def test_who_is_near_whom(a: Place, b: Place, can_see_the_same: bool) -> None:
    assert near(a, b) is near(b, a) is can_see_the_same


@pytest.mark.parametrize(
    ("last", "over", "fault", "stands"),
    [
        (10, None, None, Standing.IN),
        (10, 5, None, Standing.IN),
        (10, 10, None, Standing.OVER),
        (10, 20, None, Standing.OVER),
        (10, None, 10, Standing.OUT),
        (10, 20, 15, Standing.OVER),
        (10, 20, 20, Standing.OUT),
        (10, None, 5, Standing.IN),
    ],
)
def test_the_latest_word_counts(last: int, over: int | None, fault: int | None, stands: Standing) -> None:
    assert standing(last, over, fault) is stands


@pytest.mark.parametrize(
    ("received_ms", "history", "late"),
    [
        (0, False, False),
        (900_000, False, False),
        (900_001, False, True),
        (0, True, True),
        (None, False, True),
    ],
)
def test_what_is_late(received_ms: int | None, history: bool, late: bool) -> None:
    assert is_late(0, received_ms, history=history) is late


@pytest.mark.parametrize(
    ("lampposts", "level", "grave"),
    [
        (0, 0, Severity.MINOR),
        (1, 4, Severity.MINOR),
        (2, 4, Severity.MODERATE),
        (3, 0, Severity.MAJOR),
        (500, 0, Severity.MAJOR),
        (1, 5, Severity.MAJOR),
        (1, 6, Severity.MAJOR),
    ],
)
def test_severity(lampposts: int, level: int, grave: Severity) -> None:
    assert severity(lampposts, level) is grave


@pytest.mark.parametrize(
    ("what", "silenced_until", "late", "told"),
    [
        (What.OPENED, None, False, True),
        (What.OPENED, None, True, False),
        (What.SEVERITY, 101, False, False),
        (What.SEVERITY, 100, False, True),
        (What.REOPENED, 99, False, True),
        (What.JOINED, None, False, False),
        (What.CLOSED, None, False, False),
    ],
)
def test_who_is_silenced_is_not_told(what: What, silenced_until: int | None, late: bool, told: bool) -> None:
    assert is_told(what, silenced_until, 100, late=late) is told


@pytest.mark.parametrize(
    ("names", "words"),
    [([], ""), (["b", "a"], "a, b"), ([f"l{n}" for n in range(7)], "l0, l1, l2, l3, l4 and 2 more")],
)
def test_names_in_a_line(names: list[str], words: str) -> None:
    assert rules.listed(names) == words


def test_titles() -> None:
    assert rules.title("lamp-07", "", 1) == "Episode at lamp-07"
    assert rules.title("lamp-07", "Old Town", 3) == "Episode in Old Town: lamp-07 and 2 more"
