"""Episodes out of words, and two lists of them held against each other."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fleet_server.telemetry.replaying_compare import SLACK_MS, Event, Word, compare, events
from wire_contract.verdict_kinds import FaultCode, VerdictKind, fault_reason

MINUTE_MS = 60_000


def word(kind: str, minute: int, *, unit: int = 1, score: float = 0.5, reason: str = "") -> Word:
    return Word("city/a", unit, minute * MINUTE_MS, kind, score, reason)


def event(begun: int, ended: int, *, unit: int = 1, what: str = "episode") -> Event:
    return Event("city/a", unit, what, begun * MINUTE_MS, ended * MINUTE_MS, 0.5)


def test_an_episode_is_one_however_often_it_is_said() -> None:
    said = [
        word("episode_over", 1),  # of one that began before the stretch
        word("episode", 10),
        word("episode", 20, score=0.9),
        word("episode_over", 25),
        word("episode", 40, unit=2),
        word("fault", 50, reason=fault_reason(FaultCode.DRIFT, "off")),
        word("fault_over", 60, reason=fault_reason(FaultCode.DRIFT, "over")),
        word("fault", 55, reason=fault_reason(FaultCode.SPIKE, "one")),
        word("something new", 70),
    ]
    found = [(e.unit, e.what, e.begun_ms // MINUTE_MS, e.ended_ms // MINUTE_MS, e.peak) for e in events(said)]
    assert found == [
        (1, "episode", 10, 25, 0.9),
        (2, "episode", 40, 40, 0.5),
        (1, "drift", 50, 60, 0.5),
        (1, "spike", 55, 55, 0.5),
    ]
    assert events(reversed(said)) == events(said)


def test_the_same_new_and_missing() -> None:
    stored = [event(10, 30), event(100, 110), event(200, 210, unit=2)]
    mine = [event(14, 31), event(200, 210), event(101, 105, what="drift")]
    found = compare(stored, mine)
    assert found.same == ((stored[0], mine[0]),)
    assert found.new == (mine[1], mine[2])
    assert found.missing == (stored[1], stored[2])
    assert found.median_delay_s == 240.0
    assert compare([], []).median_delay_s is None


lasting = st.builds(
    lambda begun, length, unit, what: Event("city/a", unit, what, begun, begun + length, 0.5),
    st.integers(0, 10 * SLACK_MS),
    st.integers(0, 3 * SLACK_MS),
    st.integers(1, 2),
    st.sampled_from(["episode", "drift"]),
)


@given(st.lists(lasting, max_size=12), st.lists(lasting, max_size=12))
def test_each_is_counted_once(stored: list[Event], mine: list[Event]) -> None:
    found = compare(stored, mine)
    assert sorted([pair[0] for pair in found.same] + list(found.missing)) == sorted(stored)
    assert sorted([pair[1] for pair in found.same] + list(found.new)) == sorted(mine)
    assert all((a.unit, a.what) == (b.unit, b.what) for a, b in found.same)


@given(st.lists(lasting, max_size=12))
def test_what_is_compared_with_itself_is_the_same(stored: list[Event]) -> None:
    found = compare(stored, stored)
    assert (found.new, found.missing) == ((), ())
    assert all(delay == 0 for delay in found.delays_s)


def test_every_kind_of_verdict_is_known() -> None:
    reason = fault_reason(FaultCode.SPIKE, "x")
    for kind in VerdictKind:
        assert events([word("episode", 0), word("fault", 0, reason=reason), word(kind, 1, reason=reason)])
