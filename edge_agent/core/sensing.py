"""One sensor's life as one table: look for it, wake it, warm it up, read it, let it sleep, look for it again.

`python -m edge_agent.core.sensing` prints the table as a Mermaid diagram. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum

from edge_agent.core.cadence import Cadence, next_due, reopen_delay_s
from edge_agent.core.machine import Rule, Table

REOPEN_AFTER_TROUBLES = 5  # soft errors in a row: the port itself may hang, open it anew


class Phase(StrEnum):
    CLOSED = "closed"
    OPENING = "opening"
    WARMING = "warming"
    RESTING = "resting"
    READING = "reading"
    ASLEEP = "asleep"
    STOPPED = "stopped"


class Signal(StrEnum):
    DUE = "due"
    OPENED = "opened"
    TAKEN = "reading taken"
    TROUBLE = "no reading"
    GONE = "port lost"
    TIMED_OUT = "no answer"
    RETIMED = "interval changed"
    STOP = "stop"
    POWER_LOST = "power lost"


class Do(StrEnum):
    OPEN = "open"
    WAKE = "wake"
    READ = "read"
    SLEEP = "sleep"
    CLOSE = "close"


@dataclass(frozen=True)
class Event:
    """`now_s`: street-monotonic. `jitter`: a random number from 0 to 1."""

    signal: Signal
    now_s: float
    jitter: float = 1.0


@dataclass(frozen=True)
class Retimed(Event):
    """RETIMED: from now on it is due as `cadence` says."""

    cadence: Cadence = field(kw_only=True)


@dataclass(frozen=True)
class Until:
    """Give DUE back at this street-monotonic instant (`at_s`), or after `wire_s` of wire clock."""

    at_s: float = 0.0
    wire_s: float | None = None


Action = Do | Until


@dataclass(frozen=True)
class Sensing:
    """`anchor_s`: the instant that all due instants are counted from. `failures`: openings that failed in a
    row. `troubles`: readings that failed in a row."""

    cadence: Cadence
    phase: Phase = Phase.CLOSED
    anchor_s: float = 0.0
    failures: int = 0
    troubles: int = 0


Decision = tuple[Sensing, tuple[Action, ...]]


def _open(state: Sensing, _event: Event) -> Decision:
    return replace(state, phase=Phase.OPENING), (Do.OPEN,)


def _opened(state: Sensing, event: Event) -> Decision:
    """Without a duty cycle the fan has run all along, so the first reading is taken at once."""
    opened = replace(state, failures=0, troubles=0, anchor_s=event.now_s)
    if not state.cadence.sleeps:
        return replace(opened, phase=Phase.READING), (Do.WAKE, Do.READ)
    ready_s = event.now_s + state.cadence.lead_s
    return replace(opened, phase=Phase.WARMING, anchor_s=ready_s), (Do.WAKE, Until(ready_s))


def _read(state: Sensing, _event: Event) -> Decision:
    return replace(state, phase=Phase.READING), (Do.READ,)


def _taken(state: Sensing, event: Event) -> Decision:
    return _rest(replace(state, troubles=0), event)


def _rest(state: Sensing, event: Event) -> Decision:
    due_s = next_due(state.anchor_s, event.now_s, state.cadence.every_s)
    if state.cadence.sleeps and due_s - state.cadence.lead_s > event.now_s:
        return replace(state, phase=Phase.ASLEEP), (Do.SLEEP, Until(due_s - state.cadence.lead_s))
    return replace(state, phase=Phase.RESTING), (Until(due_s),)


def _wake(state: Sensing, event: Event) -> Decision:
    return replace(state, phase=Phase.WARMING), (Do.WAKE, Until(event.now_s + state.cadence.lead_s))


def _trouble(state: Sensing, event: Event) -> Decision:
    troubled = replace(state, troubles=state.troubles + 1)
    return _lost(troubled, event) if troubled.troubles >= REOPEN_AFTER_TROUBLES else _rest(troubled, event)


def _lost(state: Sensing, event: Event) -> Decision:
    failures = state.failures + 1
    closed = replace(state, phase=Phase.CLOSED, failures=failures, troubles=0)
    return closed, (Do.CLOSE, Until(wire_s=reopen_delay_s(failures, event.jitter)))


def _retimed(state: Sensing, event: Event) -> Decision:
    """What is under way goes on; the next due instant is of the new interval."""
    assert isinstance(event, Retimed)
    return replace(state, cadence=event.cadence), ()


def _rest_anew(state: Sensing, event: Event) -> Decision:
    return _rest(_retimed(state, event)[0], event)


def _wake_anew(state: Sensing, event: Event) -> Decision:
    """It is woken for a reading now: whether it may sleep the new interval through, that one tells."""
    return _wake(_retimed(state, event)[0], event)


def _stop(state: Sensing, _event: Event) -> Decision:
    """A sensor with a duty cycle is left asleep: its laser's life is what the cycle saves."""
    last = (Do.SLEEP, Do.CLOSE) if state.cadence.sleeps else (Do.CLOSE,)
    return replace(state, phase=Phase.STOPPED), last


def _stop_closed(state: Sensing, _event: Event) -> Decision:
    return replace(state, phase=Phase.STOPPED), ()


def _restart(state: Sensing, _event: Event) -> Decision:
    return Sensing(state.cadence), ()


def _ignore(state: Sensing, _event: Event) -> Decision:
    return state, ()


_R = Rule[Phase, Sensing, Event, Action]
_OPEN = (Phase.WARMING, Phase.RESTING, Phase.READING, Phase.ASLEEP)
_RESTS = (Phase.RESTING, Phase.ASLEEP)

_RULES: dict[tuple[Phase, Signal], _R] = {
    (Phase.CLOSED, Signal.DUE): _R((Phase.OPENING,), _open),
    (Phase.OPENING, Signal.OPENED): _R((Phase.WARMING, Phase.READING), _opened),
    (Phase.OPENING, Signal.GONE): _R((Phase.CLOSED,), _lost),
    (Phase.OPENING, Signal.TIMED_OUT): _R((Phase.CLOSED,), _lost),
    (Phase.OPENING, Signal.TROUBLE): _R((Phase.CLOSED,), _lost),
    (Phase.WARMING, Signal.DUE): _R((Phase.READING,), _read),
    (Phase.RESTING, Signal.DUE): _R((Phase.READING,), _read),
    (Phase.ASLEEP, Signal.DUE): _R((Phase.WARMING,), _wake),
    (Phase.READING, Signal.TAKEN): _R(_RESTS, _taken),
    (Phase.READING, Signal.TROUBLE): _R((*_RESTS, Phase.CLOSED), _trouble),
    (Phase.READING, Signal.TIMED_OUT): _R((*_RESTS, Phase.CLOSED), _trouble),
    (Phase.RESTING, Signal.RETIMED): _R(_RESTS, _rest_anew),
    (Phase.ASLEEP, Signal.RETIMED): _R((Phase.WARMING,), _wake_anew),
    **{
        (phase, Signal.RETIMED): _R((phase,), _retimed)
        for phase in (Phase.CLOSED, Phase.OPENING, Phase.WARMING, Phase.READING)
    },
    **{(phase, Signal.GONE): _R((Phase.CLOSED,), _lost) for phase in _OPEN},
    **{(phase, Signal.STOP): _R((Phase.STOPPED,), _stop) for phase in _OPEN},
    (Phase.CLOSED, Signal.STOP): _R((Phase.STOPPED,), _stop_closed),
    (Phase.OPENING, Signal.STOP): _R((Phase.STOPPED,), _stop),
    (Phase.STOPPED, Signal.STOP): _R((Phase.STOPPED,), _ignore),
    (Phase.STOPPED, Signal.DUE): _R((Phase.STOPPED,), _ignore),
    (Phase.STOPPED, Signal.GONE): _R((Phase.STOPPED,), _ignore),
    (Phase.STOPPED, Signal.RETIMED): _R((Phase.STOPPED,), _ignore),
    **{(phase, Signal.POWER_LOST): _R((Phase.CLOSED,), _restart) for phase in Phase},
}

# One thread asks and waits for the answer, so an answer comes only in the phase that asked for it.
_ANSWERS = (Signal.OPENED, Signal.TAKEN, Signal.TROUBLE, Signal.TIMED_OUT, Signal.GONE)
TABLE: Table[Phase, Signal, Sensing, Event, Action] = Table(
    name="sensing",
    phases=Phase,
    signals=Signal,
    rules=_RULES,
    refused=frozenset(
        {
            *((phase, signal) for phase in Phase for signal in _ANSWERS if (phase, signal) not in _RULES),
            (Phase.OPENING, Signal.DUE),
            (Phase.READING, Signal.DUE),
        }
    ),
)


def step(state: Sensing, event: Event) -> Decision:
    """Decide one event. Raises RefusedEvent where the pair is refused."""
    return TABLE.step(state.phase, event.signal, state, event)


if __name__ == "__main__":
    print(TABLE.mermaid())
