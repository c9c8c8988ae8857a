"""The Clock port: the system's, one scaled for the demo, one stepped by hand for rehearsals and tests."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from wire_contract.limits import MAX_TIME_MS, MIN_TIME_MS

TIME_ERROR = 5  # adjtimex(2): the clock is not synchronized
TIMEX_BYTES = 512  # struct timex has 208 on 64 bits
CLOCK_FILE_POLL_S = 0.2  # wall; the demo writes the file when all lampposts are ready, and may replace it


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "unknown"


def _since_boot_s() -> float:
    """Counts while suspended too, and continues across a restart of the agent within the same boot."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def within(now_ms: int) -> int:
    """What the wire can say: a clock that believes in another century must not make messages unencodable."""
    return min(max(now_ms, MIN_TIME_MS), MAX_TIME_MS)


def kernel_is_synced() -> bool:
    """Whether a time service has set the clock since the boot (adjtimex(2): no TIME_ERROR)."""
    import ctypes  # 1 MB, for those who asked for it

    timex = ctypes.create_string_buffer(TIMEX_BYTES)  # modes = 0: only look
    return int(ctypes.CDLL(None).adjtimex(timex)) not in (TIME_ERROR, -1)


class SystemClock:
    """The device's own clock. `synced`, where given, is asked until it says True once; until then the civil
    time is that since the boot, in 1970: a clock without a battery goes on from where the power was cut."""

    speed = 1.0

    def __init__(self, synced: Callable[[], bool] | None = None) -> None:
        self._synced = synced

    def now_ms(self) -> int:
        if self._synced is not None:
            if not self._synced():
                return within(int(_since_boot_s() * 1000))
            self._synced = None
        return within(time.time_ns() // 1_000_000)

    def street_s(self) -> float:
        return _since_boot_s()

    def wire_s(self) -> float:
        return _since_boot_s()

    def boot(self) -> str:
        return _boot()


class ScaledClock:
    """street = street_zero + (wall - wall_zero) * speed: the demo's hours in minutes.

    `then`, if there is one, is the clock from its own wall_zero on: two days in minutes, then an hour in one.
    """

    def __init__(
        self, speed: float, street_zero_ms: int, wall_zero_ms: int, then: ScaledClock | None = None
    ) -> None:
        self._speed = speed
        self._street_zero_ms = street_zero_ms
        self._wall_zero_ms = wall_zero_ms
        self._then = then
        self._boot_at_ms = time.time_ns() / 1_000_000 - _since_boot_s() * 1000  # wall clock, read once

    @classmethod
    def from_file(cls, path: Path) -> ScaledClock:
        """Wait for the file {"speed", "street_zero_ms", "wall_zero_ms"}, perhaps with "then", and read it."""
        while not path.exists():
            time.sleep(CLOCK_FILE_POLL_S)
        return cls._told(json.loads(path.read_text()))

    @classmethod
    def _told(cls, given: dict[str, Any]) -> ScaledClock:
        then = cls._told(given["then"]) if given.get("then") else None
        return cls(float(given["speed"]), int(given["street_zero_ms"]), int(given["wall_zero_ms"]), then)

    @property
    def speed(self) -> float:
        """Street seconds a wire second, now."""
        return self._at(time.time_ns() / 1_000_000)._speed

    def _at(self, wall_ms: float) -> ScaledClock:
        then = self._then
        return self if then is None or wall_ms < then._wall_zero_ms else then._at(wall_ms)

    def _street_ms(self, wall_ms: float) -> float:
        holds = self._at(wall_ms)
        return holds._street_zero_ms + (wall_ms - holds._wall_zero_ms) * holds._speed

    def now_ms(self) -> int:
        return within(int(self._street_ms(time.time_ns() / 1_000_000)))

    def street_s(self) -> float:
        """What has passed in the street since the boot, whatever year this clock believes in."""
        now_ms = self._boot_at_ms + _since_boot_s() * 1000
        return (self._street_ms(now_ms) - self._street_ms(self._boot_at_ms)) / 1000

    def wire_s(self) -> float:
        return _since_boot_s()

    def boot(self) -> str:
        return _boot()


class FollowedClock:
    """The demo's clock from a file that may be replaced: the civil time becomes the new file's, as when a
    person or a satellite sets the clock. What has passed since the boot goes on by the first one."""

    def __init__(self, path: Path) -> None:
        self._steady = self._civil = ScaledClock.from_file(path)
        self._path, self._looked_at_s, self._seen = path, _since_boot_s(), _version(path)

    @property
    def speed(self) -> float:
        return self._steady.speed

    def now_ms(self) -> int:
        if _since_boot_s() - self._looked_at_s >= CLOCK_FILE_POLL_S:
            self._look()
        return self._civil.now_ms()

    def _look(self) -> None:
        self._looked_at_s = _since_boot_s()
        version = _version(self._path)
        if version is not None and version != self._seen:
            self._seen, self._civil = version, ScaledClock.from_file(self._path)

    def street_s(self) -> float:
        return self._steady.street_s()

    def wire_s(self) -> float:
        return self._steady.wire_s()

    def boot(self) -> str:
        return self._steady.boot()


def _version(path: Path) -> tuple[int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_mtime_ns


class SteppedClock:
    """Stands still until `step_to` moves it. The wire clock runs with it, or (`real_wire`) as in life."""

    def __init__(self, start_ms: int, boot: str = "stepped", real_wire: bool = False) -> None:
        self._real_wire = real_wire
        self.speed = 1.0
        self._zero_ms = start_ms
        self._now_ms = start_ms
        self._elapsed_s = 0.0
        self._boot = boot

    def step_to(self, now_ms: int) -> None:
        """Time passes: the civil clock becomes `now_ms`, the monotonic ones move by as much."""
        self._elapsed_s += max(now_ms - self._now_ms, 0) / 1000
        self._now_ms = now_ms

    def jump_to(self, now_ms: int) -> None:
        """Somebody sets the civil clock; no time passes."""
        self._now_ms = now_ms

    def now_ms(self) -> int:
        return within(self._now_ms)

    def street_s(self) -> float:
        return self._elapsed_s

    def wire_s(self) -> float:
        return _since_boot_s() if self._real_wire else self._elapsed_s

    def boot(self) -> str:
        return self._boot
