"""Street minutes: nothing flagged, missing or capped is averaged in, gaps and bad clocks are survived."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.core.gathering import (
    MINUTE_MS,
    Gathered,
    Gathering,
    Seen,
    Trust,
    finish,
    gather,
    spiked,
    trust,
)
from firmware_bridge.kinds import SensorKind
from wire_contract.flags import Flag, pack_flags

T0 = 1_794_960_000_000
GOOD2 = pack_flags([Flag.GOOD, Flag.GOOD])


def seen(at_s: float, pm2_5: int | None, flag: Flag = Flag.GOOD, every_s: float = 10.0) -> Seen:
    """One SDS011 sample: PM2.5 in tenths."""
    flags = pack_flags([flag, Flag.GOOD])
    return Seen(1, "front", SensorKind.SDS011, T0 + round(at_s * 1000), every_s, (pm2_5, 200), flags)


def gathered(*samples: Seen) -> tuple[Gathering, list[Gathered], bool]:
    state, back = Gathering(), False
    minutes: list[Gathered] = []
    for each in samples:
        step = gather(state, each)
        state, back = step.state, back or step.set_back
        minutes += step.complete
    return state, minutes, back


@pytest.mark.parametrize(
    ("value", "flag", "worth"),
    [
        (12.0, Flag.GOOD, Trust.GOOD),
        (12.0, Flag.UNKNOWN, Trust.GOOD),
        (12.0, Flag.TIME_CORRECTED, Trust.GOOD),
        (0.0, Flag.GOOD, Trust.GOOD),
        (12.0, Flag.SUSPECT_RATE, Trust.DOUBTFUL),
        (12.0, Flag.SUSPECT_FLAT, Trust.DOUBTFUL),
        (None, Flag.GOOD, Trust.NONE),
        (math.nan, Flag.GOOD, Trust.NONE),
        (math.inf, Flag.GOOD, Trust.NONE),
        (-0.1, Flag.GOOD, Trust.NONE),
        (999.0, Flag.GOOD, Trust.NONE),
        (999.9, Flag.SUSPECT_RANGE, Trust.NONE),
        (12.0, Flag.MISSING, Trust.NONE),
        *((12.0, flag, Trust.NONE) for flag in Flag if flag.qartod == 4),
    ],
)
def test_what_a_value_is_worth(value: float | None, flag: Flag, worth: Trust) -> None:
    assert trust("ug/m3", value, flag) is worth


def test_a_temperature_may_be_negative() -> None:
    assert trust("Cel", -12.0, Flag.GOOD) is Trust.GOOD


def test_a_minute_is_the_mean_of_its_good_values() -> None:
    _, minutes, _ = gathered(seen(0, 100), seen(10, 120), seen(20, 9990), seen(30, None), seen(55, 140))
    (minute,) = minutes
    assert minute.start_ms == T0
    assert minute.means == pytest.approx({"pm2_5": 12.0, "pm10": 20.0})


def test_doubtful_values_count_only_where_there_is_no_good_one() -> None:
    _, minutes, _ = gathered(
        seen(10, 100), seen(20, 900, Flag.SUSPECT_RATE), seen(70, 900, Flag.SUSPECT_RATE), seen(130, 100)
    )
    assert [each.means["pm2_5"] for each in minutes] == [pytest.approx(10.0), pytest.approx(90.0)]


def test_a_minute_of_failed_values_has_no_mean() -> None:
    _, minutes, _ = gathered(seen(10, 100, Flag.FAIL_SPIKE), seen(55, 100, Flag.FAIL_FLAT))
    assert minutes[0].means == pytest.approx({"pm10": 20.0})


def test_a_minute_is_complete_at_once_where_its_cadence_leaves_no_room_for_more() -> None:
    state, minutes, _ = gathered(seen(7, 100, every_s=60.0))
    assert len(minutes) == 1
    assert state.start_ms is None
    assert gathered(seen(3, 100, every_s=60.0))[1] == [], "another may come, a little sooner than it should"


def test_minutes_follow_the_samples_times_and_gaps_stay_gaps() -> None:
    _, minutes, _ = gathered(seen(10, 100), seen(600, 120), seen(700, 130))
    assert [each.start_ms - T0 for each in minutes] == [0, 600_000]


def test_a_late_sample_changes_no_complete_minute() -> None:
    _, minutes, back = gathered(seen(59, 100), seen(30, 900), seen(61, 120), seen(119, 120))
    assert [each.means["pm2_5"] for each in minutes] == [pytest.approx(10.0), pytest.approx(12.0)]
    assert not back


def test_a_clock_that_is_set_back_begins_anew() -> None:
    state, minutes, back = gathered(seen(7200, 100), seen(0, 120), seen(55, 140))
    assert back
    assert [each.means["pm2_5"] for each in minutes] == [pytest.approx(13.0)]
    assert state.done_ms == T0 + MINUTE_MS


def test_a_units_own_slots_are_read() -> None:
    values = (5, 9, 12, 5, 9, 12, 900, 300, 50, 10, -35, 815)
    sample = Seen(1, "x", SensorKind.PMS5003T, T0 + 59_000, 60.0, values, pack_flags([Flag.GOOD] * 12))
    _, minutes, _ = gathered(sample)
    wanted = {"pm1": 5.0, "pm2_5": 9.0, "pm10": 12.0, "temperature": -3.5, "humidity": 81.5}
    assert minutes[0].means == pytest.approx(wanted)


def test_a_spike_is_one_of_a_mass() -> None:
    kind = SensorKind.SDS011
    assert spiked(kind, GOOD2) == (False, False)
    assert spiked(kind, pack_flags([Flag.GOOD, Flag.SUSPECT_SPIKE])) == (True, False)
    assert spiked(kind, pack_flags([Flag.FAIL_SPIKE, Flag.GOOD])) == (True, True)
    assert spiked(SensorKind.MHZ19B, pack_flags([Flag.FAIL_SPIKE, Flag.GOOD])) == (False, False)


@st.composite
def days(draw: st.DrawFn) -> list[Seen]:
    """Samples whose times mostly rise, sometimes jump, with all that a sensor may say."""
    at_s, made = draw(st.integers(0, 86_400)), []
    for _ in range(draw(st.integers(1, 80))):
        at_s = max(0, at_s + draw(st.sampled_from([1, 5, 10, 10, 59, 60, 61, 300, 4000, -1, -90, -8000])))
        value = draw(st.one_of(st.none(), st.integers(-50, 12_000)))
        made.append(
            seen(at_s, value, draw(st.sampled_from(list(Flag))), draw(st.sampled_from([1.0, 10.0, 60.0])))
        )
    return made


@given(days())
def test_every_mean_lies_between_the_believable_values_of_its_minute(samples: list[Seen]) -> None:
    state = Gathering()
    for each in samples:
        step = gather(state, each)
        for minute in step.complete:
            assert minute.start_ms % MINUTE_MS == 0
            mine = [
                s.values[0] / 10
                for s in samples
                if s.values[0] is not None
                and s.time_ms // MINUTE_MS == minute.start_ms // MINUTE_MS
                and trust("ug/m3", s.values[0] / 10, s.flags & 15) is not Trust.NONE
            ]
            if "pm2_5" in minute.means:
                assert min(mine) - 1e-9 <= minute.means["pm2_5"] <= max(mine) + 1e-9
            assert minute.means.get("pm2_5", 0.0) < 999.0
        state = step.state


@given(days())
def test_no_minute_is_complete_twice_until_the_clock_is_set_back(samples: list[Seen]) -> None:
    state, done = Gathering(), -1
    for each in samples:
        step = gather(state, each)
        done = -1 if step.set_back else done
        for minute in step.complete:
            assert minute.start_ms > done
            done = minute.start_ms
        state = step.state


def test_finishing_leaves_nothing_behind() -> None:
    state = gather(Gathering(), seen(10, 100)).state
    after, minute = finish(state)
    assert after == Gathering(done_ms=T0 + MINUTE_MS)
    assert minute.means["pm2_5"] == pytest.approx(10.0)
    assert replace(after, done_ms=0) == Gathering()
