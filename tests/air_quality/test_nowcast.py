"""The PM NowCast against the published vectors (standards.md 1.2), and what must hold."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from air_quality.index import us_aqi_of
from air_quality.nowcast import pm_nowcast

HOURS = st.lists(st.none() | st.floats(0, 1000), max_size=14)


@pytest.mark.parametrize(
    ("newest_last", "expected", "index"),
    [
        ([34.9, 43, 50, 64.9, 69.2, 66.2, 53.7, 48.6, 49.2, 35, None, 21], 28.4098013676, 87),
        ([50, 80, 75, 90, 82, 53, 64, 74, 21, 10, 16, 13], 17.4139, 66),
        ([12.5] * 12, 12.5, us_aqi_of("pm2_5", 12.5)),
        ([0.0] * 11 + [71.0], 35.5087, us_aqi_of("pm2_5", 35.5)),
    ],
)
def test_nowcast_of_the_standard(newest_last: list[float | None], expected: float, index: int) -> None:
    found = pm_nowcast(newest_last[::-1])
    assert found == pytest.approx(expected, abs=1e-4)
    assert us_aqi_of("pm2_5", found) == index


def test_the_current_hour_may_be_missing_but_not_two_of_three() -> None:
    assert pm_nowcast([None, 30, 28, *[25] * 9]) == pytest.approx(26.4444, abs=1e-4)
    assert pm_nowcast([None, None, 28, *[25] * 9]) is None
    assert pm_nowcast([]) is None
    assert pm_nowcast([10.0]) is None
    assert pm_nowcast([10.0, 10.0]) == 10.0


def test_a_missing_hour_keeps_its_exponent() -> None:
    # w = 0.5: 40 has weight 1, 20 has weight 0.25; were the gap closed, it would have 0.5.
    assert pm_nowcast([40.0, None, 20.0]) == pytest.approx((40 + 0.25 * 20) / 1.25)


@pytest.mark.parametrize("nothing", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_missing_and_never_averaged_in(nothing: float) -> None:
    clean: list[float | None] = [20.0, 30.0, 40.0, None, 25.0]
    assert pm_nowcast([20.0, 30.0, 40.0, nothing, 25.0]) == pm_nowcast(clean)
    assert pm_nowcast([nothing, nothing, 40.0, 30.0]) is None


def test_air_without_dust_and_a_sensor_below_zero() -> None:
    assert pm_nowcast([0.0] * 12) == 0.0
    assert pm_nowcast([-1.0] * 12) == 0.0
    assert pm_nowcast([1e308] * 12) is None, "the sum is no number"


@given(HOURS)
def test_it_lies_between_the_least_and_the_most(hours: list[float | None]) -> None:
    valid = [value for value in hours[:12] if value is not None]
    found = pm_nowcast(hours)
    enough = sum(value is not None for value in hours[:3]) >= 2
    assert (found is not None) == enough
    if found is not None:
        assert min(valid) - 1e-9 <= found <= max(valid) + 1e-9


@given(HOURS)
def test_the_thirteenth_hour_says_nothing(hours: list[float | None]) -> None:
    padded = [*hours, *[None] * 14][:12]
    assert pm_nowcast(padded) == pm_nowcast(hours)


@given(st.lists(st.floats(0, 1000), min_size=12, max_size=12), st.floats(1.0, 10.0))
def test_it_scales_with_the_air(hours: list[float], factor: float) -> None:
    found, scaled = pm_nowcast(hours), pm_nowcast([value * factor for value in hours])
    assert found is not None
    assert scaled == pytest.approx(found * factor, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("hours", [2, 7, 12])
def test_equal_hours_have_their_own_index(hours: int) -> None:
    """A mean in floats is a hair off (of twelve 9.1: 9.099999999999998), which is no step down."""
    for tenths in range(1, 5000):
        value = tenths / 10
        assert us_aqi_of("pm2_5", pm_nowcast([value] * hours)) == us_aqi_of("pm2_5", value), value
