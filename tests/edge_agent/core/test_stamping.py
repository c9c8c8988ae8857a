"""No two samples of a unit at the same millisecond, whatever the clock does."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.core.records import Stamp
from edge_agent.core.stamping import GENERATIONS, clock_is_set, stamp

HOUR_MS = 3_600_000
NOON_MS = 1_795_003_200_000


def test_a_steady_clock_is_taken_as_it_is() -> None:
    last = Stamp()
    for second in range(100):
        time_ms, last, jumped = stamp(last, NOON_MS + second * 1000)
        assert (time_ms, jumped) == (NOON_MS + second * 1000, False)


def test_a_small_step_back_holds_the_time() -> None:
    _, last, _ = stamp(Stamp(), NOON_MS)
    time_ms, _, jumped = stamp(last, NOON_MS - 500)
    assert time_ms == NOON_MS + 10
    assert not jumped


def test_a_jump_back_is_told_and_meets_no_earlier_sample() -> None:
    last, given_ms = Stamp(), set()
    jumps = 0
    for hour in range(GENERATIONS):
        start = NOON_MS - hour * 60_000
        for second in range(200):
            time_ms, last, jumped = stamp(last, start + second * 1000)
            assert time_ms not in given_ms
            given_ms.add(time_ms)
            jumps += jumped
            assert abs(time_ms - (start + second * 1000)) < 10
    assert jumps == GENERATIONS - 1


@given(st.lists(st.tuples(st.integers(1, 90_000), st.integers(-4 * HOUR_MS, 0)), max_size=200))
def test_times_are_unique_through_fewer_than_ten_jumps(steps: list[tuple[int, int]]) -> None:
    now_ms, last, given_ms, jumps = NOON_MS, Stamp(), set(), 0
    for forward, back in steps:
        now_ms += forward + (back if back < -3 * HOUR_MS else 0)
        time_ms, last, jumped = stamp(last, now_ms)
        jumps += jumped
        if jumps >= GENERATIONS:
            break
        assert time_ms not in given_ms
        given_ms.add(time_ms)


def test_1970_is_not_a_set_clock() -> None:
    assert not clock_is_set(0)
    assert not clock_is_set(1_767_225_599_999)
    assert clock_is_set(1_767_225_600_000)
