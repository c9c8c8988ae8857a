"""When, on the street clock, an emulated unit's measurements happen."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from firmware_bridge.emulator.air import BadPlan


@dataclass(frozen=True)
class StreetClock:
    """street = street_zero + (wall - wall_zero) * speed, in ms since the epoch; `then`, if there is one, is
    the clock from its own wall_zero on."""

    speed: float = 1.0
    street_zero_ms: int = 0
    wall_zero_ms: int = 0
    then: StreetClock | None = None

    def of(self, wall_ms: float) -> StreetClock:
        """The clock that holds at this instant."""
        return self if self.then is None or wall_ms < self.then.wall_zero_ms else self.then.of(wall_ms)

    def street_ms(self, wall_ms: float) -> int:
        holds = self.of(wall_ms)
        if holds is not self:
            return holds.street_ms(wall_ms)
        return int(self.street_zero_ms + (wall_ms - self.wall_zero_ms) * self.speed)


@dataclass(frozen=True)
class History:
    """`count` instants in the past, one for each measurement answered."""

    start_ms: int
    step_s: float
    count: int


def parse_clock(where: str, data: Any) -> StreetClock:
    """Raises BadPlan. `where` begins its message."""
    allowed = "a clock is {speed, street_zero_ms, wall_zero_ms}, numbers, speed > 0, and perhaps {then}"
    if not isinstance(data, dict) or data.keys() - {"speed", "street_zero_ms", "wall_zero_ms", "then"}:
        raise BadPlan(f"{where}: {allowed}")
    speed, street, wall = (data.get(k) for k in ("speed", "street_zero_ms", "wall_zero_ms"))
    if not (
        isinstance(speed, int | float) and isinstance(street, int | float) and isinstance(wall, int | float)
    ):
        raise BadPlan(f"{where}: {allowed}")
    if speed <= 0:
        raise BadPlan(f"{where}: {allowed}")
    later = data.get("then")
    then = None if later is None else parse_clock(f"{where}: then", later)
    return StreetClock(float(speed), int(street), int(wall), then)


class Timeline:
    """First the history, an instant a measurement; then the street clock's now.

    A clock file that is not there yet (it is written when all posts are ready) is looked for when the history
    is used up; until then history goes on step by step.
    """

    def __init__(self, history: History | None, clock: StreetClock, clock_file: Path | None = None) -> None:
        self._history = history
        self._clock = clock
        self._clock_file = clock_file
        self._taken = 0
        self._latest_ms = 0

    def speed(self, wall_ms: float) -> float:
        """Street seconds in a wall second, now."""
        return self._clock.of(wall_ms).speed

    def stepping(self) -> bool:
        """Whether instants are taken from the history rather than from a clock."""
        if self._history is not None and self._taken < self._history.count:
            return True
        if self._clock_file is not None and self._clock_file.exists():
            self._load(self._clock_file)
        return self._history is not None and self._clock_file is not None

    def now_ms(self, wall_ms: float) -> int:
        """The instant that the next measurement has. Never goes back."""
        if self.stepping() and self._history is not None:
            now_ms = self._history.start_ms + round(self._taken * self._history.step_s * 1000)
        else:
            now_ms = self._clock.street_ms(wall_ms)
        self._latest_ms = max(self._latest_ms, now_ms)
        return self._latest_ms

    def take(self, wall_ms: float) -> int:
        """The instant of a measurement taken now."""
        now_ms = self.now_ms(wall_ms)
        self._taken += 1
        return now_ms

    def _load(self, file: Path) -> None:
        try:
            data = json.loads(file.read_text())
        except ValueError:
            return  # still being written; the next look finds it whole
        self._clock = parse_clock(str(file), data)
        self._clock_file = None
