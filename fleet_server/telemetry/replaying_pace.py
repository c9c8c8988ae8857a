"""How fast a replay goes: a factor of the time in which it happened, or as fast as it can."""

from __future__ import annotations

import time
from collections.abc import Callable


class Pace:
    """`wait(time_ms)` returns when it is this sample's turn. speed: seconds of it a second; None: no waiting.

    Each turn is counted from the first one, not from the one before: what a wait is too long does not add up.
    """

    def __init__(
        self,
        speed: float | None,
        *,
        now_s: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._speed = speed
        self._now_s = now_s
        self._sleep = sleep
        self._zero: tuple[float, int] | None = None

    def due_in_s(self, time_ms: int) -> float:
        """Seconds from now until it is due; 0 where it is, or is late."""
        if self._speed is None:
            return 0.0
        if self._zero is None:
            self._zero = self._now_s(), time_ms
        at_s, zero_ms = self._zero
        return max(0.0, at_s + (time_ms - zero_ms) / 1000 / self._speed - self._now_s())

    def wait(self, time_ms: int) -> None:
        while (left_s := self.due_in_s(time_ms)) > 0:
            self._sleep(left_s)
