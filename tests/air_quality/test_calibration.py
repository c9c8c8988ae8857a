"""A unit's own calibration, what comes before what, and values that must never be corrected."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from air_quality.calibration import Calibration, Corrected, at, corrected_channel, corrected_pm2_5

PMS = {"pm2_5_cf1": 100.0, "pm2_5": 66.0}
NUMBER = st.none() | st.floats()


def test_the_newest_that_has_begun_holds() -> None:
    first, second = Calibration(slope=0.5, valid_from_ms=100), Calibration(slope=0.6, valid_from_ms=200)
    assert at([], 500) is None
    assert at([second, first], 99) is None
    assert at([second, first], 100) == first
    assert at([first, second], 199) == first
    assert at([second, first], 200) == second
    again = Calibration(slope=0.7, valid_from_ms=200)
    assert at([first, second, again], 300) == again, "of two that begin together the later listed"


def test_slope_offset_and_humidity_and_the_clamp() -> None:
    calibration = Calibration(slope=0.5, offset=2.0, humidity=-0.1)
    assert calibration.apply(20.0, 50.0) == pytest.approx(7.0)
    assert calibration.apply(0.0, 50.0) == 0.0
    assert calibration.apply(20.0, None) is None
    assert Calibration(slope=2.0).apply(20.0, None) == 40.0


def test_a_units_own_calibration_wins_over_its_kinds_correction() -> None:
    own = [Calibration(slope=0.5, valid_from_ms=1000)]
    assert corrected_pm2_5("pms5003", PMS, 50.0, own, 1000) == Corrected(33.0, "calibration")
    assert corrected_pm2_5("pms5003", PMS, 50.0, own, 999).correction == "barkjohn2022@1"
    assert corrected_pm2_5("sds011", {"pm2_5": 20.0}, 85.0, [], 0).value == pytest.approx(8.426, abs=1e-3)


def test_without_what_it_needs_the_next_one_decides_and_the_answer_says_so() -> None:
    wet = [Calibration(slope=0.5, humidity=-0.1)]
    assert corrected_pm2_5("pms5003", PMS, None, wet, 0) == Corrected(66.0, "none@1")
    assert corrected_pm2_5("pms5003", {"pm2_5": 66.0}, 50.0, [], 0) == Corrected(66.0, "none@1")
    assert corrected_pm2_5("pms5003", PMS, None, [], 0) == Corrected(66.0, "none@1")
    assert corrected_pm2_5("somebody-elses", {"pm2_5": 7.0}, 50.0, [], 0) == Corrected(7.0, "none@1")
    assert corrected_pm2_5("mhz19b", {"co2": 600.0}, 50.0, [], 0).value is None


def test_a_unit_with_its_own_humidity_takes_it() -> None:
    values = {**PMS, "humidity": 50.0}
    found = corrected_pm2_5("pms5003t", values, None, [], 0)
    assert found.value == pytest.approx(53.84)
    assert found.correction == "barkjohn2022@1"
    assert corrected_pm2_5("pms5003t", values, 60.0, [], 0).value == pytest.approx(53.84 - 0.862)
    broken = {**PMS, "humidity": 130.0}
    assert corrected_pm2_5("pms5003t", broken, None, [], 0).correction == "none@1"


def test_another_channel_has_its_own_calibration() -> None:
    both = [Calibration(slope=0.5), Calibration(slope=3.0, channel="pm10")]
    values = {"pm2_5": 10.0, "pm10": 20.0}
    assert corrected_channel("pm10", values, None, both, 0) == Corrected(60.0, "calibration")
    assert corrected_pm2_5("sds011", values, None, both, 0) == Corrected(5.0, "calibration")
    assert corrected_channel("pm1", values, None, both, 0) == Corrected(None, "none@1")
    assert corrected_channel("pm10", values, None, [], 0) == Corrected(20.0, "none@1")


@pytest.mark.parametrize("bad", [None, math.nan, math.inf, -math.inf, -1.0])
def test_what_no_sensor_can_mean_is_no_value(bad: float | None) -> None:
    own = [Calibration(slope=0.5, offset=10.0)]
    assert corrected_pm2_5("sds011", {"pm2_5": bad}, 50.0, own, 0).value is None
    assert corrected_channel("pm10", {"pm10": bad}, 50.0, own, 0).value is None


@given(kind=st.sampled_from(["pms5003", "sds011", "x"]), cf1=NUMBER, atm=NUMBER, humidity=NUMBER)
def test_any_values_give_a_mass_or_none(
    kind: str, cf1: float | None, atm: float | None, humidity: float | None
) -> None:
    found = corrected_pm2_5(kind, {"pm2_5_cf1": cf1, "pm2_5": atm}, humidity, [Calibration(1.1, -2.0)], 0)
    assert found.value is None or (math.isfinite(found.value) and found.value >= 0.0)
