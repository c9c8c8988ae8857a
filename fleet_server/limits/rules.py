"""What a flood is and what becomes of it: one table of states and events. Pure; real time throughout.

A lamppost that drains a month's backlog has sixteen batches of 8 kB under way and waits for acks: a few
thousand messages a minute. What comes without waiting for them, from a stolen key or a mistake, is a flood.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from itertools import product

PAUSE_DOUBLED_AT_MOST = 7  # 15 minutes become 32 hours
FORGOTTEN_AFTER = timedelta(days=7)  # an older flood makes no pause longer


class State(StrEnum):
    """Of one flood; stored as these words."""

    SEEN = "seen"  # the ingest counted it
    HELD = "held"  # the lamppost is quarantined until `until`
    RELEASED = "released"  # it was let in again by itself
    LEFT = "left"  # a person decided: no longer ours


class Event(StrEnum):
    """`SHUT_OUT`, `LET_IN`: by a person, meanwhile. Only an active lamppost is ever held."""

    HOLD = "hold"
    PAUSE_OVER = "pause over"
    LET_IN = "let in"
    SHUT_OUT = "shut out"
    AGAIN = "again"
    POWER_LOSS = "power loss"


_S, _E = State, Event

TABLE: Mapping[tuple[State, Event], State] = {
    (_S.SEEN, _E.HOLD): _S.HELD,
    (_S.SEEN, _E.PAUSE_OVER): _S.SEEN,  # it does not begin before it is held
    (_S.SEEN, _E.LET_IN): _S.SEEN,  # it is in; that it floods is still to be stopped
    (_S.SEEN, _E.SHUT_OUT): _S.LEFT,
    (_S.SEEN, _E.AGAIN): _S.SEEN,
    (_S.SEEN, _E.POWER_LOSS): _S.SEEN,
    (_S.HELD, _E.HOLD): _S.HELD,  # certificates may not be on hold yet: it is repeated
    (_S.HELD, _E.PAUSE_OVER): _S.RELEASED,
    (_S.HELD, _E.LET_IN): _S.LEFT,
    (_S.HELD, _E.SHUT_OUT): _S.LEFT,
    (_S.HELD, _E.AGAIN): _S.HELD,  # what was under way when its connection was cut
    (_S.HELD, _E.POWER_LOSS): _S.HELD,
    **{(end, event): end for end in (_S.RELEASED, _S.LEFT) for event in Event},
}


def step(state: State, event: Event) -> State:
    """The next state. Every pair is in the table (a test counts them)."""
    return TABLE[state, event]


@dataclass(frozen=True)
class Rate:
    """What came of one device in a minute."""

    messages: int
    bytes: int


@dataclass(frozen=True)
class Own:
    """A tenant's own limits of one device in a minute; None: the installation's."""

    messages: int | None
    megabytes: int | None


@dataclass(frozen=True)
class Shares:
    """Of the limits, what one of the ingest's workers may see of a device. `own`: by tenant."""

    limit: Rate
    own: Mapping[str, Own]
    workers: int = 1

    def of(self, tenant: str) -> Rate:
        own = self.own.get(tenant, Own(None, None))
        messages = self.limit.messages if own.messages is None else own.messages
        size = self.limit.bytes if own.megabytes is None else own.megabytes * 1_000_000
        return Rate(messages // self.workers, size // self.workers)

    def beyond(self, tenant: str, seen: Rate) -> bool:
        limit = self.of(tenant)
        return seen.messages > limit.messages or seen.bytes > limit.bytes

    @property
    def least(self) -> Rate:
        """What nobody is beyond any limit with."""
        rates = [self.of(tenant) for tenant in ("", *self.own)]
        return Rate(min(each.messages for each in rates), min(each.bytes for each in rates))


def pause(first: timedelta, before: int) -> timedelta:
    """How long it stays out. `before`: its floods of the last FORGOTTEN_AFTER."""
    doublings = min(before, PAUSE_DOUBLED_AT_MOST)
    return first * (1 << doublings)


def diagram() -> str:
    """The table as a Mermaid state diagram; events that keep the state are left out."""
    lines = ["stateDiagram-v2", f"    [*] --> {State.SEEN}: the ingest counts too much in a minute"]
    lines += [
        f"    {state} --> {step(state, event)}: {event}"
        for state, event in product(State, Event)
        if step(state, event) is not state
    ]
    return "\n".join([*lines, *(f"    {end} --> [*]" for end in (State.RELEASED, State.LEFT))]) + "\n"


if __name__ == "__main__":
    print(diagram(), end="")
