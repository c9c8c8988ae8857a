"""The token bucket per address."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fleet_server.enrolment.limiter import ADDRESSES_KEPT, RateLimiter


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_a_burst_passes_then_the_rate() -> None:
    clock = Clock()
    limiter = RateLimiter(3, 0.5, clock)
    assert [limiter.wait_s("a") for _ in range(4)] == [0, 0, 0, 2]
    assert limiter.wait_s("b") == 0
    clock.now_s = 2.0
    assert [limiter.wait_s("a"), limiter.wait_s("a")] == [0, 2]


@given(st.lists(st.floats(0, 3), max_size=60))
def test_never_more_than_burst_and_rate_allow(gaps_s: list[float]) -> None:
    clock = Clock()
    limiter = RateLimiter(5, 2.0, clock)
    passed = 0
    for gap_s in gaps_s:
        clock.now_s += gap_s
        passed += limiter.wait_s("a") == 0
        assert passed <= 5 + 2.0 * clock.now_s + 1e-6


@given(st.lists(st.floats(0, 3), max_size=40))
def test_waiting_as_told_is_enough(gaps_s: list[float]) -> None:
    clock = Clock()
    limiter = RateLimiter(2, 0.7, clock)
    for gap_s in gaps_s:
        clock.now_s += gap_s
        wait_s = limiter.wait_s("a")
        if wait_s:
            clock.now_s += wait_s
            assert limiter.wait_s("a") == 0


def test_memory_is_bounded() -> None:
    limiter = RateLimiter(1, 1.0)
    for number in range(ADDRESSES_KEPT + 100):
        limiter.wait_s(str(number))
    assert len(limiter._buckets) == ADDRESSES_KEPT
