"""A sensor unit's slow background: what its own street's air was in the last 24 hours.

Kept as means of ten minutes, 144 at most: small enough to be held, or stored, for each unit. Pure: `observe`
gives a new Context.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

BUCKET_MS = 600_000
DAY_BUCKETS = 144
# Half an hour: less is no background, and a window asks for as much anyway.
LEAST_BUCKETS = 3


@dataclass(frozen=True)
class Background:
    """PM2.5 in ug/m3: median and quartiles of the ten-minute means; `fill`: share of the day known, 0..1."""

    median: float
    low: float
    high: float
    fill: float


@dataclass(frozen=True)
class Context:
    """`buckets`: (index, mean) of finished ten minutes, oldest first; the open one: index, sum, count."""

    buckets: tuple[tuple[int, float], ...] = ()
    open_index: int = -1
    open_sum: float = 0.0
    open_count: int = 0

    def background(self, end_ms: int) -> Background | None:
        """As of the end of a window (exclusive): the finished buckets of the 24 hours before; None with fewer
        than LEAST_BUCKETS. The bucket in which the last minute lies is left out: it is not finished."""
        now = (end_ms - 1) // BUCKET_MS
        means = [mean for index, mean in self.buckets if now - DAY_BUCKETS <= index < now]
        if self.open_count and now - DAY_BUCKETS <= self.open_index < now:
            means.append(self.open_sum / self.open_count)
        if len(means) < LEAST_BUCKETS:
            return None
        means.sort()
        return Background(
            quantile(means, 0.5), quantile(means, 0.25), quantile(means, 0.75), len(means) / DAY_BUCKETS
        )


def observe(context: Context, time_ms: int, pm2_5: float | None) -> Context:
    """The context after one more minute. What is missing, not finite, negative or older than the open bucket
    changes nothing: late minutes are the past's."""
    index = time_ms // BUCKET_MS
    if pm2_5 is None or not math.isfinite(pm2_5) or pm2_5 < 0 or index < context.open_index:
        return context
    if index == context.open_index:
        return Context(context.buckets, index, context.open_sum + pm2_5, context.open_count + 1)
    finished = context.buckets
    if context.open_count:
        finished = (*finished, (context.open_index, context.open_sum / context.open_count))
    oldest = index - DAY_BUCKETS
    return Context(tuple(b for b in finished if b[0] >= oldest), index, pm2_5, 1)


def quantile(ordered: list[float], share: float) -> float:
    """Linear interpolation between the ranks of an ordered, non-empty list (numpy's default)."""
    at = share * (len(ordered) - 1)
    low = math.floor(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)
