"""Each fault of a sensor against what only looks like one: a table a fault."""

from __future__ import annotations

import random

import pytest

from air_quality.humidity import growth_factor
from edge_agent.core.faulting import HOLDS_AFTER, OVER_AFTER, Do, Fault, Phase, Signal, step
from edge_agent.core.faults import (
    Damp,
    Flat,
    Hours,
    Spikes,
    Swell,
    drifting,
    spiking,
    stuck,
    swelling,
    with_mass,
    with_spike,
    with_values,
)
from edge_agent.core.gathering import MINUTE_MS, Seen
from firmware_bridge.kinds import SensorKind
from wire_contract.flags import Flag, pack_flags
from wire_contract.verdict_kinds import FaultCode

T0 = 1_794_960_000_000
SDS, PMS, CO2 = SensorKind.SDS011, SensorKind.PMS5003, SensorKind.MHZ19B


def seen(minute: float, *values: int | None, kind: SensorKind = SDS, every_s: float = 60.0) -> Seen:
    flags = pack_flags([Flag.GOOD] * len(values))
    return Seen(1, "front", kind, T0 + round(minute * MINUTE_MS), every_s, values, flags)


# -- flat line


def flat_after(kind: SensorKind, minutes: int, *values: int | None, every_s: float = 60.0) -> Flat:
    flat = Flat()
    for n in range(int(minutes * 60 / every_s) + 1):
        flat = with_values(flat, seen(n * every_s / 60, *values, kind=kind, every_s=every_s))
    return flat


FULL = (5, 9, 12, 5, 9, 12, 1300, 400, 60, 12, 3, 1)
CLEAN = (0, 0, 0, 0, 0, 0, 9, 3, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("what", "kind", "minutes", "values", "is_stuck"),
    [
        ("a Plantower's whole vector for a quarter of an hour", PMS, 15, FULL, True),
        ("the same for less", PMS, 14, FULL, False),
        ("a Nova's two values", SDS, 15, (123, 210), True),
        ("a Nova in very clean air, at a few steps of its resolution", SDS, 180, (4, 8), False),
        ("one value of twenty steps", SDS, 180, (8, 20), False),
        ("all zero", SDS, 180, (0, 0), False),
        ("all zero", PMS, 180, (0,) * 12, False),
        ("a Plantower in air of a clean room", PMS, 180, CLEAN, False),
        ("carbon dioxide at its floor", CO2, 180, (400, 21), False),
        ("no values at all", SDS, 180, (None, None), False),
        ("one value missing throughout", SDS, 15, (123, None), True),
    ],
)
def test_flat_line(
    what: str, kind: SensorKind, minutes: int, values: tuple[int | None, ...], is_stuck: bool
) -> None:
    assert bool(stuck(flat_after(kind, minutes, *values), kind)) is is_stuck, what


def test_few_samples_are_no_line() -> None:
    assert not stuck(flat_after(SDS, 20, 123, 210, every_s=600.0), SDS)
    assert stuck(flat_after(SDS, 40, 123, 210, every_s=600.0), SDS)


def test_one_other_value_ends_it() -> None:
    flat = flat_after(SDS, 60, 123, 210)
    assert stuck(flat, SDS)
    assert not stuck(with_values(flat, seen(61, 123, 211)), SDS)


# -- spikes


def spikes_of(*tenths: int) -> Spikes:
    spikes = Spikes()
    for minute, value in enumerate(tenths):
        spikes, _ = with_spike(spikes, seen(minute, value, 2 * value))
    return spikes


QUIET = [100, 110, 105]


@pytest.mark.parametrize(
    ("what", "tenths", "is_spiking"),
    [
        ("three values alone", [*QUIET, 900, *QUIET, 800, *QUIET, 950, *QUIET], True),
        ("two: lorries", [*QUIET, 900, *QUIET, 800, *QUIET], False),
        ("a plume, steep on both sides", [*QUIET, 900, 1000, 1000, 950, *QUIET] * 4, False),
        ("small ones, near zero", [5, 4, 30, 5, 4, 30, 5, 4, 30, 5], False),
        ("air that changes by half", [200, 300] * 20, False),
    ],
)
def test_spikes(what: str, tenths: list[int], is_spiking: bool) -> None:
    assert bool(spiking(spikes_of(*tenths), T0 + len(tenths) * MINUTE_MS)) is is_spiking, what


def test_one_that_fails_the_spike_test_is_enough_and_is_forgotten() -> None:
    flags = pack_flags([Flag.GOOD, Flag.GOOD])
    sample = Seen(1, "front", SDS, T0, 60.0, (100, 200), flags, T0 - MINUTE_MS, True)
    spikes, spiked_ms = with_spike(Spikes(), sample)
    assert spiked_ms == T0 - MINUTE_MS
    assert spiking(spikes, T0)
    assert not spiking(spikes, T0 + 40 * MINUTE_MS)


# -- humidity swell


def hour(mass: object, humidity: object, noise: float = 0.02) -> list[Damp]:
    """60 minutes; `mass` and `humidity` are functions of the minute."""
    chance = random.Random(5)
    return [
        Damp(
            T0 + (minute + 1) * MINUTE_MS,
            mass(minute) * (1 + chance.gauss(0, noise)),  # type: ignore[operator]
            min(100.0, humidity(minute) * (1 + chance.gauss(0, noise))),  # type: ignore[operator]
        )
        for minute in range(60)
    ]


def rising(start: float, end: float, over: int = 30) -> object:
    return lambda minute: start + (end - start) * min(1.0, minute / over)


def grown(dry: float, humidity: object, kappa: float = 0.4) -> object:
    return lambda minute: dry * growth_factor(humidity(minute), kappa)  # type: ignore[operator]


FOG = rising(70, 96)


@pytest.mark.parametrize(
    ("what", "mass", "humidity", "is_swollen"),
    [
        ("fog comes, the mass follows", grown(10, FOG), FOG, True),
        ("particles that take up less water", grown(10, FOG, 0.25), FOG, True),
        ("fog comes, the mass stays", lambda _m: 15.0, FOG, False),
        ("a plume in dry air", rising(12, 60), lambda _m: 50.0, False),
        ("a plume in damp air that stays as damp", rising(12, 60), lambda _m: 90.0, False),
        ("a plume ten times what the fog explains", rising(10, 300), FOG, False),
        ("air that dries", grown(10, rising(96, 70)), rising(96, 70), False),
        ("humidity rises, but not to where water matters", grown(10, rising(40, 60)), rising(40, 60), False),
        ("next to nothing", grown(0.5, FOG), FOG, False),
    ],
)
def test_humidity_swell(what: str, mass: object, humidity: object, is_swollen: bool) -> None:
    swell, words = swelling(Swell(), hour(mass, humidity), T0 + 60 * MINUTE_MS)
    assert bool(words) is is_swollen, what
    assert (swell.mass > 0) is is_swollen


def test_a_swell_lasts_beyond_the_hour_that_shows_it_and_ends_with_the_fog() -> None:
    swell, words = swelling(Swell(), hour(grown(10, FOG), FOG), T0 + 60 * MINUTE_MS)
    assert words
    steady = hour(grown(10, lambda _m: 96.0), lambda _m: 96.0)
    assert swelling(Swell(), steady, T0 + 60 * MINUTE_MS)[1] == "", "nothing shows it any more"
    swell, words = swelling(swell, steady, T0 + 60 * MINUTE_MS)
    assert words, "it is measured against what was before"
    after, words = swelling(swell, hour(lambda _m: 12.0, lambda _m: 60.0), T0 + 60 * MINUTE_MS)
    assert (after, words) == (Swell(), "")


def test_a_plume_within_a_swell_is_more_than_water() -> None:
    swell, _ = swelling(Swell(), hour(grown(10, FOG), FOG), T0 + 60 * MINUTE_MS)
    smoke = hour(lambda _m: 400.0, lambda _m: 96.0)
    assert swelling(swell, smoke, T0 + 60 * MINUTE_MS) == (Swell(), "")


def test_unknown_minutes_say_nothing() -> None:
    assert swelling(Swell(), [], T0)[1] == ""
    old = hour(grown(10, FOG), FOG)
    assert swelling(Swell(), old, T0 + 120 * MINUTE_MS)[1] == ""


# -- drift


def hours_of(*means: float) -> Hours:
    hours = Hours()
    for number, mean in enumerate(means):
        for minute in range(60):
            hours = with_mass(hours, T0 + (60 * number + minute) * MINUTE_MS, mean)
    return with_mass(hours, T0 + 60 * len(means) * MINUTE_MS, means[-1])


DAY = [12.0, 10.0, 9.0, 11.0, 14.0, 20.0] * 4


def after(hours: list[float]) -> int:
    return T0 + 60 * len(hours) * MINUTE_MS


@pytest.mark.parametrize(
    ("what", "one", "other", "guilty"),
    [
        ("both the same", DAY, DAY, set()),
        ("one half of the other, always: two kinds", DAY, [2 * v for v in DAY], set()),
        ("the second leaves for three hours", DAY, [*DAY[:-3], *(3 * v for v in DAY[-3:])], {2}),
        ("the first sinks", [*DAY[:-3], *(0.1 * v for v in DAY[-3:])], DAY, {1}),
        ("for two hours only", DAY, [*DAY[:-2], *(3 * v for v in DAY[-2:])], set()),
        ("an episode that both see", [*DAY[:-3], 80, 90, 85], [*DAY[:-3], 85, 90, 80], set()),
        ("nothing usual is known yet, half as much again", [10.0] * 4, [16.0] * 4, set()),
        ("nothing usual is known yet, four times as much", [10.0] * 4, [45.0] * 4, {2}),
        ("near zero", [0.2] * 24, [0.2] * 21 + [1.0] * 3, set()),
    ],
)
def test_drift(what: str, one: list[float], other: list[float], guilty: set[int]) -> None:
    found = drifting({1: hours_of(*one), 2: hours_of(*other)}, after(one))
    assert len(found) == len(guilty), what
    if len(one) > 12:
        assert set(found) == guilty, what


def test_an_hour_of_a_few_minutes_is_no_hour() -> None:
    hours = Hours()
    for minute in range(20):
        hours = with_mass(hours, T0 + minute * MINUTE_MS, 10.0)
    assert with_mass(hours, T0 + 60 * MINUTE_MS, 10.0).medians == ()


# -- a fault's life


@pytest.mark.parametrize("code", list(FaultCode))
def test_a_fault_is_told_once_when_it_holds_and_once_when_it_is_over(code: FaultCode) -> None:
    fault = Fault(code)
    told: list[Do] = []
    for signal in [Signal.SEEN] * 50 + [Signal.UNSEEN] * 100:
        fault, actions = step(fault, signal)
        told += actions
    assert told == [Do.TELL, Do.TELL_OVER]
    assert fault.phase is Phase.WELL


@pytest.mark.parametrize("code", list(FaultCode))
def test_a_fault_that_flickers_is_one(code: FaultCode) -> None:
    fault = Fault(code)
    told: list[Do] = []
    for _ in range(HOLDS_AFTER[code]):
        fault, actions = step(fault, Signal.SEEN)
        told += actions
    for _ in range(20):
        for signal in [Signal.UNSEEN] * (OVER_AFTER[code] - 1) + [Signal.SEEN]:
            fault, actions = step(fault, signal)
            told += actions
    assert told == [Do.TELL]


def test_nothing_known_changes_nothing() -> None:
    for phase in Phase:
        fault = Fault(FaultCode.DRIFT, phase, 1)
        assert step(fault, Signal.TIMED_OUT) == (fault, ())
