"""The table of states and events: whole, without a way back, and what it promises."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_server.enrolment import batch_rules, rules
from fleet_server.enrolment.batch_rules import BatchEvent, BatchState
from fleet_server.enrolment.rules import TABLE, Event, Refusal, State

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
ENDED_BADLY = (State.REJECTED, State.EXPIRED, State.WITHDRAWN)


def test_every_pair_is_listed_and_no_other() -> None:
    assert set(TABLE) == set(product(State, Event))


def after(events: list[Event]) -> list[State]:
    """The states passed through, refusals changing nothing."""
    states = [State.CLAIMED]
    for event in events:
        outcome = rules.step(states[-1], event)
        states.append(outcome if isinstance(outcome, State) else states[-1])
    return states


@given(st.lists(st.sampled_from(Event), max_size=30))
def test_no_certificate_without_a_request_and_a_person(events: list[Event]) -> None:
    states = after(events)
    if State.ISSUED in states:
        done = events[: states.index(State.ISSUED)]
        assert done[-1] is Event.ISSUE
        assert Event.ACCEPT in done[done.index(Event.ASK) :]


@given(st.lists(st.sampled_from(Event), max_size=30), st.lists(st.sampled_from(Event), max_size=30))
def test_an_end_is_an_end(before: list[Event], later: list[Event]) -> None:
    state = after(before)[-1]
    if state in ENDED_BADLY or state is State.ISSUED:
        assert set(after([*before, *later])[len(before) :]) == {state}


@pytest.mark.parametrize("state", State)
def test_another_key_never_gets_anywhere_and_power_loss_changes_nothing(state: State) -> None:
    assert isinstance(rules.step(state, Event.ASK_OTHER_KEY), Refusal)
    assert rules.step(state, Event.POWER_LOSS) is state


def test_a_suspended_claim_opens_nothing_until_a_person_has_looked() -> None:
    assert {rules.step(State.SUSPENDED, e) for e in (Event.ASK, Event.ASK_OTHER_KEY)} == {Refusal.SUSPENDED}
    assert rules.step(State.SUSPENDED, Event.RESUME) is State.CLAIMED
    assert [s for s in State if rules.step(s, Event.SUSPEND) is not s] == [State.CLAIMED]


def test_a_revoked_batch_is_over() -> None:
    assert set(batch_rules.TABLE) == set(product(BatchState, BatchEvent))
    after = {batch_rules.step(BatchState.REVOKED, event) for event in BatchEvent}
    assert after == {BatchState.REVOKED, None}
    assert {batch_rules.step(state, BatchEvent.POWER_LOSS) for state in BatchState} == set(BatchState)
    for state in (BatchState.OPEN, BatchState.SUSPENDED):
        assert batch_rules.step(state, BatchEvent.ALARM) is BatchState.SUSPENDED
    assert batch_rules.diagram().count("-->") == 6


@pytest.mark.parametrize("state", State)
def test_a_request_sent_twice_changes_nothing_the_second_time(state: State) -> None:
    first = rules.step(state, Event.ASK)
    if isinstance(first, State):
        assert rules.step(first, Event.ASK) is first


def test_what_a_person_accepted_does_not_time_out() -> None:
    assert rules.TIMING_OUT == (State.CLAIMED, State.SUSPENDED, State.PENDING)


@given(st.floats(0, 1e7), st.floats(0, 1e7))
def test_asking_becomes_rarer_and_stays_within_bounds(waited_s: float, more_s: float) -> None:
    soon = rules.poll_after_s(NOON, NOON + timedelta(seconds=waited_s))
    later = rules.poll_after_s(NOON, NOON + timedelta(seconds=waited_s + more_s))
    assert rules.POLL_SOONEST_S <= soon <= later <= rules.POLL_LATEST_S


def test_a_clock_that_went_back_does_not_matter() -> None:
    assert rules.poll_after_s(NOON, NOON - timedelta(days=1)) == rules.POLL_SOONEST_S


def test_the_diagram_has_every_change_of_state_and_every_end() -> None:
    drawn = rules.diagram()
    for (state, event), outcome in TABLE.items():
        if isinstance(outcome, State) and outcome is not state:
            assert f"    {state} --> {outcome}: {event}\n" in drawn
    for state in (*ENDED_BADLY, State.ISSUED):
        assert f"    {state} --> [*]\n" in drawn
    for state in (State.CLAIMED, State.SUSPENDED, State.PENDING, State.ACCEPTED):
        assert f"    {state} --> [*]\n" not in drawn
