"""What a changed setting does to the loops: sensors, spooler, spool and link, on clocks stepped by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edge_agent.core import link_moves as moves
from edge_agent.core.cadence import Cadence
from edge_agent.core.link import step as link_step
from edge_agent.core.link_moves import Signal as LinkSignal
from edge_agent.core.sealing import Pace
from edge_agent.core.sensing import Do, Event, Phase, Retimed, Sensing, Signal, Until, step
from edge_agent.core.spool_policy import Caps
from edge_agent.core.tracing import trace_of
from edge_agent.core.window import wants
from firmware_bridge.kinds import SensorKind
from firmware_bridge.ports import Reading
from tests.edge_agent.core.test_link import draining, event
from tests.edge_agent.loops.test_spooler import Post
from wire_contract.classes import Class

MIB = 1 << 20


def sensing(cadence: Cadence, *signals: tuple[Signal, float]) -> Sensing:
    state = Sensing(cadence)
    for signal, now_s in signals:
        state, _ = step(state, Event(signal, now_s))
    return state


def test_a_resting_sensor_is_due_by_the_new_interval() -> None:
    state = sensing(Cadence(60.0), (Signal.DUE, 0.0), (Signal.OPENED, 0.0), (Signal.TAKEN, 1.0))
    assert state.phase is Phase.RESTING
    state, actions = step(state, Retimed(Signal.RETIMED, 3.0, cadence=Cadence(5.0)))
    assert (state.phase, actions) == (Phase.RESTING, (Until(5.0),))
    state, actions = step(state, Retimed(Signal.RETIMED, 4.0, cadence=Cadence(3600.0)))
    assert actions == (Until(3600.0),)


def test_a_sleeping_sensor_is_woken_and_a_short_interval_keeps_it_awake() -> None:
    start = ((Signal.DUE, 0.0), (Signal.OPENED, 0.0), (Signal.DUE, 30.0), (Signal.TAKEN, 30.0))
    state = sensing(Cadence(300.0, 30.0), *start)
    assert state.phase is Phase.ASLEEP
    state, actions = step(state, Retimed(Signal.RETIMED, 40.0, cadence=Cadence(20.0, 30.0)))
    assert (state.phase, actions) == (Phase.WARMING, (Do.WAKE, Until(70.0)))
    state, _ = step(state, Event(Signal.DUE, 70.0))
    state, actions = step(state, Event(Signal.TAKEN, 70.0))
    assert (state.phase, actions) == (Phase.RESTING, (Until(90.0),))


@pytest.mark.parametrize("phase", [Phase.CLOSED, Phase.OPENING, Phase.WARMING, Phase.READING])
def test_what_is_under_way_goes_on(phase: Phase) -> None:
    before = replace(Sensing(Cadence(60.0)), phase=phase)
    after, actions = step(before, Retimed(Signal.RETIMED, 3.0, cadence=Cadence(5.0)))
    assert (after, actions) == (replace(before, cadence=Cadence(5.0)), ())


def test_a_paused_class_is_not_looked_up_and_the_others_are() -> None:
    link = draining()
    for paused, wanted in (
        (frozenset({Class.HISTORY}), set(Class) - {Class.HISTORY}),
        (frozenset(), set(Class)),
    ):
        for signal in (LinkSignal.TICK, LinkSignal.WORK):
            _, actions = link_step(replace(link, paused=paused), event(signal, 5.0))
            fetched = {want.cls for a in actions if isinstance(a, moves.Fetch) for want in a.wants}
            assert fetched == wanted
    assert {want.cls for want in wants(link.window, True, (Class.HISTORY,))} == set(Class) - {
        Class.LIVE,
        Class.HISTORY,
    }


def test_the_spooler_seals_by_the_new_pace_with_and_without_a_link(tmp_path: Path) -> None:
    post = Post(tmp_path)
    post.view.connected = post.view.delivering = True
    post.spooler.keep_pace(Pace(2.0, 600.0))
    post.spooler.turn()
    post.sample()
    post.pass_s(2.1)
    post.spooler.tend()
    assert len(post.stored(Class.LIVE)) == 1
    post.view.connected = post.view.delivering = False
    post.pass_s(60)
    post.sample()
    post.pass_s(590)
    post.spooler.tend()
    assert post.stored(Class.HISTORY) == []
    post.pass_s(11)
    post.spooler.tend()
    assert len(post.stored(Class.HISTORY)) == 1


def test_conditions_leave_together_at_most_so_often(tmp_path: Path) -> None:
    post = Post(tmp_path)
    post.spooler.keep_pace(Pace(10.0, news_s=60.0))
    post.spooler.turn()

    def spooled() -> int:
        post.spooler.turn()
        post.spooler.tend()
        return len(post.spool.heads(Class.DIAGNOSTIC, 0, 100))

    post.board.raise_("sensor_silent", "a", "x")
    assert spooled() == 1, "the first at once"
    for name in "bcd":
        post.pass_s(10)
        post.board.raise_("sensor_silent", name, "x")
        assert spooled() == 1
    post.pass_s(31)
    post.spooler.tend()
    assert len(post.spool.heads(Class.DIAGNOSTIC, 0, 100)) == 2, "the others in one message"
    post.board.raise_("sensor_silent", "e", "x")
    post.spooler.finish_now()
    post.spooler.turn()
    post.spooler.finish_now()
    assert len(post.spool.heads(Class.DIAGNOSTIC, 0, 100)) == 3, "whoever stops keeps nothing back"


def test_the_spools_limits_change_and_so_does_the_file_that_they_bound(tmp_path: Path) -> None:
    post = Post(tmp_path, max_bytes=4 * MIB)

    def most_bytes() -> int:
        pages, page = (post.spool._one(f"PRAGMA {name}") for name in ("max_page_count", "page_size"))
        return int(pages * page)

    assert most_bytes() == 5 * MIB
    post.spooler.keep_within(Caps(64 * MIB, 0, 0, 30.0, 7.0))
    post.spooler.turn()
    assert most_bytes() == 80 * MIB
    assert not post.room.due(), "looked at at once"


def test_a_changed_interval_begins_the_tests_of_quality_anew(tmp_path: Path) -> None:
    """They count samples: thirty equal ones are stuck at one a second, and nothing at one an hour."""
    post = Post(tmp_path)
    for every_s in (60.0, 3600.0):
        for _ in range(3):
            post.pass_s(every_s)
            taken = replace(
                post.taking(), every_s=every_s, reading=Reading(SensorKind.SDS011, (5, 7), "58d9", ())
            )
            post.spooler.take_now(taken)
        assert post.spooler._desk._quality[1].every_s == every_s


def test_one_trace_in_so_many_and_every_alarm() -> None:
    epoch = b"e" * 16
    traced = [n for n in range(1, 200) if trace_of(epoch, Class.LIVE, n)]
    assert traced == [1, 65, 129, 193]
    assert all(trace_of(epoch, Class.ALARM, n) for n in range(1, 9))
    assert (
        trace_of(epoch, Class.LIVE, 1) == trace_of(epoch, Class.LIVE, 1) != trace_of(b"f" * 16, Class.LIVE, 1)
    )
