"""Challenges for requests signed by an expired certificate's key: such a request was made just now.

Nothing is stored: a challenge carries its instant and a code over it, by a key that this process made up.
After a restart a device asks for a new one.
"""

from __future__ import annotations

import hmac
import re
import secrets
import time
from collections.abc import Callable

FRESH_S = 600  # a device on a poor line makes and signs its request within seconds
_SHAPE = re.compile(r"([0-9a-f]{1,12})-([0-9a-f]{32})")


class Challenges:
    """Thread-safe: nothing changes after it is made."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._key, self._clock_s = secrets.token_bytes(32), clock_s

    def new(self) -> str:
        at = f"{int(self._clock_s()):x}"
        return f"{at}-{self._code(at)}"

    def is_fresh(self, told: str) -> bool:
        found = _SHAPE.fullmatch(told)
        if found is None or not hmac.compare_digest(found[2], self._code(found[1])):
            return False
        return -1 <= self._clock_s() - int(found[1], 16) <= FRESH_S

    def _code(self, at: str) -> str:
        return hmac.new(self._key, at.encode(), "sha256").hexdigest()[:32]
