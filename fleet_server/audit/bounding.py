"""How often a thing is told that a stranger can make happen as often as he likes."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

WINDOW_S = 60.0  # one line a minute for the same thing; it says how often it happened meanwhile
KEYS_MOST = 500  # different things a minute; beyond, what is new is told under one name

K = TypeVar("K", bound=Hashable)


@dataclass
class _Seen:
    told_s: float
    since: int = 0


class Bounded(Generic[K]):
    """`other`: the key for what is new while KEYS_MOST others are remembered."""

    def __init__(self, other: K) -> None:
        self._other = other
        self._seen: dict[K, _Seen] = {}

    def happened(self, key: K, now_s: float) -> list[tuple[K, int]]:
        """What is to be told now: (what, how often). now_s: monotonic seconds."""
        told = self._overdue(now_s)
        if key not in self._seen and len(self._seen) >= KEYS_MOST:
            key = self._other
        seen = self._seen.get(key)
        if seen is None:
            self._seen[key] = _Seen(now_s)
            return [*told, (key, 1)]
        seen.since += 1
        return told

    def _overdue(self, now_s: float) -> list[tuple[K, int]]:
        over = [key for key, seen in self._seen.items() if now_s - seen.told_s >= WINDOW_S]
        told = []
        for key in over:
            seen = self._seen.pop(key)
            if seen.since:
                told.append((key, seen.since))
                self._seen[key] = _Seen(now_s)
        return told
