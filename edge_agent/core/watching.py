"""An episode of pollution at one sensor unit as one table: high for minutes on end it opens, low for minutes
on end it is over, a fault of the sensor ends it.

`python -m edge_agent.core.watching` prints the table as a Mermaid diagram. Pure; times are street clock, ms.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from edge_agent.core.gathering import MINUTE_MS
from edge_agent.core.machine import Rule, Table
from wire_contract.verdict_kinds import EPISODE_REPEAT_S

OPEN_MINUTES = 3  # a bus that stops below the post is gone in two
CLOSE_MINUTES = 5  # a plume that meanders comes back within this
BLIND_MS = 15 * MINUTE_MS  # an episode of which nothing is known for so long is over as far as anybody knows


class Phase(StrEnum):
    CALM = "calm"
    RISING = "rising"
    EPISODE = "episode"
    FALLING = "falling"


class Signal(StrEnum):
    HIGH = "score at the opening threshold or above"
    BETWEEN = "score between the thresholds"
    LOW = "score below the closing threshold"
    FAULTY = "the sensor has a fault"
    TIMED_OUT = "nothing known"
    POWER_LOST = "power lost"


class Say(StrEnum):
    EPISODE = "say that it is there"
    OVER = "say that it is over"


@dataclass(frozen=True)
class Event:
    """One minute of one unit. `time_ms`: its end."""

    signal: Signal
    time_ms: int


@dataclass(frozen=True)
class Watch:
    """`run`: minutes on end of what may change the phase. `since_ms`: when the episode's first minute began.
    `said_ms`: when it was said last. `known_ms`: the last minute of which something was known."""

    phase: Phase = Phase.CALM
    run: int = 0
    since_ms: int = 0
    said_ms: int = 0
    known_ms: int = 0

    @property
    def open(self) -> bool:
        return self.phase in (Phase.EPISODE, Phase.FALLING)


Decision = tuple[Watch, tuple[Say, ...]]


def _rise(watch: Watch, event: Event) -> Decision:
    run = watch.run + 1
    since_ms = watch.since_ms if watch.run else event.time_ms - MINUTE_MS
    if run < OPEN_MINUTES:
        return Watch(Phase.RISING, run, since_ms, known_ms=event.time_ms), ()
    return Watch(Phase.EPISODE, 0, since_ms, event.time_ms, event.time_ms), (Say.EPISODE,)


def _calm(_watch: Watch, event: Event) -> Decision:
    return Watch(known_ms=event.time_ms), ()


def _last(watch: Watch, event: Event) -> Decision:
    return _repeat(replace(watch, phase=Phase.EPISODE, run=0, known_ms=event.time_ms), event)


def _fall(watch: Watch, event: Event) -> Decision:
    run = watch.run + 1
    if run >= CLOSE_MINUTES:
        return Watch(known_ms=event.time_ms), (Say.OVER,)
    return _repeat(replace(watch, phase=Phase.FALLING, run=run, known_ms=event.time_ms), event)


def _repeat(watch: Watch, event: Event) -> Decision:
    if event.time_ms - watch.said_ms < EPISODE_REPEAT_S * 1000:
        return watch, ()
    return replace(watch, said_ms=event.time_ms), (Say.EPISODE,)


def _over(_watch: Watch, event: Event) -> Decision:
    return Watch(known_ms=event.time_ms), (Say.OVER,)


def _blind(watch: Watch, event: Event) -> Decision:
    """A gap neither opens nor closes, until it is too long."""
    if event.time_ms - watch.known_ms < BLIND_MS:
        return watch, ()
    return Watch(known_ms=watch.known_ms), ((Say.OVER,) if watch.open else ())


def _restart(watch: Watch, _event: Event) -> Decision:
    """An episode is kept on the disk and goes on; what was only rising begins anew."""
    return (replace(watch, phase=Phase.EPISODE, run=0) if watch.open else Watch()), ()


_R = Rule[Phase, Watch, Event, Say]

_RULES: dict[tuple[Phase, Signal], _R] = {
    (Phase.CALM, Signal.HIGH): _R((Phase.RISING, Phase.EPISODE), _rise),
    (Phase.RISING, Signal.HIGH): _R((Phase.RISING, Phase.EPISODE), _rise),
    **{
        (phase, signal): _R((Phase.CALM,), _calm)
        for phase in (Phase.CALM, Phase.RISING)
        for signal in (Signal.BETWEEN, Signal.LOW, Signal.FAULTY)
    },
    **{
        (phase, signal): _R((Phase.EPISODE,), _last)
        for phase in (Phase.EPISODE, Phase.FALLING)
        for signal in (Signal.HIGH, Signal.BETWEEN)
    },
    (Phase.EPISODE, Signal.LOW): _R((Phase.FALLING, Phase.CALM), _fall),
    (Phase.FALLING, Signal.LOW): _R((Phase.FALLING, Phase.CALM), _fall),
    **{(phase, Signal.FAULTY): _R((Phase.CALM,), _over) for phase in (Phase.EPISODE, Phase.FALLING)},
    (Phase.CALM, Signal.TIMED_OUT): _R((Phase.CALM,), _blind),
    (Phase.RISING, Signal.TIMED_OUT): _R((Phase.RISING, Phase.CALM), _blind),
    (Phase.EPISODE, Signal.TIMED_OUT): _R((Phase.EPISODE, Phase.CALM), _blind),
    (Phase.FALLING, Signal.TIMED_OUT): _R((Phase.FALLING, Phase.CALM), _blind),
    **{(phase, Signal.POWER_LOST): _R((Phase.CALM,), _restart) for phase in (Phase.CALM, Phase.RISING)},
    **{
        (phase, Signal.POWER_LOST): _R((Phase.EPISODE,), _restart) for phase in (Phase.EPISODE, Phase.FALLING)
    },
}

TABLE: Table[Phase, Signal, Watch, Event, Say] = Table(
    name="watching", phases=Phase, signals=Signal, rules=_RULES, refused=frozenset()
)


def step(watch: Watch, signal: Signal, time_ms: int) -> Decision:
    """Decide one minute that ended at `time_ms`."""
    return TABLE.step(watch.phase, signal, watch, Event(signal, time_ms))


if __name__ == "__main__":
    print(TABLE.mermaid())
