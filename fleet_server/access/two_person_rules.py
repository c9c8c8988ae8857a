"""What may become of a request for a second person: one table of states and events. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from itertools import product

REQUEST_LIFE = timedelta(hours=24)  # today's intention; tomorrow's is asked for again


class State(StrEnum):
    """Of one request; stored as these words."""

    WAITING = "waiting"
    APPROVED = "approved"  # the first person may do it, once
    USED = "used"  # it was done
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"  # by who asked
    EXPIRED = "expired"


class Event(StrEnum):
    APPROVE = "approve"
    REFUSE = "refuse"
    WITHDRAW = "withdraw"
    USE = "use"
    TIME_OUT = "time out"
    POWER_LOSS = "power loss"  # of the server, at any instant: what is stored stands


class Refusal(StrEnum):
    """Why an event changes nothing; the words a person reads."""

    NOT_APPROVED = "nobody has agreed to it yet"
    APPROVED = "it has been agreed to already"
    USED = "it has been done"
    REFUSED = "it was refused"
    WITHDRAWN = "it was withdrawn"
    EXPIRED = "it has expired; ask again"


_S, _E, _R = State, Event, Refusal


def _ended(state: State, why: Refusal) -> dict[tuple[State, Event], State | Refusal]:
    stays = {_E.TIME_OUT, _E.POWER_LOSS}
    return {(state, event): state if event in stays else why for event in Event}


TABLE: Mapping[tuple[State, Event], State | Refusal] = {
    (_S.WAITING, _E.APPROVE): _S.APPROVED,
    (_S.WAITING, _E.REFUSE): _S.REFUSED,
    (_S.WAITING, _E.WITHDRAW): _S.WITHDRAWN,
    (_S.WAITING, _E.USE): _R.NOT_APPROVED,
    (_S.WAITING, _E.TIME_OUT): _S.EXPIRED,
    (_S.WAITING, _E.POWER_LOSS): _S.WAITING,
    (_S.APPROVED, _E.APPROVE): _R.APPROVED,
    (_S.APPROVED, _E.REFUSE): _S.REFUSED,  # a second look, as long as it is not done
    (_S.APPROVED, _E.WITHDRAW): _S.WITHDRAWN,
    (_S.APPROVED, _E.USE): _S.USED,
    (_S.APPROVED, _E.TIME_OUT): _S.EXPIRED,
    (_S.APPROVED, _E.POWER_LOSS): _S.APPROVED,
    **_ended(_S.USED, _R.USED),
    **_ended(_S.REFUSED, _R.REFUSED),
    **_ended(_S.WITHDRAWN, _R.WITHDRAWN),
    **_ended(_S.EXPIRED, _R.EXPIRED),
}
OPEN = frozenset({State.WAITING, State.APPROVED})


def step(state: State, event: Event) -> State | Refusal:
    """The state after `event`, or why nothing changes."""
    return TABLE[state, event]


def diagram() -> str:
    """The table as a Mermaid state diagram; events that keep the state are left out."""
    lines = ["stateDiagram-v2", f"    [*] --> {State.WAITING}: one person asks"]
    for state, event in product(State, Event):
        outcome = step(state, event)
        if isinstance(outcome, State) and outcome is not state:
            lines.append(f"    {state} --> {outcome}: {event}")
    lines.extend(f"    {state} --> [*]" for state in State if state not in OPEN)
    return "\n".join(lines) + "\n"
