"""What a process counts while it runs, and how the counts of several become one."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field, fields
from typing import Any

STEP = 1.05  # buckets of latency are 5 % wide: a percentile is at most that much too high


@dataclass
class Latency:
    """A histogram of milliseconds: bucket k holds STEP**k up to STEP**(k + 1)."""

    buckets: Counter[int] = field(default_factory=Counter)

    def add(self, seconds: float) -> None:
        self.buckets[math.floor(math.log(max(seconds * 1000, 0.01), STEP))] += 1

    def percentile_ms(self, share: float) -> float | None:
        """The upper edge of the bucket in which this share is reached; None while nothing was measured."""
        wanted = share * self.buckets.total()
        seen = 0
        for bucket in sorted(self.buckets):
            seen += self.buckets[bucket]
            if seen >= wanted:
                return round(STEP ** (bucket + 1), 1)
        return None


@dataclass
class Tally:
    """Counts since the start; `connected`, `in_flight` are of this moment. Samples, unless it says messages.

    `taken`: given by the sensors. `acked`: of these, told to be committed by the server. `shed`: given up by
    the spool's policy, named in tombstones. `handshakes`: TLS handshakes done, by second (civil).
    `behind_s`: how late the process is with what was due, at worst since it was told last.
    """

    lampposts: int = 0
    connected: int = 0
    in_flight: int = 0
    taken: int = 0
    acked: int = 0
    shed: int = 0
    sent_messages: int = 0
    resent_messages: int = 0
    lost_connections: int = 0
    failed_connects: int = 0
    troubles: int = 0
    behind_s: float = 0.0
    latency: Latency = field(default_factory=Latency)
    handshakes: Counter[int] = field(default_factory=Counter)

    def told(self) -> dict[str, Any]:
        """As JSON can have it."""
        plain = {each.name: getattr(self, each.name) for each in fields(self)}
        plain["latency"] = {str(k): v for k, v in self.latency.buckets.items()}
        plain["handshakes"] = {str(k): v for k, v in self.handshakes.items()}
        return plain

    @classmethod
    def heard(cls, plain: dict[str, Any]) -> Tally:
        latency = Latency(Counter({int(k): v for k, v in plain["latency"].items()}))
        handshakes = Counter({int(k): v for k, v in plain["handshakes"].items()})
        return cls(**{**plain, "latency": latency, "handshakes": handshakes})


def total(tallies: list[Tally]) -> Tally:
    """All processes as one."""
    sums: dict[str, Any] = {
        each.name: sum(getattr(tally, each.name) for tally in tallies)
        for each in fields(Tally)
        if each.type in ("int", int)
    }
    latency: Counter[int] = Counter()
    handshakes: Counter[int] = Counter()
    for tally in tallies:
        latency.update(tally.latency.buckets)
        handshakes.update(tally.handshakes)
    behind_s = max((tally.behind_s for tally in tallies), default=0.0)
    return Tally(**sums, behind_s=behind_s, latency=Latency(latency), handshakes=handshakes)
