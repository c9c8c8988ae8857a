"""The month's data: what has gone over the wire, and what waits because of it. Pure.

Alarms and the answers to the server never wait. From four fifths of the budget on history does, and live
samples leave in larger batches, which are fewer bytes a reading; when the budget is spent they wait as well,
in the spool, for the next month or for a larger budget.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from types import MappingProxyType

from edge_agent.core.stamping import clock_is_set
from wire_contract.classes import Class

MEGABYTE = 1_000_000  # as a contract with a network counts
BELIEVED_AHEAD_MS = 32 * 86_400_000  # the month after this one: a clock that is set back by some hours


class Stage(StrEnum):
    FREE = "free"
    SAVING = "saving"
    SCARCE = "scarce"
    SPENT = "spent"


@dataclass(frozen=True)
class Diet:
    """From this share of the budget on: which classes wait, and how much longer live samples gather."""

    from_share: float
    waits: frozenset[Class]
    slower: float


_LESS = frozenset({Class.HISTORY, Class.DIAGNOSTIC})
DIETS: Mapping[Stage, Diet] = MappingProxyType(
    {
        Stage.FREE: Diet(0.0, frozenset(), 1.0),
        Stage.SAVING: Diet(0.8, frozenset({Class.HISTORY}), 3.0),
        Stage.SCARCE: Diet(0.95, _LESS, 6.0),
        Stage.SPENT: Diet(1.0, _LESS | {Class.LIVE}, 6.0),
    }
)


@dataclass(frozen=True)
class Usage:
    """`month`: "2026-11", UTC; "" before the clock was ever set. `bytes`: both ways, headers included."""

    month: str = ""
    bytes: int = 0

    @property
    def megabytes(self) -> float:
        return self.bytes / MEGABYTE


def counted(usage: Usage, more_bytes: int, now_ms: int) -> Usage:
    """`more_bytes` have gone since the last time. A clock not set, or set back, begins no month.

    A month that is far ahead of the clock came of a clock that was wrong. It gives way, or no month would
    begin until then; what has gone counts for the present one.
    """
    month = usage.month
    if clock_is_set(now_ms):
        here, ahead = _month(now_ms), _month(now_ms + BELIEVED_AHEAD_MS)
        month = here if month > ahead else max(month, here)
    before = usage.bytes if month <= usage.month or not usage.month else 0
    return Usage(month, before + max(more_bytes, 0))


def _month(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m}"


def stage(usage: Usage, budget_mb: float) -> Stage:
    """`budget_mb`: megabytes a month; 0: no limit."""
    if budget_mb <= 0:
        return Stage.FREE
    share = usage.megabytes / budget_mb
    return max((each for each in Stage if share >= DIETS[each].from_share), key=list(Stage).index)
