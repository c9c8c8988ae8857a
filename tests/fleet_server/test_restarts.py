"""When the dead are started again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fleet_server.restarts import FIRST_DELAY_S, LONGEST_DELAY_S, STEADY_S, Restarts


def test_the_first_death_after_a_steady_life_costs_a_moment() -> None:
    after = Restarts().died(started_s=0, now_s=1000)
    assert after.not_before_s == 1000 + FIRST_DELAY_S
    assert after.total == 1


def test_early_deaths_wait_twice_as_long_each_and_a_steady_life_forgives() -> None:
    restarts, delays = Restarts(), []
    for at in range(12):
        restarts = restarts.died(started_s=at, now_s=at + 0.5)
        delays.append(restarts.not_before_s - (at + 0.5))
    assert [round(delay, 6) for delay in delays[:4]] == [0.2, 0.4, 0.8, 1.6]
    assert delays[-1] == LONGEST_DELAY_S
    forgiven = restarts.died(started_s=100, now_s=100 + STEADY_S)
    assert round(forgiven.not_before_s - 100 - STEADY_S, 6) == FIRST_DELAY_S
    assert forgiven.total == 13


@given(st.lists(st.floats(0, 100), max_size=2000))
def test_a_delay_is_never_without_bounds(lives: list[float]) -> None:
    restarts, now = Restarts(), 0.0
    for life in lives:
        restarts = restarts.died(now, now + life)
        now += life
        assert FIRST_DELAY_S * 0.99 <= restarts.not_before_s - now <= LONGEST_DELAY_S * 1.01
        now = restarts.not_before_s
