"""The US AQI and the European index against published vectors (standards.md 1.1, 1.4), and what must hold."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from air_quality.index import EU_EAQI, INDICES, US_AQI, eaqi, index_of, us_aqi, us_aqi_of
from air_quality.tables import Pollutant

US_VECTORS: dict[str, list[tuple[float, int]]] = {
    # MazamaScience AirMonitor, tests/testthat/test-nowcast_to_aqi.R; then recomputed ones
    "pm2_5": [
        *[(0, 0), (5.0, 28), (9.0, 50), (9.04, 50), (9.09, 50), (9.1, 51), (9.11, 51), (15.0, 62)],
        *[(35.4, 100), (35.5, 101), (40.0, 112), (55.4, 150), (55.5, 151), (80.0, 168), (125.4, 200)],
        *[(125.5, 201), (200.0, 275), (225.4, 300), (225.5, 301), (325.4, 500), (400.0, 649)],
        *[(1000.0, 1844), (4.5, 25), (10, 53), (12, 56), (20, 71), (35.49, 100), (35.9, 102)],
        *[(49.5, 135), (235.4, 321), (300, 449)],
    ],
    "pm10": [
        *[(54.9, 50), (55, 51), (100, 73), (154, 100), (155, 101), (254, 150), (300, 173), (425, 301)],
        *[(500, 384), (604, 500), (700, 607)],
    ],
    "o3_8h": [(0.0549, 50), (0.055, 51), (0.077, 122), (0.08753333, 154), (0.141, 238), (0.200, 300)],
    "o3_1h": [(0.125, 101), (0.162, 147), (0.3, 248), (0.45, 346), (0.604, 500)],
    "co": [(4.4, 50), (8.4, 90), (12.0, 143), (30.5, 301), (50.4, 500)],
    "so2_1h": [(35, 50), (75, 100), (140, 130), (304, 200)],
    "no2": [(53, 50), (54, 51), (100, 100), (250, 129), (360, 150), (1250, 301), (2049, 500)],
}
POLLUTANTS = [entry.key for entry in INDICES[US_AQI].pollutants]
ANY = st.floats(allow_nan=True, allow_infinity=True)
POSITIVE = st.floats(0, 5000)


@pytest.mark.parametrize(
    ("pollutant", "concentration", "expected"),
    [(key, value, index) for key, vectors in US_VECTORS.items() for value, index in vectors],
)
def test_us_aqi_of_the_standard(pollutant: str, concentration: float, expected: int) -> None:
    assert us_aqi_of(pollutant, concentration) == expected


@pytest.mark.parametrize("pollutant", POLLUTANTS)
@pytest.mark.parametrize("nothing", [None, math.nan, math.inf, -math.inf])
def test_what_is_no_number_has_no_index(pollutant: str, nothing: float | None) -> None:
    assert us_aqi_of(pollutant, nothing) is None
    assert index_of(US_AQI, {pollutant: nothing}) is None


@pytest.mark.parametrize("pollutant", ["pm2_5", "pm10", "o3_8h", "co", "so2_1h", "no2"])
@pytest.mark.parametrize("nothing", [0.0, -0.0, -0.04, -5.0, -1e300])
def test_at_or_below_zero_the_us_aqi_is_zero(pollutant: str, nothing: float) -> None:
    assert us_aqi_of(pollutant, nothing) == 0


@pytest.mark.parametrize("pollutant", POLLUTANTS)
@given(one=POSITIVE, other=POSITIVE)
def test_more_is_never_better(pollutant: str, one: float, other: float) -> None:
    less, more = sorted((one, other))
    low, high = us_aqi_of(pollutant, less), us_aqi_of(pollutant, more)
    assert (low or 0) <= (high or 0)


@given(st.dictionaries(st.sampled_from([*POLLUTANTS, "o3", "so2", "xylene"]), st.none() | ANY))
def test_any_input_has_an_index_or_none_and_the_worst_pollutant_is_it(
    given_: dict[str, float | None],
) -> None:
    mine = {key: us_aqi_of(key, given_[key]) for key in given_.keys() & set(POLLUTANTS)}
    found = us_aqi(given_)
    expected = max((value for value in mine.values() if value is not None), default=None)
    assert (found.value if found else None) == expected
    european = eaqi(given_)
    assert european is None or 1 <= european.value <= 6


@pytest.mark.parametrize("entry", INDICES[US_AQI].pollutants, ids=lambda entry: entry.key)
def test_every_breakpoint_is_its_bands_end(entry: Pollutant) -> None:
    for band, low, high in entry.spans:
        assert us_aqi_of(entry.key, low / 10**entry.decimals) == band.low
        assert us_aqi_of(entry.key, high / 10**entry.decimals) == band.high


def test_the_overall_index_names_its_driver_and_its_category() -> None:
    found = us_aqi({"pm2_5": 40.0, "pm10": 60.0, "o3_8h": None})
    assert found is not None
    assert (found.index_id, found.value, found.driver) == ("us-aqi@2024-05-06", 112, "pm2_5")
    assert (found.category, found.level) == ("Unhealthy for Sensitive Groups", 3)
    worse = us_aqi({"pm2_5": 40.0, "o3_8h": 0.1})
    assert worse is not None
    assert worse.driver == "o3"
    assert us_aqi({}) is None


def test_beyond_the_table_the_same_line_goes_on_in_the_last_category() -> None:
    found = us_aqi({"pm2_5": 1000.0})
    assert found is not None
    assert (found.value, found.level, found.category) == (1844, 6, "Hazardous")
    assert us_aqi_of("pm2_5", 1e300) == 301 + (199 * (10**301 - 2255) * 2 + 999) // (2 * 999)


def test_ozone_takes_the_worse_of_both_means_each_within_what_it_defines() -> None:
    assert us_aqi_of("o3_1h", 0.1249) is None
    assert us_aqi_of("o3_8h", 0.35) == 300, "the 8-hour mean says no more"
    found = us_aqi({"o3_8h": 0.1, "o3_1h": 0.3})
    assert found is not None
    assert (found.value, found.driver) == (248, "o3")
    alone = us_aqi({"o3_8h": 0.06, "o3_1h": 0.1})
    assert alone is not None
    assert alone.value == us_aqi_of("o3_8h", 0.06)


def test_sulphur_dioxide_takes_its_day_from_201_on() -> None:
    assert us_aqi_of("so2_1h", 400.0) == 200, "1 h >= 305 with 24 h < 305"
    assert us_aqi_of("so2_24h", 304.9) is None
    found = us_aqi({"so2_1h": 400.0, "so2_24h": 305.0})
    assert found is not None
    assert (found.value, found.driver) == (201, "so2")


def test_an_unknown_pollutant_or_index_is_the_callers_fault() -> None:
    with pytest.raises(KeyError):
        us_aqi_of("pollen", 1.0)
    with pytest.raises(KeyError):
        index_of("us-aqi@2012", {"pm2_5": 1.0})


@pytest.mark.parametrize(
    ("concentrations", "expected", "driver"),
    [
        *[({"pm2_5": value}, band, "pm2_5") for value, band in [(5, 1), (6, 2), (15, 2), (16, 3)]],
        *[({"pm2_5": value}, band, "pm2_5") for value, band in [(90, 4), (91, 5), (141, 6)]],
        ({"no2": 26}, 3, "no2"),
        ({"pm2_5": 8, "o3": 110}, 3, "o3"),
        ({"pm10": 271}, 6, "pm10"),
        ({"so2": 275}, 5, "so2"),
        ({"pm2_5": 5.3}, 2, "pm2_5"),  # between two published ends: the worse band
        ({"pm2_5": 0}, 1, "pm2_5"),
        ({"pm2_5": -3}, 1, "pm2_5"),
        ({"pm2_5": 1e300}, 6, "pm2_5"),
        ({"pm2_5": 30, "pm10": 60}, 3, "pm2_5"),  # of equal ones the first in the table
        ({"pm2_5": math.nan, "pm10": 20}, 2, "pm10"),
    ],
)
def test_eaqi_of_the_standard(concentrations: dict[str, float], expected: int, driver: str) -> None:
    found = eaqi(concentrations)
    assert found is not None
    assert (found.index_id, found.value, found.level, found.driver) == (EU_EAQI, expected, expected, driver)
    assert found.category == INDICES[EU_EAQI].band(expected).name


@pytest.mark.parametrize("nothing", [None, math.nan, math.inf])
def test_eaqi_of_nothing_is_none(nothing: float | None) -> None:
    assert eaqi({"pm2_5": nothing}) is None
    assert eaqi({"co": 3.0}) is None


@given(key=st.sampled_from(["pm2_5", "pm10", "o3", "no2", "so2"]), one=POSITIVE, other=POSITIVE)
def test_more_is_never_a_better_band(key: str, one: float, other: float) -> None:
    less, more = sorted((one, other))
    low, high = eaqi({key: less}), eaqi({key: more})
    assert low is not None
    assert high is not None
    assert low.value <= high.value


def test_what_floats_err_by_is_no_other_band() -> None:
    for upper in (5, 15, 50, 90, 140):
        assert eaqi({"pm2_5": upper + 1e-12}) == eaqi({"pm2_5": upper})
    assert us_aqi_of("pm2_5", 9.1 - 2e-15) == 51
    assert us_aqi_of("pm2_5", 9.09999) == 50
