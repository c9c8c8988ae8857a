"""The recipe: seeded, split without leakage, labelled as it says; and numpy's window is the edge's."""

from __future__ import annotations

import dataclasses
from functools import cache

import numpy as np
import pytest

from models.air_anomaly.air import DAY_MIN, MINUTES, fast_rises, street_air
from models.air_anomaly.baselines import simple_scores
from models.air_anomaly.batch import windows
from models.air_anomaly.dataset import MIN_COVERAGE, OUTPUTS, answers, draw
from models.air_anomaly.events import EPISODES, FAULTS, MATERIAL_UG_M3, Event, labels
from models.air_anomaly.recipe import MIX, Segment, Source
from models.air_anomaly.reference import CAP_UG_M3, DataAbsent, Station, cleaned, data_directory, stations
from models.air_anomaly.sensor import growth
from models.air_anomaly.split import (
    STRETCH_HOURS,
    Part,
    month_of,
    part_of_month,
    part_of_station,
    stretches,
)
from models.features.baseline_rule import rule_score
from models.features.context import Context, observe
from models.features.manifest import rule_manifest
from models.features.window import MINUTE_MS, Minute, assemble
from tests.support.shared import need_shared

SEED = 3
START_MS = 1_790_000_000_000 // 600_000 * 600_000


@cache
def posts() -> list[Station]:
    return stations(need_shared("beijing/hourly.parquet").parents[1])


@cache
def source(part: Part) -> Source:
    return Source(posts(), part)


def made_station(name: str = "Elsewhere", group: str = "beijing", hours: int = 24 * 200) -> Station:
    """A street without data of anybody's: a day's wave, from 1 January 2014."""
    at = np.arange(hours) + 385_704
    wave = 40 + 20 * np.sin(at / 24 * 2 * np.pi)
    return Station(name, group, at, wave, 1.5 * wave, np.full(hours, 60.0))


@cache
def made_source() -> Source:
    return Source([made_station()], Part.TRAIN)


# --- the split


def test_no_station_and_no_month_is_in_two_parts() -> None:
    seen_stations: dict[str, Part] = {}
    seen_hours: dict[tuple[str, int], Part] = {}
    for part in Part:
        for station in posts():
            if part_of_station(station) is not part:
                continue
            for stretch in stretches(station):
                assert seen_stations.setdefault(station.name, part) is part
                hours = station.hours[stretch.first : stretch.first + STRETCH_HOURS]
                for month in {month_of(int(hours[0])), month_of(int(hours[-1]))}:
                    key = (station.group, month[0] * 12 + month[1])
                    assert seen_hours.setdefault(key, part) is part
    assert set(seen_stations.values()) == set(Part)


def test_the_test_is_later_than_everything_learned_from() -> None:
    newest: dict[str, int] = {}
    oldest: dict[str, int] = {}
    for station in posts():
        part, firsts = part_of_station(station), [int(s.station.hours[s.first]) for s in stretches(station)]
        if not firsts:
            continue
        if part is Part.TEST:
            oldest[station.group] = min(firsts)
        else:
            newest[station.group] = max(newest.get(station.group, 0), *firsts)
    assert {"beijing", "norway", "shanghai"} <= set(oldest)
    for group in set(newest) & set(oldest):
        assert newest[group] + STRETCH_HOURS < oldest[group]


def test_a_month_of_validation_never_trains() -> None:
    parts = {(y, m): part_of_month("beijing", y, m) for y in (2013, 2014, 2015) for m in range(1, 13)}
    assert parts[2014, 2] is Part.VALIDATION
    assert parts[2014, 3] is Part.TRAIN
    assert parts[2015, 5] is Part.TEST


def test_a_stretch_has_no_long_hole() -> None:
    station = made_station()
    holed = station.pm2_5.copy()
    holed[1600:1604] = np.nan  # in March, a month of training
    with_hole = dataclasses.replace(station, pm2_5=holed)
    for stretch in stretches(with_hole):
        assert not stretch.first <= 1600 <= stretch.first + STRETCH_HOURS - 4
    assert len(stretches(with_hole)) < len(stretches(station))


# --- the reference


def test_known_defects_are_gone() -> None:
    for station in posts():
        known = station.pm2_5[np.isfinite(station.pm2_5)]
        assert known.min() >= 0
        assert known.max() < CAP_UG_M3
        if station.humidity is not None:
            damp = station.humidity[np.isfinite(station.humidity)]
            assert damp.min() >= 1
            assert damp.max() <= 100.01
        assert np.all(np.diff(station.hours) == 1)
    assert len({s.name for s in posts()}) == len(posts())


def test_cleaning_takes_the_cap_and_the_codes_for_missing() -> None:
    values = np.array([0.0, -9999.0, -97.0, 999.0, 998.9, np.nan])
    assert np.isfinite(cleaned(values)).tolist() == [True, False, False, False, True, False]


def test_absent_data_is_said_in_one_line(tmp_path: object) -> None:
    with pytest.raises(DataAbsent, match=r"lacks beijing/hourly\.parquet.*--data"):
        data_directory(str(tmp_path))


# --- seeded


def test_the_same_seed_makes_the_same_segment_and_another_another() -> None:
    first, again, other = (made_source().segment(seed, 4) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.readings.pm2_5, again.readings.pm2_5)
    np.testing.assert_array_equal(first.label, again.label)
    assert not np.array_equal(first.readings.pm2_5, other.readings.pm2_5, equal_nan=True)


def test_windows_do_not_depend_on_how_many_are_drawn() -> None:
    few, more = (draw(made_source(), SEED, count, lambda _: None) for count in (3, 5))
    np.testing.assert_array_equal(few.x, more.x[: len(few)])
    np.testing.assert_array_equal(few.y, more.y[: len(few)])


def test_the_mix_is_a_distribution_of_every_event() -> None:
    assert set(MIX) == set(Event)
    assert sum(MIX.values()) == pytest.approx(1.0)


# --- what the recipe says is what it makes


@pytest.mark.parametrize("event", list(Event))
def test_every_event_makes_plausible_readings(event: Event) -> None:
    for index in range(6):
        segment = made_source().segment(SEED, index, event)
        known = segment.readings.pm2_5[np.isfinite(segment.readings.pm2_5)]
        assert len(known) > 100
        assert known.min() >= 0
        assert (segment.label == 1).any() <= (event in EPISODES)
        if event in FAULTS:
            assert segment.fault is event
            assert segment.readings.faulty.any()
        if segment.onset is not None:
            assert segment.excess[segment.onset : segment.onset + 10].max() >= 0.8 * MATERIAL_UG_M3


def test_labels_ask_nothing_of_the_first_minutes_and_the_aftermath() -> None:
    excess = np.zeros(MINUTES)
    excess[1500:1550] = 50.0
    label = labels(excess, np.full(MINUTES, 10.0))
    assert label[1490:1498].tolist() == [0] * 8
    assert label[1502:1549].tolist() == [1] * 47
    assert label[1500] == label[1552] == label[1560] == -1
    assert label[1575] == 0


def test_an_excess_that_never_matters_is_no_episode() -> None:
    excess = np.zeros(MINUTES)
    excess[1500:1550] = 6.0
    label = labels(excess, np.full(MINUTES, 10.0))
    assert not (label == 1).any()
    assert (label[1500:1550] == -1).all()


def test_a_fast_rise_of_the_reference_is_asked_neither_way() -> None:
    hourly = np.full(STRETCH_HOURS, 20.0)
    hourly[26:] = 90.0
    unsure = fast_rises(hourly)
    assert not unsure[: 24 * 60].any()
    assert unsure[26 * 60 : 28 * 60].all()
    assert not fast_rises(np.full(STRETCH_HOURS, 20.0)).any()
    assert not fast_rises(np.linspace(20, 90, STRETCH_HOURS)).any()


def test_a_streets_hourly_means_stay_near_the_references() -> None:
    stretch = stretches(made_station())[0]
    air = np.mean([street_air(stretch, np.random.default_rng(i)).pm2_5 for i in range(40)], axis=0)
    hourly = air.reshape(-1, 60).mean(axis=1)
    wanted = stretch.station.pm2_5[stretch.first : stretch.first + len(hourly)]
    assert np.all(hourly > 0.8 * wanted)
    assert np.all(hourly < 2.0 * wanted)  # streets add their traffic


def test_growth_is_the_humiditys_and_bounded() -> None:
    humidity = np.array([0.0, 50.0, 65.0, 90.0, 99.0, 100.0, 120.0])
    wet = growth(humidity, 0.4)
    assert np.all(np.diff(wet) >= 0)
    assert wet[0] == 1.0
    assert np.isfinite(wet).all()


def test_answers_name_the_faults() -> None:
    for event, name in ((Event.SPIKE, "spike"), (Event.FLAT_LINE, "flat_line")):
        segment = made_source().segment(SEED, 2, event)
        faulty = np.flatnonzero(segment.readings.faulty[DAY_MIN:]) + DAY_MIN
        y = answers(segment, faulty)
        assert (y[:, OUTPUTS.index(name)] == 1).any()
        assert (y[:, 0] <= 0).all()


# --- one arithmetic


def pure_windows(segment: Segment, last: list[int]) -> dict[int, tuple[np.ndarray, float] | None]:
    """What the edge makes of the same readings: minute by minute through Context and assemble."""
    manifest = dataclasses.replace(
        rule_manifest(),
        thresholds=dataclasses.replace(rule_manifest().thresholds, min_coverage=MIN_COVERAGE),
    )
    readings, context = segment.readings, Context()
    hour: list[Minute] = []
    found: dict[int, tuple[np.ndarray, float] | None] = {}
    for index in range(max(last) + 1):
        time_ms = START_MS + index * MINUTE_MS
        row = [
            None if np.isnan(column[index]) else float(column[index])
            for column in (readings.pm2_5, readings.pm10, readings.pm1, readings.humidity)
        ]
        context = observe(context, time_ms, row[0])
        hour = [*hour[-59:], Minute(time_ms, *row)]
        if index in last:
            window = assemble(hour, time_ms + MINUTE_MS, context, manifest)
            found[index] = (
                None if window is None else (np.array(window.values).reshape(60, -1), rule_score(window)[0])
            )
    return found


@pytest.mark.parametrize("event", [Event.PLUME, Event.SPIKE, Event.SWELL, Event.NONE])
def test_numpys_windows_are_the_edges_windows(event: Event) -> None:
    for index in range(3):
        segment = made_source().segment(SEED, 10 + index, event)
        last = [DAY_MIN - 61, DAY_MIN + 7, DAY_MIN + 133, DAY_MIN + 250, MINUTES - 1]
        values, usable = windows(segment.readings, np.array(last), MIN_COVERAGE)
        rules = simple_scores(segment.readings, np.array(last))["rule"]
        pure = pure_windows(segment, last)
        for row, minute in enumerate(last):
            window = pure[minute]
            assert (window is not None) == usable[row]
            if window is not None:
                np.testing.assert_allclose(values[row], window[0], atol=2e-6)
                assert rules[row] == pytest.approx(window[1], abs=1e-9)
