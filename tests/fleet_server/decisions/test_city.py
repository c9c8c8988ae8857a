"""What verdicts and time make of incidents, without a database: order, repetition, places, faults, age."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fleet_server.decisions.city import City, Verdict, in_order
from fleet_server.decisions.rules import Severity, Standing, State, What, near
from tests.fleet_server.decisions.support import (
    MINUTE_MS,
    T0_MS,
    Lamp,
    again,
    alive,
    fault,
    opened,
    over,
    picture,
    says,
    told,
)
from wire_contract.verdict_kinds import VerdictKind

A, B, C = Lamp(1, 0), Lamp(2, 1_000), Lamp(3, 2_000)  # A and C see each other through B
FAR = Lamp(9, 50_000)


def whats(city: City) -> list[What]:
    return [line.what for line in city.lines]


def minute(at_min: float) -> int:
    return T0_MS + round(at_min * MINUTE_MS)


def test_one_lamppost_opens_a_minor_one_and_its_neighbours_make_it_worse() -> None:
    city = told(says(A, 0))
    assert [(i.state, i.severity) for i in alive(city)] == [(State.OPEN, Severity.MINOR)]
    told(says(B, 3), city=city)
    assert [i.severity for i in alive(city)] == [Severity.MODERATE]
    told(says(C, 5), city=city)
    [incident] = alive(city)
    assert (incident.severity, incident.devices) == (Severity.MAJOR, {1, 2, 3})


def test_a_very_high_index_makes_one_lamppost_major() -> None:
    [incident] = alive(told(says(A, 0, level=5)))
    assert incident.severity is Severity.MAJOR


def test_what_is_far_away_is_another_one() -> None:
    assert len(opened(told(says(A, 0), says(FAR, 1)))) == 2


def test_a_third_lamppost_between_two_merges_the_younger_into_the_older() -> None:
    city = told(says(A, 0), says(C, 1))
    assert len(opened(city)) == 2
    told(says(B, 2), city=city)
    [incident] = opened(city)
    assert incident.id == -1
    merged = city.incidents[-2]
    assert (merged.state, merged.merged_into, merged.members) == (State.MERGED, -1, {})
    assert set(city.evidence.values()) == {-1}


def test_without_a_place_the_district_counts() -> None:
    nowhere = Lamp(4, None, district="Old Town")
    assert len(opened(told(says(Lamp(1, 0, district="Old Town"), 0), says(nowhere, 1)))) == 1
    assert len(opened(told(says(Lamp(1, 0, district="Harbour"), 0), says(nowhere, 1)))) == 2
    assert len(opened(told(says(Lamp(1, None), 0), says(Lamp(2, None), 0)))) == 2, (
        "nothing is known of either"
    )


def test_tenants_never_meet() -> None:
    assert len(opened(told(says(A, 0), says(Lamp(2, 0, tenant="other"), 0)))) == 2


def test_it_closes_when_the_last_is_over_it() -> None:
    city = told(says(A, 0), says(B, 1), over(A, 20))
    assert len(opened(city)) == 1
    told(over(B, 25), city=city)
    [incident] = alive(city)
    assert (incident.state, incident.closed_ms) == (State.CLOSED, minute(25))


def test_it_closes_after_thirty_minutes_without_a_word() -> None:
    city = told(says(A, 0), says(A, 10))
    city.tick(minute(40))
    assert len(opened(city)) == 1
    city.tick(minute(40) + 1)
    [incident] = alive(city)
    assert (incident.state, incident.closed_ms) == (State.CLOSED, minute(40))
    city.tick(minute(400))
    assert whats(city).count(What.CLOSED) == 1


def test_what_comes_back_soon_is_the_same_one() -> None:
    city = told(says(A, 0), over(A, 10), says(B, 39))
    [incident] = alive(city)
    assert (incident.state, incident.closed_ms) == (State.OPEN, None)
    assert What.REOPENED in whats(city)
    assert len(alive(told(says(A, 0), over(A, 10), says(B, 41)))) == 2, "that is another one"


def test_what_comes_after_a_month_is_no_incident() -> None:
    day = 24 * 60
    assert alive(told(says(A, 0, delay_min=32 * day))) == []
    assert alive(told(says(A, 0, delay_min=32 * day, history=True))) == []
    years = told(*(says(A, -day * n, delay_min=day * n) for n in range(1, 400)))
    assert len(alive(years)) == 31, "nobody fills the list with years"
    assert years.counts["too_old"] == 368
    [known] = alive(told(says(A, 0), says(A, 5, delay_min=32 * day)))
    assert next(iter(known.members.values())).verdicts == 1
    unknown = replace(says(A, 0), received_ms=None)
    assert len(alive(told(unknown))) == 1, "from before it was kept when they come"


def test_a_late_verdict_opens_nothing_alive() -> None:
    for late in (says(A, 0, delay_min=16), says(A, 0, history=True)):
        [incident] = alive(told(late))
        assert (incident.state, incident.late) == (State.CLOSED, True)


def test_a_late_verdict_neither_reopens_nor_holds_open() -> None:
    city = told(says(A, 0), over(A, 10), says(B, 5, delay_min=40))
    [incident] = alive(city)
    assert (incident.state, incident.late, incident.devices) == (State.CLOSED, False, {1, 2})
    city = told(says(A, 0), says(B, 5, delay_min=40), over(A, 10))
    assert [i.state for i in alive(city)] == [State.CLOSED]


def test_late_ones_near_each_other_are_one() -> None:
    city = told(*(says(lamp, at, history=True) for lamp, at in ((A, 0), (A, 10), (C, 5), (B, 20))))
    [incident] = alive(city)
    assert (incident.state, incident.late, incident.severity) == (State.CLOSED, True, Severity.MAJOR)


def test_a_live_verdict_makes_a_late_one_alive() -> None:
    city = told(says(A, 0, delay_min=16), says(B, 10))
    [incident] = alive(city)
    assert (incident.state, incident.late) == (State.OPEN, False)


def test_a_fault_opens_nothing() -> None:
    assert told(fault(A, 0)).incidents == {}


def test_a_fault_takes_its_lamppost_out() -> None:
    city = told(says(A, 0), says(B, 1), says(C, 2), fault(B, 5))
    [incident] = alive(city)
    assert (incident.state, incident.severity, incident.devices) == (State.OPEN, Severity.MODERATE, {1, 3})
    member = incident.members[2, 1]
    assert (member.standing, member.fault) == (Standing.OUT, "humidity_swell: 97 % humidity")


def test_where_every_sensor_is_at_fault_it_is_over() -> None:
    city = told(says(A, 0), fault(A, 5))
    [incident] = alive(city)
    assert (incident.state, incident.close_reason) == (
        State.CLOSED,
        "what was measured was the sensors' fault",
    )


def test_the_other_sensor_of_a_lamppost_still_counts() -> None:
    city = told(says(A, 0), says(A, 0, unit=2), fault(A, 5, "drift: reads 40 % high", unit=2))
    [incident] = opened(city)
    assert incident.devices == {1}


def test_a_sensor_that_is_well_again_counts_again() -> None:
    city = told(says(A, 0), says(B, 0), fault(B, 5), says(B, 9))
    assert [i.devices for i in opened(city)] == [{1, 2}]


@pytest.mark.parametrize("kind", ["", "episodes", "EPISODE", "fire", "\x00"])
def test_an_unknown_kind_is_counted_and_passed_over(kind: str) -> None:
    city = told(says(A, 0, kind))
    assert (city.incidents, dict(city.counts)) == ({}, {"unknown_kind": 1})


def test_a_rule_that_is_not_confident_opens_nothing() -> None:
    assert told(says(A, 0, model="rule@1", confidence=0.59)).incidents == {}
    assert len(opened(told(says(A, 0, model="rule@1", confidence=0.6)))) == 1
    assert len(opened(told(says(A, 0, confidence=0.1)))) == 1, "a model's thresholds are its own"


def test_heard_twice_changes_nothing() -> None:
    first, second = says(A, 0), says(B, 1)
    city = told(first, second)
    before, lines = picture(city), len(city.lines)
    told(again(second), again(first), city=city)
    assert (picture(city), len(city.lines), city.counts["repeated"]) == (before, lines, 2)


def test_a_clock_that_is_ahead_makes_no_future() -> None:
    ahead = says(A, 600, delay_min=-600)
    city = told(ahead)
    assert alive(city)[0].last_ms == minute(0)
    city.tick(minute(31))
    assert opened(city) == []


def test_what_a_person_closed_is_opened_by_another_lamppost_only() -> None:
    city = told(says(A, 0), says(B, 1))
    close_by_hand(city, 5)
    told(says(A, 10), over(B, 11), city=city)
    assert opened(city) == []
    assert len(alive(city)) == 1, "and nothing new either"
    told(says(C, 12), city=city)
    [incident] = opened(city)
    assert (incident.closed_by, incident.close_reason, incident.closed_ms) == ("", "", None)


def test_what_a_person_closed_is_opened_by_a_lamppost_that_was_over_it() -> None:
    city = told(says(A, 0), says(B, 1), over(B, 3))
    close_by_hand(city, 5)
    told(says(B, 12), city=city)
    assert len(opened(city)) == 1


def close_by_hand(city: City, at_min: float) -> None:

    [incident] = opened(city)
    city.incidents[incident.id] = replace(
        incident, state=State.CLOSED, closed_ms=minute(at_min), closed_by="ola"
    )


def test_worked_off_late_the_end_is_the_same() -> None:
    """A worker that was away hears hours at once: what did not belong together does not."""
    city = told(*in_order([says(A, 0), says(A, 200), over(A, 210), says(A, 10)]))
    assert [(i.state, i.first_ms, i.last_ms) for i in alive(city)] == [
        (State.CLOSED, minute(0), minute(10)),
        (State.CLOSED, minute(200), minute(200)),
    ]


@pytest.mark.parametrize("minute_again", [1, 31])
def test_one_that_comes_to_life_again_meets_what_has_opened_beside_it(minute_again: int) -> None:
    """Out of order: 1 and 3 were in it and it closed when 2, whom only 3 is near, opened another."""
    one, two = Lamp(1), Lamp(2, None, district="Old Town")
    three = Lamp(3, district="Old Town")
    city = told(says(one, 0), says(two, 31), says(three, 0), says(one, minute_again))
    apart(city)
    assert len(opened(city)) == 1


LAMPS = st.builds(
    Lamp,
    st.integers(1, 8),
    st.one_of(st.none(), st.sampled_from([0.0, 900.0, 1_800.0, 2_700.0, 9_000.0])),
    st.sampled_from([0.0, 1_200.0]),
    st.sampled_from(["", "Old Town"]),
)


@st.composite
def spoken(draw: st.DrawFn, minutes: int, *, faults: bool = True, late: bool = True) -> list[Verdict]:
    """What up to eight lampposts say within so many minutes; each stands still."""
    lamps = {lamp.device: lamp for lamp in draw(st.lists(LAMPS, min_size=1, max_size=8))}
    kinds = [VerdictKind.EPISODE, VerdictKind.EPISODE, VerdictKind.EPISODE_OVER]
    kinds += [VerdictKind.FAULT, VerdictKind.FAULT_OVER] if faults else []
    moments = draw(
        st.lists(
            st.tuples(
                st.sampled_from(sorted(lamps)),
                st.integers(0, minutes),
                st.sampled_from(kinds),
                st.sampled_from([0, 0, 0, 20] if late else [0]),
                st.integers(0, 6),
            ),
            max_size=14,
        )
    )
    return [
        says(lamps[lamp], at, kind, delay_min=delay, level=level, reason="spike: x", score=at / 60)
        for lamp, at, kind, delay, level in moments
    ]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(spoken(minutes=30), st.randoms(use_true_random=False))
def test_any_order_gives_the_same_incidents(verdicts: list[Verdict], dice: random.Random) -> None:
    shuffled = list(unique(verdicts))
    expected = picture(told(*in_order(shuffled)))
    dice.shuffle(shuffled)
    assert picture(told(*shuffled)) == expected


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(spoken(minutes=300), st.randoms(use_true_random=False))
def test_the_same_verdicts_again_change_nothing(verdicts: list[Verdict], dice: random.Random) -> None:
    city = told(*verdicts)
    before, lines = picture(city), len(city.lines)
    repeated = [again(verdict) for verdict in verdicts]
    dice.shuffle(repeated)
    assert (picture(told(*repeated, city=city)), len(city.lines)) == (before, lines)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(spoken(minutes=300), st.booleans())
def test_two_open_incidents_are_never_within_reach(verdicts: list[Verdict], sort: bool) -> None:
    city = City()
    for verdict in in_order(verdicts) if sort else verdicts:
        city.hear(verdict)
        apart(city)
    city.tick(minute(10_000))
    assert opened(city) == []


def apart(city: City) -> None:
    still = opened(city)
    for n, one in enumerate(still):
        for other in still[n + 1 :]:
            for (device, _), a in one.members.items():
                for (another, _), b in other.members.items():
                    assert device != another
                    assert not near(a.place, b.place)


def unique(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Of the same verdict told in two ways (late and not) only one can be true."""
    return list({verdict.key: verdict for verdict in verdicts}.values())


def test_a_quiet_city_has_no_incidents() -> None:
    """Forty-eight hours of forty lampposts: faults come and go, rules guess, nothing is an episode."""
    dice = random.Random(1)
    city = City()
    for at in range(0, 48 * 60, 5):
        lamp = Lamp(dice.randrange(40), dice.uniform(0, 5_000), dice.uniform(0, 5_000))
        kind = dice.choice([VerdictKind.FAULT, VerdictKind.FAULT_OVER, VerdictKind.EPISODE_OVER])
        told(says(lamp, at, kind), says(lamp, at, model="rule@1", confidence=0.4), city=city)
        city.tick(minute(at))
    assert city.incidents == {}


def test_a_plume_that_crosses_five_hundred_lampposts_is_one_incident() -> None:
    lamps = [Lamp(n, (n % 25) * 400.0, (n // 25) * 400.0) for n in range(500)]
    city = City()
    for lamp in lamps:
        begins = (lamp.device % 25) * 4  # a front at 100 m a minute
        for repeat in range(3):
            city.hear(says(lamp, begins + repeat * 10))
        city.hear(over(lamp, begins + 29))
    [incident] = alive(city)
    assert (len(incident.devices), incident.severity) == (500, Severity.MAJOR)
    city.tick(minute(10_000))
    assert opened(city) == []
