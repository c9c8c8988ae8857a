"""The table of states, its two clocks, and what may be asked for."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_server.commands import rules
from fleet_server.commands.rules import ENDS, OPEN, TABLE, Clocks, Event, Refusal, State
from wire_contract.messages import CommandName, CommandOutcome

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def test_every_pair_is_in_the_table() -> None:
    assert set(TABLE) == set(product(State, Event))


def test_an_end_is_an_end() -> None:
    assert set(ENDS) | set(OPEN) == set(State)
    for state, event in product(ENDS, Event):
        assert rules.step(state, event) in (state, Refusal.ENDED)
    for state in OPEN:
        assert {rules.step(state, event) for event in Event} & set(ENDS), f"{state} can end"


def test_power_loss_changes_nothing_and_no_command_goes_back() -> None:
    order = {state: place for place, state in enumerate((State.QUEUED, State.SENT, State.RECEIVED))}
    for state, event in product(State, Event):
        after = rules.step(state, event)
        assert rules.step(state, Event.POWER_LOSS) is state
        if isinstance(after, State) and state in order and after in order:
            assert order[after] >= order[state]


def test_what_has_begun_is_not_canceled_and_does_not_expire() -> None:
    assert rules.step(State.RECEIVED, Event.CANCEL) is Refusal.RUNS
    assert rules.step(State.RECEIVED, Event.EXPIRE) is State.RECEIVED
    assert {rules.step(state, Event.CANCEL) for state in (State.QUEUED, State.SENT)} == {State.CANCELED}


@pytest.mark.parametrize(
    ("state", "at", "event"),
    [
        (State.QUEUED, HOUR - timedelta(seconds=1), None),
        (State.QUEUED, HOUR, Event.EXPIRE),
        (State.SENT, HOUR, None),
        (State.SENT, HOUR + rules.EXPIRY_GRACE, Event.EXPIRE),
        (State.RECEIVED, timedelta(minutes=29), None),
        (State.RECEIVED, timedelta(minutes=30), Event.TIME_OUT),
        (State.SUCCEEDED, timedelta(days=400), None),
    ],
)
def test_two_clocks(state: State, at: timedelta, event: Event | None) -> None:
    began = NOW + timedelta(minutes=10) if state is State.RECEIVED else None
    clocks = Clocks(state, NOW + HOUR, began, timedelta(minutes=20))
    assert rules.due(clocks, NOW + at) is event


def test_nothing_is_open_after_the_last_instant() -> None:
    expires, timeout = NOW + HOUR, timedelta(minutes=20)
    last = rules.last_instant(expires, timeout)
    latest_beginning = expires + rules.EXPIRY_GRACE
    for state in OPEN:
        clocks = Clocks(state, expires, latest_beginning if state is State.RECEIVED else None, timeout)
        event = rules.due(clocks, last)
        assert event is not None
        assert rules.step(state, event) in ENDS


def test_every_word_of_a_lamppost_is_an_event() -> None:
    words = {outcome: rules.event_of(outcome, ok=True) for outcome in CommandOutcome}
    assert words.pop(CommandOutcome.NONE) is Event.SUCCEED
    assert len(set(words.values())) == len(words)
    assert rules.event_of(CommandOutcome.NONE, ok=False) is Event.FAIL, "an older agent"


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        (CommandName.PING, {}, None),
        (CommandName.LOGS, {}, None),
        (CommandName.LOGS, {"lines": "2000"}, None),
        (CommandName.LOGS, {"lines": "2001"}, "lines"),
        (CommandName.LOGS, {"lines": "0"}, "lines"),
        (CommandName.LOGS, {"lines": "-1"}, "lines"),
        (CommandName.LOGS, {"lines": "١٢"}, "lines"),
        (CommandName.LOGS, {"lines": "9" * 5000}, "lines"),
        (CommandName.LOGS, {"file": "/etc/shadow"}, "takes no"),
        (CommandName.REBOOT, {"now": "1"}, "takes no"),
    ],
)
def test_arguments(name: CommandName, arguments: dict[str, str], told: str | None) -> None:
    problem = rules.arguments_problem(name, arguments)
    assert problem is None if told is None else problem is not None and told in problem


ARGUMENTS = sorted({(name, each) for name, rule in rules.RULES.items() for each in rule.arguments})


@given(st.sampled_from(ARGUMENTS), st.text(max_size=40) | st.sampled_from(["Ana", "7 Rua Nova", "77"]))
def test_what_is_taken_as_an_argument_names_nobody(one: tuple[CommandName, str], value: str) -> None:
    """Arguments stand in the audit log's own lines, which nobody erases: free text would be personal there.

    Whoever adds such an argument has `record` keep it beside the line (`personal`), as the reason is."""
    name, argument = one
    if rules.arguments_problem(name, {argument: value}) is None:
        assert re.fullmatch("[0-9]{1,5}", value)


@pytest.mark.parametrize(
    ("expiry", "timeout", "key", "rate", "well"),
    [
        (HOUR, HOUR, "", 60, True),
        (timedelta(minutes=1), timedelta(days=7), "a.B_1:2-3", 1, True),
        (timedelta(seconds=59), HOUR, "", 60, False),
        (timedelta(days=31), HOUR, "", 60, False),
        (HOUR, timedelta(0), "", 60, False),
        (HOUR, timedelta(days=8), "", 60, False),
        (HOUR, HOUR, "a b", 60, False),
        (HOUR, HOUR, "x" * 65, 60, False),
        (HOUR, HOUR, "é", 60, False),
        (HOUR, HOUR, "", 0, False),
        (HOUR, HOUR, "", 1001, False),
    ],
)
def test_how_it_may_be_asked_for(
    expiry: timedelta, timeout: timedelta, key: str, rate: int, well: bool
) -> None:
    assert (rules.ask_problem(expiry, timeout, key, rate) is None) is well


def test_a_bulk_is_spread_evenly() -> None:
    instants = [rules.not_before(NOW, place, 30) for place in range(61)]
    assert instants[0] == NOW
    assert instants[60] == NOW + timedelta(minutes=2)
    assert len({at.replace(second=0) for at in instants[:30]}) == 1


def test_every_command_has_a_rule_and_the_diagram_every_state() -> None:
    assert set(rules.RULES) == set(CommandName)
    assert all(state.replace(" ", "_") in rules.diagram() for state in State)
