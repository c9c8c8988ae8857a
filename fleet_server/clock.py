"""The civil clock by which the server judges freshness: real time, or the demo's scaled one.

Never SQL now(): in the demo a second is a minute, and a database may stand on another machine.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Scale:
    """street_ms = street_zero_ms + (wall_ms - wall_zero_ms) * speed.

    `then`, if there is one, is the scale from its own wall_zero_ms on.
    """

    speed: float
    street_zero_ms: int
    wall_zero_ms: int
    then: Scale | None = None

    def of(self, wall_ms: float) -> Scale:
        """The scale that holds at this instant."""
        return self if self.then is None or wall_ms < self.then.wall_zero_ms else self.then.of(wall_ms)

    def street_ms(self, wall_ms: float) -> int:
        holds = self.of(wall_ms)
        if holds is not self:
            return holds.street_ms(wall_ms)
        return int(self.street_zero_ms + (wall_ms - self.wall_zero_ms) * self.speed)


REAL = Scale(1.0, 0, 0)


def wall_now_ms() -> float:
    """Milliseconds since the epoch, UTC."""
    return time.time() * 1000


class StreetClock:
    """`now_ms()` and `now()`. With a file it follows that file: real time until it exists, then its scale.

    The file is JSON with the members of `Scale`; it is read again when it is replaced. A file that cannot be
    understood leaves the clock as it was.
    """

    def __init__(self, file: Path | None = None, *, wall_ms: Callable[[], float] = wall_now_ms) -> None:
        self._file = file
        self._wall_ms = wall_ms
        self._scale = REAL
        self._seen: tuple[int, int] | None = None

    def now_ms(self) -> int:
        self._follow()
        return self._scale.street_ms(self._wall_ms())

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.now_ms() / 1000, UTC)

    @property
    def speed(self) -> float:
        """Street seconds in a wall second."""
        self._follow()
        return self._scale.of(self._wall_ms()).speed

    def _follow(self) -> None:
        if self._file is None:
            return
        try:
            stat = self._file.stat()
            version = (stat.st_ino, stat.st_mtime_ns)
            if version == self._seen:
                return
            told = json.loads(self._file.read_text())
            self._scale = _scale(told)
            self._seen = version
        except (OSError, ValueError, KeyError, TypeError):
            return


def _scale(told: dict[str, Any]) -> Scale:
    own = float(told["speed"]), int(told["street_zero_ms"]), int(told["wall_zero_ms"])
    then = told.get("then")
    return Scale(*own, None if then is None else _scale(then))
