"""What a verdict may say: the closed set of `Verdict.kind`. Another kind is stored, never decided on."""

from __future__ import annotations

from enum import StrEnum


class VerdictKind(StrEnum):
    """EPISODE is said when one opens and again each EPISODE_REPEAT_S of street time while it lasts.

    The reason of FAULT and FAULT_OVER begins with the fault's code and a colon: "flat_line: ...".
    """

    EPISODE = "episode"
    EPISODE_OVER = "episode_over"
    FAULT = "fault"
    FAULT_OVER = "fault_over"


class FaultCode(StrEnum):
    """What is wrong with a sensor unit, so that it cannot be believed."""

    SPIKE = "spike"
    FLAT_LINE = "flat_line"
    HUMIDITY_SWELL = "humidity_swell"
    DRIFT = "drift"
    UNPLUGGED = "unplugged"


EPISODE_REPEAT_S = (
    600  # an episode of hours is told six times an hour: what was lost on the way is made up for
)
RULE = "rule@1"  # Verdict.model where no model decided


def fault_reason(code: FaultCode, words: str) -> str:
    """The reason of a fault's verdict."""
    return f"{code.value}: {words}"


def fault_of(reason: str) -> FaultCode | None:
    """The fault that a reason begins with; None where it is none that we know."""
    head = reason.partition(":")[0]
    return FaultCode(head) if head in set(FaultCode) else None
