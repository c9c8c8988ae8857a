"""What may become of a batch of claims: one table. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class BatchState(StrEnum):
    """Stored as these words."""

    OPEN = "open"
    SUSPENDED = "suspended"  # one of its claims was used twice
    REVOKED = "revoked"


class BatchEvent(StrEnum):
    ALARM = "alarm"  # a claim of it was shown with a second key
    RESUME = "resume"
    REVOKE = "revoke"
    POWER_LOSS = "power loss"


_S, _E = BatchState, BatchEvent
# None: refused, a revoked batch is over
TABLE: Mapping[tuple[BatchState, BatchEvent], BatchState | None] = {
    (_S.OPEN, _E.ALARM): _S.SUSPENDED,
    (_S.OPEN, _E.RESUME): _S.OPEN,
    (_S.OPEN, _E.REVOKE): _S.REVOKED,
    (_S.OPEN, _E.POWER_LOSS): _S.OPEN,
    (_S.SUSPENDED, _E.ALARM): _S.SUSPENDED,
    (_S.SUSPENDED, _E.RESUME): _S.OPEN,
    (_S.SUSPENDED, _E.REVOKE): _S.REVOKED,
    (_S.SUSPENDED, _E.POWER_LOSS): _S.SUSPENDED,
    (_S.REVOKED, _E.ALARM): _S.REVOKED,
    (_S.REVOKED, _E.RESUME): None,
    (_S.REVOKED, _E.REVOKE): _S.REVOKED,
    (_S.REVOKED, _E.POWER_LOSS): _S.REVOKED,
}


def step(state: BatchState, event: BatchEvent) -> BatchState | None:
    """The next state; None: refused."""
    return TABLE[state, event]


def diagram() -> str:
    """The table as a Mermaid state diagram; events that keep the state are left out."""
    lines = ["stateDiagram-v2", f"    [*] --> {BatchState.OPEN}: a person makes a batch"]
    lines += [
        f"    {state} --> {to}: {event}"
        for (state, event), to in TABLE.items()
        if to is not None and to is not state
    ]
    lines.append(f"    {BatchState.REVOKED} --> [*]")
    return "\n".join(lines) + "\n"
