"""When a sensor is due, and when its fan must start before that. Pure; street seconds throughout."""

from __future__ import annotations

import math
from dataclasses import dataclass

REOPEN_BASE_S = 1.0  # wire clock: a replugged sensor is back within seconds
REOPEN_MAX_S = 30.0  # a sensor that is not there is looked for twice a minute, which costs nothing


@dataclass(frozen=True)
class Cadence:
    """`lead_s`: how long before a due instant the sensor must be awake; 0 without a duty cycle."""

    every_s: float
    lead_s: float = 0.0

    @property
    def sleeps(self) -> bool:
        """Sleeping pays only when something is left of the period after warming up."""
        return 0.0 < self.lead_s < self.every_s


def next_due(anchor_s: float, now_s: float, every_s: float) -> float:
    """The first instant anchor + k * every after `now_s`. Missed instants are skipped, never caught up."""
    return anchor_s + (math.floor((now_s - anchor_s) / every_s) + 1) * every_s


def reopen_delay_s(failures: int, jitter: float) -> float:
    """How long to wait before looking for a sensor again: doubling to 30 s, the upper half jittered."""
    ceiling = min(REOPEN_MAX_S, REOPEN_BASE_S * 2 ** min(max(failures - 1, 0), 8))
    return float(ceiling * (0.5 + 0.5 * jitter))
