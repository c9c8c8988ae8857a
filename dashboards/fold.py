"""Coarser buckets than the stored rollups: ten minutes from minutes, where a chart cannot show minutes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby


@dataclass(frozen=True)
class Bucket:
    """What one stretch of time comes to. `n` readings make the mean; `bad` more failed or were missing.

    flag: of a single reading only.
    """

    time_ms: int
    mean: float | None
    low: float | None
    high: float | None
    n: int
    bad: int
    flag: int | None = None


def fold(buckets: Iterable[Bucket], step_s: int) -> Iterator[Bucket]:
    """Ascending buckets into ascending ones of `step_s`, begun at whole multiples of it since the epoch."""
    step_ms = step_s * 1000
    for start, group in groupby(buckets, lambda bucket: bucket.time_ms // step_ms):
        parts = list(group)
        good = [p for p in parts if p.mean is not None and p.n > 0]
        n = sum(p.n for p in good)
        lows = [p.low for p in parts if p.low is not None]
        highs = [p.high for p in parts if p.high is not None]
        yield Bucket(
            time_ms=start * step_ms,
            mean=sum(p.mean * p.n for p in good if p.mean is not None) / n if n else None,
            low=min(lows, default=None),
            high=max(highs, default=None),
            n=n,
            bad=sum(p.bad for p in parts),
        )
