"""The link's table: what it does in the order things happen in the street."""

from __future__ import annotations

import random
from bisect import bisect_right

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.core import link_moves as moves
from edge_agent.core.link import (
    ASK_MAX_S,
    BACKOFF_MAX_S,
    HANDSHAKE_S,
    RESUME_S,
    SILENT_S,
    STEADY_S,
    TABLE,
    TICK_S,
    Link,
    Phase,
    step,
)
from edge_agent.core.link_moves import Ack, Event, Fetched, Signal, Trouble
from edge_agent.core.records import Head
from wire_contract.classes import Class


def event(signal: Signal, now_s: float = 0.0, jitter: float = 1.0) -> Event:
    return Event(signal, now_s, jitter)


def trouble(signal: Signal, now_s: float = 0.0, jitter: float = 1.0) -> Trouble:
    return Trouble(signal, now_s, jitter, "broker_unreachable", "nothing listens there", "")


def drive(link: Link, *events: Event) -> tuple[Link, list[moves.Action]]:
    done: list[moves.Action] = []
    for each in events:
        link, actions = step(link, each)
        done += actions
    return link, done


def resuming(now_s: float = 0.0) -> Link:
    signals = (Signal.START, Signal.CONNECTED, Signal.SUBSCRIBED)
    return drive(Link(), *(event(signal, now_s) for signal in signals))[0]


def draining(now_s: float = 0.0) -> Link:
    return drive(resuming(now_s), event(Signal.TIMED_OUT, now_s))[0]


def delays(actions: list[moves.Action]) -> list[float]:
    return [a.delay_s for a in actions if isinstance(a, moves.Arm) and a.signal is Signal.RETRY_DUE]


def test_connect_subscribe_birth_ask_then_wait_for_the_answer() -> None:
    link, done = drive(Link(), *map(event, (Signal.START, Signal.CONNECTED, Signal.SUBSCRIBED)))
    kinds = [type(action) for action in done if not isinstance(action, moves.Arm | moves.Unsay)]
    assert kinds == [moves.Connect, moves.Subscribe, moves.AnnounceBirth, moves.SendAsk]
    assert link.phase is Phase.RESUMING
    assert not [action for action in done if isinstance(action, moves.Fetch)], (
        "nothing leaves before the answer"
    )
    assert moves.Arm(Signal.TIMED_OUT, HANDSHAKE_S) in done
    assert moves.Arm(Signal.TIMED_OUT, RESUME_S) in done


def test_the_answer_for_every_class_begins_the_draining() -> None:
    link = resuming()
    for cls in Class:
        assert link.phase is Phase.RESUMING
        link, done = drive(link, Ack(Signal.ACK, 1.0, 0.5, cls, 3, ()))
    assert link.phase is Phase.DRAINING
    fetch = next(action for action in done if isinstance(action, moves.Fetch))
    assert {want.after for want in fetch.wants} == {3}, "from what the server has"


def test_a_server_that_does_not_answer_does_not_stop_the_draining() -> None:
    link, done = drive(resuming(), event(Signal.TIMED_OUT, RESUME_S))
    assert link.phase is Phase.DRAINING
    assert any(isinstance(action, moves.Fetch) for action in done)


def test_what_was_on_its_way_is_drained_again_after_a_loss() -> None:
    heads = (Head(Class.LIVE, 1, 1), Head(Class.LIVE, 2, 2))
    link, done = drive(draining(), Fetched(Signal.FETCHED, 0.0, 0.0, heads))
    assert [a for a in done if isinstance(a, moves.Publish)] == [
        moves.Publish(Class.LIVE, 1),
        moves.Publish(Class.LIVE, 2),
    ]
    link, done = drive(link, trouble(Signal.LOST, 1.0))
    assert not link.window.in_flight
    assert moves.Say("broker_unreachable", "nothing listens there", "") in done
    signals = (Signal.RETRY_DUE, Signal.CONNECTED, Signal.SUBSCRIBED, Signal.TIMED_OUT)
    link, done = drive(link, *(event(signal, 2.0) for signal in signals))
    fetch = next(action for action in done if isinstance(action, moves.Fetch))
    assert {want.after for want in fetch.wants} == {0}


@given(st.lists(st.floats(0, 1), min_size=12, max_size=12))
def test_back_off_doubles_to_its_maximum_with_full_jitter(jitters: list[float]) -> None:
    link, ceilings = Link(), [1, 2, 4, 8, 16, 32, 64, 120, 120, 120, 120, 120]
    link, _ = drive(link, event(Signal.START))
    for jitter, ceiling in zip(jitters, ceilings, strict=True):
        link, done = drive(link, trouble(Signal.REFUSED, 0.0, jitter))
        assert delays(done) == [ceiling * jitter]
        link, _ = drive(link, event(Signal.RETRY_DUE))


def test_an_ack_or_a_minute_begins_the_back_off_anew() -> None:
    worn = Link(phase=Phase.DRAINING, attempt=7, since_s=0.0)
    _, done = drive(worn, Ack(Signal.ACK, 1.0, 1.0, Class.LIVE, 1, ()), trouble(Signal.LOST, 2.0))
    assert delays(done) == [1.0]
    _, done = drive(worn, trouble(Signal.LOST, STEADY_S))
    assert delays(done) == [1.0]
    _, done = drive(worn, trouble(Signal.LOST, STEADY_S - 1))
    assert delays(done) == [120.0], "a broker that accepts and drops is not hammered"


def test_a_silent_server_is_told_once_and_asked_until_it_answers() -> None:
    link, _ = drive(draining(), Fetched(Signal.FETCHED, 0.0, 0.0, (Head(Class.LIVE, 1, 1),)))
    link, done = drive(link, event(Signal.TICK, SILENT_S - 1, 0.0))
    assert not [action for action in done if isinstance(action, moves.Say)]
    link, done = drive(link, event(Signal.TICK, SILENT_S), event(Signal.TICK, SILENT_S + 5))
    assert [action.code for action in done if isinstance(action, moves.Say)] == ["server_silent"]
    assert moves.SendAsk() in done
    link, done = drive(link, Ack(Signal.ACK, SILENT_S + 6, 0.0, Class.HISTORY, 0, ()))
    assert moves.Unsay("server_silent") in done
    assert moves.Publish(Class.LIVE, 1) in done, "what it does not have goes at once"


def test_a_handshake_without_an_answer_is_given_up() -> None:
    for signals in ((Signal.START,), (Signal.START, Signal.CONNECTED)):
        link, _ = drive(Link(), *map(event, signals))
        link, done = drive(link, event(Signal.TIMED_OUT, HANDSHAKE_S))
        assert link.phase is Phase.WAITING
        assert any(isinstance(action, moves.Say) for action in done)


def test_patience_grows_so_that_a_city_that_calls_at_once_is_not_hung_up_on_for_ever() -> None:
    link, waited = Link(), []
    for _ in range(6):
        link, done = drive(link, event(Signal.RETRY_DUE if link.attempt else Signal.START))
        waited += [each.delay_s for each in done if isinstance(each, moves.Arm)]
        link, _ = drive(link, event(Signal.TIMED_OUT))
    assert waited == [15.0, 30.0, 60.0, 120.0, 120.0, 120.0]


def test_power_loss_leaves_nothing_but_the_spool() -> None:
    for phase in Phase:
        link, done = drive(Link(phase=phase, attempt=5, backoff_max_s=7.0), event(Signal.POWER_LOST))
        assert link == Link(backoff_max_s=7.0)
        assert done == []


@given(st.lists(st.sampled_from(list(Signal)), max_size=60), st.floats(0, 1))
def test_any_order_of_events_ends_where_the_table_says(signals: list[Signal], jitter: float) -> None:
    link, now_s, timers = Link(), 0.0, set()
    for signal in signals:
        now_s += 1.0
        if (link.phase, signal) in TABLE.refused:
            continue
        given_event: Event = event(signal, now_s, jitter)
        if signal in (Signal.LOST, Signal.REFUSED):
            given_event = trouble(signal, now_s, jitter)
        elif signal is Signal.ACK:
            given_event = Ack(signal, now_s, jitter, Class.LIVE, int(now_s), ())
        elif signal in (Signal.FETCHED, Signal.GONE):
            given_event = Fetched(signal, now_s, jitter, (Head(Class.LIVE, int(now_s), int(now_s)),))
        before = link.phase
        link, actions = step(link, given_event)
        assert link.phase in TABLE.rules[before, signal].to
        timers |= {action.signal for action in actions if isinstance(action, moves.Arm)}
        if link.phase is Phase.WAITING and before is not Phase.WAITING:
            assert Signal.RETRY_DUE in timers, "it always tries again"


FLEET = 800
OUTAGE_S = 900.0  # long enough for the longest wait between two tries


def spread(instants: list[float], within_s: float) -> float:
    """The largest share of them within any such stretch of time."""
    ordered, most = sorted(instants), 0
    for n, at_s in enumerate(ordered):
        most = max(most, bisect_right(ordered, at_s + within_s) - n)
    return most / len(ordered)


def test_a_city_does_not_come_back_in_chorus_after_the_broker_was_away() -> None:
    """Every lamppost loses the same broker at the same moment; each tries until it is there again."""
    chance, back = random.Random(4), []
    for _ in range(FLEET):
        link, _ = drive(draining(), trouble(Signal.LOST, 0.0, 0.0))
        now_s = 0.0
        while now_s < OUTAGE_S:
            link, _ = step(link, event(Signal.RETRY_DUE, now_s))
            link, done = step(link, trouble(Signal.REFUSED, now_s, chance.random()))
            now_s += delays(list(done))[0]
        back.append(now_s)
    assert max(back) <= OUTAGE_S + BACKOFF_MAX_S, "two minutes, and all are back"
    assert spread(back, 1.0) < 0.03, "no second sees more than thrice its share"
    assert spread(back, BACKOFF_MAX_S / 2) < 0.85, "not all at the beginning"


def test_a_city_neither_asks_nor_drains_in_chorus_when_only_the_server_was_away() -> None:
    """The connections live on, so nothing else draws them apart: all fell silent at the same moment."""
    chance, asked, first_after = random.Random(5), 0, []
    for _ in range(FLEET // 3):
        link, _ = drive(draining(), Fetched(Signal.FETCHED, 0.0, 0.0, (Head(Class.LIVE, 1, 1),)))
        now_s, after = 0.0, None
        while after is None:
            now_s += TICK_S
            link, done = step(link, event(Signal.TICK, now_s, chance.random()))
            if moves.SendAsk() in done:
                asked += now_s < 600.0
                after = now_s if now_s >= 600.0 else None
        first_after.append(after - 600.0)
    assert asked / (FLEET // 3) < 540.0 / ASK_MAX_S * 1.5, "seldom, when it stays away"
    assert max(first_after) <= 1.5 * ASK_MAX_S + TICK_S, "soon, when it is back"
    assert spread(first_after, TICK_S / 2) < 0.4, "and not together"
    assert len(set(first_after)) >= 5
