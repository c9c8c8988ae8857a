"""Choosing when an episode opens: on streams of the validation part, for few false alarms first."""

from __future__ import annotations

from collections.abc import Sequence

from models.air_anomaly.dataset import MIN_COVERAGE
from models.air_anomaly.events import EPISODES, FAULTS, Event
from models.air_anomaly.streams import Stream, replay
from models.features.manifest import Thresholds

# From low to high; the lowest that keeps the bound is taken, since it opens soonest.
CANDIDATES = (0.7, 0.8, 0.85, 0.9, 0.93, 0.95, 0.96, 0.97, 0.98, 0.985, 0.99, 0.993, 0.996, 0.998)
# Six lampposts over two days must be silent nine times in ten in air without an episode: one in 2,880 hours.
QUIET_HOURS_PER_FALSE = 2880.0
# A faulty sensor may fool the model alone in one stream of ten; the agent's own fault tests come on top.
FAULTY_FALSE_SHARE = 0.10
CLOSE_SHARE = 0.5  # hysteresis: an episode lasts until its score is half of what opened it
CONFIDENT = 0.52  # only a coin's toss is left to the rule, which is cruder
HOURS = 8


def with_open(threshold: float) -> Thresholds:
    return Thresholds(
        open=threshold,
        close=round(CLOSE_SHARE * threshold, 4),
        confident=CONFIDENT,
        min_coverage=MIN_COVERAGE,
    )


def choose(streams: Sequence[Stream]) -> Thresholds:
    """The lowest candidate that keeps both bounds; the highest where none does."""
    return next((t for t in map(with_open, CANDIDATES) if _keeps(streams, t)), with_open(CANDIDATES[-1]))


def _keeps(streams: Sequence[Stream], thresholds: Thresholds) -> bool:
    quiet = [s for s in streams if s.event in (Event.NONE, Event.REGIONAL)]
    faulty = [s for s in streams if s.event in FAULTS]
    false = sum(len(replay(s, thresholds).wrong) for s in quiet)
    fooled = sum(bool(replay(s, thresholds).wrong) for s in faulty)
    return false * QUIET_HOURS_PER_FALSE <= HOURS * len(quiet) and fooled <= FAULTY_FALSE_SHARE * len(faulty)


def plan(each: int) -> list[Event]:
    """Events of the streams: `each` of every episode and fault, four times as many of the quiet."""
    return [
        *(event for event in (Event.NONE, Event.REGIONAL) for _ in range(4 * each)),
        *(event for event in (*EPISODES, *FAULTS) for _ in range(each)),
    ]
