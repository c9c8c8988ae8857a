"""When a role that died is started again. Pure: times come in, times go out (monotonic seconds)."""

from __future__ import annotations

from dataclasses import dataclass, replace

FIRST_DELAY_S = 0.2  # a crash by accident should cost nobody anything
LONGEST_DELAY_S = 30.0  # a role that cannot run should not fill the log, and come back soon after a repair
STEADY_S = 30.0  # who lived this long did not die of its start


@dataclass(frozen=True)
class Restarts:
    """How often a role died in a row, and when it may start next."""

    in_a_row: int = 0
    total: int = 0
    not_before_s: float = 0.0

    def died(self, started_s: float, now_s: float) -> Restarts:
        """After a death: the delay doubles with each early one, and starts anew after a steady life."""
        in_a_row = 1 if now_s - started_s >= STEADY_S else self.in_a_row + 1
        # the exponent is bounded: 2 ** 30 would be no different from 2 ** 10
        delay_s = min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0 ** min(in_a_row - 1, 10))
        return replace(self, in_a_row=in_a_row, total=self.total + 1, not_before_s=now_s + delay_s)
