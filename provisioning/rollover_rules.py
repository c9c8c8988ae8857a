"""The steps in which an authority gives way to the next one: one table of states and events. Pure.

    steady      one issuing authority
    prepared    the next is made, and trusted by everybody who asks; the old one still signs
    switched    the next one signs; what the old one signed holds on
    steady      the old one is no longer trusted, its key is destroyed

A new root is rolled out in the same steps, with an issuing authority below it that the old root has signed
too (cross-signed): who does not know the new root yet verifies all by the old one until it is retired.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum

# Our broker and roles read what is trusted within seconds; a broker elsewhere is restarted by hand.
SETTLED_AFTER = timedelta(minutes=10)
# Every device's certificate that the old one signed has run out (they live 90 days), and whoever has a newer
# one learned with it what is trusted now.
RETIRED_AFTER = timedelta(days=91)


class Phase(StrEnum):
    """Stored as these words."""

    STEADY = "steady"
    PREPARED = "prepared"
    SWITCHED = "switched"


class Step(StrEnum):
    PREPARE = "prepare"
    SWITCH = "switch"
    RETIRE = "retire"
    ABANDON = "abandon"
    POWER_LOSS = "power loss"  # at any instant: what is described stands, the step is taken again


_P, _S = Phase, Step
# a text: why it is refused
TABLE: Mapping[tuple[Phase, Step], Phase | str] = {
    (_P.STEADY, _S.PREPARE): _P.PREPARED,
    (_P.STEADY, _S.SWITCH): "there is no next authority yet: prepare one first",
    (_P.STEADY, _S.RETIRE): "there is no former authority",
    (_P.STEADY, _S.ABANDON): "there is nothing to abandon",
    (_P.STEADY, _S.POWER_LOSS): _P.STEADY,
    (_P.PREPARED, _S.PREPARE): "the next authority is prepared already: switch to it, or abandon it",
    (_P.PREPARED, _S.SWITCH): _P.SWITCHED,
    (_P.PREPARED, _S.RETIRE): "the old authority still signs: switch first",
    (_P.PREPARED, _S.ABANDON): _P.STEADY,
    (_P.PREPARED, _S.POWER_LOSS): _P.PREPARED,
    (_P.SWITCHED, _S.PREPARE): "the former authority is not retired yet",
    (_P.SWITCHED, _S.SWITCH): "it has been switched already",
    (_P.SWITCHED, _S.RETIRE): _P.STEADY,
    (_P.SWITCHED, _S.ABANDON): "the new authority has signed certificates: go on, and retire the former one",
    (_P.SWITCHED, _S.POWER_LOSS): _P.SWITCHED,
}
WAITS: Mapping[Step, timedelta] = {Step.SWITCH: SETTLED_AFTER, Step.RETIRE: RETIRED_AFTER}


def step(phase: Phase, taken: Step) -> Phase | str:
    """The next phase, or why not."""
    return TABLE[phase, taken]


def left(taken: Step, passed: timedelta) -> timedelta:
    """How long is left to wait before this step, `passed` after the one before."""
    return max(WAITS.get(taken, timedelta(0)) - passed, timedelta(0))


def diagram() -> str:
    """The table as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", f"    [*] --> {Phase.STEADY}"]
    lines += [
        f"    {phase} --> {to}: {taken}"
        for (phase, taken), to in TABLE.items()
        if isinstance(to, Phase) and to is not phase
    ]
    return "\n".join(lines) + "\n"
