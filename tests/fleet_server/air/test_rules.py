"""Which unit speaks, when an hour counts, what a district's index is; and what no calibration may be."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from air_quality.calibration import Calibration
from air_quality.index import EU_EAQI, INDICES, US_AQI
from fleet_server.air import rules
from fleet_server.air.rules import HOUR, Hour, UnitMeans
from tests.fleet_server.telemetry.support import NOW

ALL_PARTS = 2**12 - 1


def means(unit: int = 1, kind: str = "odd", parts: int = ALL_PARTS, **values: float) -> UnitMeans:
    return UnitMeans(unit, kind, values, dict.fromkeys(values, parts), NOW + HOUR)


def hour(value: float, *, complete: bool = True, pollutant: str = "pm2_5") -> Hour:
    return Hour(pollutant, 1, value, value, "none@1", None, 12, complete, True, NOW)


@pytest.mark.parametrize(
    ("minutes", "needed"),
    [(-5, 2), (0, 2), (4, 2), (10, 2), (14, 2), (15, 3), (20, 3), (30, 5), (59, 9), (60, 9), (6000, 9)],
)
def test_three_quarters_of_what_is_over_but_ten_minutes_at_least(minutes: int, needed: int) -> None:
    assert rules.parts_needed(NOW, NOW + timedelta(minutes=minutes)) == needed


def test_of_units_that_measured_the_hour_the_calibrated_one_speaks() -> None:
    own = {2: [Calibration(2.0, 1.0, valid_from_ms=int(NOW.timestamp() * 1000))]}
    units = [means(1, pm2_5=10.0), means(2, pm2_5=20.0)]
    [said] = rules.hours_of(units, own, NOW, NOW + HOUR)
    assert (said.sensor_unit, said.raw, said.value, said.correction) == (2, 20.0, 41.0, "calibration")
    [said] = rules.hours_of(units, own, NOW - HOUR, NOW + HOUR)
    assert (said.sensor_unit, said.correction) == (1, "none@1"), "it had not begun"
    units[1] = means(2, parts=0b11, pm2_5=20.0)
    [said] = rules.hours_of(units, own, NOW, NOW + HOUR)
    assert said.sensor_unit == 1, "two parts of twelve are no hour"


def test_a_calibration_of_one_channel_leaves_the_other_alone() -> None:
    own = {1: [Calibration(2.0, channel="pm10")]}
    fine, coarse = rules.hours_of([means(1, pm2_5=10.0, pm10=30.0)], own, NOW, NOW + HOUR)
    assert (fine.value, fine.correction) == (10.0, "none@1")
    assert (coarse.value, coarse.correction) == (60.0, "calibration")


def test_a_sensor_that_says_cf1_alone_speaks() -> None:
    [said] = rules.hours_of([means(1, "pms5003", pm2_5_cf1=100.0, humidity=50.0)], {}, NOW, NOW + HOUR)
    assert (said.raw, said.value, said.correction) == (100.0, 53.84, "barkjohn2022@1")


def test_nobody_measured() -> None:
    assert rules.hours_of([], {}, NOW, NOW) == []
    assert rules.hours_of([means(1, humidity=50.0)], {}, NOW, NOW) == []
    assert rules.indices_of({}, NOW) == []


def test_the_present_hour_may_be_missing_from_the_us_index_and_not_from_the_european() -> None:
    hours = {(NOW - n * HOUR, "pm2_5"): hour(20.0) for n in (1, 2)}
    hours[NOW, "pm2_5"] = hour(500.0, complete=False)
    [index] = rules.indices_of(hours, NOW)
    assert (index.index_id, index.value, index.concentration) == (US_AQI, 71, 20.0)


@given(
    st.dictionaries(
        st.tuples(st.integers(0, 11), st.sampled_from(rules.POLLUTANTS)),
        st.tuples(st.floats(0, 5000), st.booleans()),
    )
)
def test_an_index_names_its_table_its_driver_and_what_made_it(
    said: dict[tuple[int, str], tuple[float, bool]],
) -> None:
    hours = {
        (NOW - ago * HOUR, pollutant): hour(value, complete=complete, pollutant=pollutant)
        for (ago, pollutant), (value, complete) in said.items()
    }
    for index in rules.indices_of(hours, NOW):
        table = INDICES[index.index_id]
        assert table.band(index.level).name == index.category
        assert index.driver in rules.POLLUTANTS
        assert index.value >= table.bands[0].low
        assert index.correction == "none@1"
        if index.index_id == EU_EAQI:
            assert index.concentration == round(hours[NOW, index.driver].value, 1)


@given(st.lists(st.tuples(st.integers(0, 2000), st.sampled_from(["pm2_5", "pm10"])), min_size=1, max_size=50))
def test_a_district_is_the_median_and_the_worsts_driver(lampposts: list[tuple[int, str]]) -> None:
    found = rules.district_of(US_AQI, lampposts)
    assert found is not None
    assert found.value == math.ceil(median(value for value, _ in lampposts))
    assert found.n == len(lampposts)
    assert (max(value for value, _ in lampposts), found.driver) in lampposts
    band = INDICES[US_AQI].band(found.level)
    assert found.category == band.name
    assert band.low <= found.value <= band.high or found.level == 6


def test_no_lampposts_no_district() -> None:
    assert rules.district_of(US_AQI, []) is None


@pytest.mark.parametrize(
    ("calibration", "told"),
    [
        (Calibration(slope=math.nan), "slope = nan"),
        (Calibration(slope=0.0), "slope = 0"),
        (Calibration(slope=-1.0), "slope = -1"),
        (Calibration(slope=1e308), "slope = 1e+308"),
        (Calibration(offset=math.inf), "offset = inf"),
        (Calibration(offset=-501.0), "offset = -501"),
        (Calibration(humidity=math.nan), "humidity = nan"),
        (Calibration(humidity=10.1), "humidity = 10.1"),
        (Calibration(channel="temperature"), "pm2_5 or pm10"),
        (Calibration(channel=""), "pm2_5 or pm10"),
        (Calibration(source="x" * 201), "at most 200"),
        (Calibration(source="a\0b"), "printable"),
    ],
)
def test_what_is_no_calibration_is_told(calibration: Calibration, told: str) -> None:
    assert told in (rules.calibration_problem(calibration) or "")


def test_calibrations() -> None:
    for good in (
        Calibration(),
        Calibration(0.62, 3.1, -0.05, source="beside São João"),
        Calibration(channel="pm10"),
    ):
        assert rules.calibration_problem(good) is None


@given(st.datetimes(datetime(1970, 1, 2), datetime(2100, 1, 1), timezones=st.timezones()))
def test_an_hour_is_an_hour_of_utc(time: datetime) -> None:
    begins = rules.hour_of(time)
    assert begins <= time < begins + HOUR
    assert begins.timestamp() % 3600 == 0
