"""A token bucket per address, in the memory of one process: it spares the database, it guards no secret."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock

ADDRESSES_KEPT = 10_000  # bounds the memory under a flood from many addresses; the longest unused go first


class RateLimiter:
    """`burst` requests at once, then `per_second`. Thread-safe."""

    def __init__(self, burst: int, per_second: float, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._burst, self._per_second, self._clock_s = float(burst), per_second, clock_s
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # address -> tokens, as of when
        self._lock = Lock()

    def wait_s(self, address: str) -> int:
        """0 when the request may pass (and counts), else whole seconds until the next one may."""
        now_s = self._clock_s()
        with self._lock:
            tokens, since_s = self._buckets.pop(address, (self._burst, now_s))
            tokens = min(self._burst, tokens + (now_s - since_s) * self._per_second)
            passes = tokens >= 1
            self._buckets[address] = (tokens - 1 if passes else tokens, now_s)
            while len(self._buckets) > ADDRESSES_KEPT:
                self._buckets.popitem(last=False)
        return 0 if passes else math.ceil((1 - tokens) / self._per_second)
