"""Hold what the emulated sensors sent against what the database has.

The emulators write one line for every measurement frame they put on the wire, before they send it. That
ledger knows nothing of the agent or the server, so the comparison trusts neither. Frames are told apart by
their values (with the sensors' noise nearly every frame is its own); equal ones are counted, so a frame
stored twice or not at all shows whichever of its equals it was.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

Values = tuple[int | None, ...]


@dataclass(frozen=True)
class Frame:
    """A frame as its emulated sensor sent it: wall time and street time in ms since the Unix epoch."""

    wall_ms: float
    street_ms: float
    values: Values


@dataclass(frozen=True)
class Stored:
    """A row of `sample`, its values cut to the sensor's slots; `committed_ms` None where not recorded."""

    street_ms: float
    committed_ms: float | None
    values: Values


@dataclass(frozen=True)
class Comparison:
    """One sensor unit: how many frames were sent, rows stored, frames without a row, rows too many."""

    sent: int
    stored: int
    missing: int
    surplus: int


def read_ledger(path: Path) -> list[Frame]:
    """Every whole line of a ledger; a last line cut off by a power cut was never sent and is left out."""
    if not path.exists():
        return []
    frames = []
    for line in path.read_text().splitlines():
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            continue
        frames.append(Frame(entry["wall_ms"], entry["street_ms"], tuple(entry["values"])))
    return frames


def compare(frames: Iterable[Frame], rows: Iterable[Stored]) -> Comparison:
    """Multiset comparison: `missing` frames have no row, `surplus` rows have no frame."""
    sent = Counter(frame.values for frame in frames)
    stored = Counter(row.values for row in rows)
    return Comparison(
        sent=sent.total(),
        stored=stored.total(),
        missing=(sent - stored).total(),
        surplus=(stored - sent).total(),
    )


def total(comparisons: Mapping[str, Comparison]) -> Comparison:
    """The sum over units."""
    parts = list(comparisons.values())
    return Comparison(
        sum(c.sent for c in parts),
        sum(c.stored for c in parts),
        sum(c.missing for c in parts),
        sum(c.surplus for c in parts),
    )


def latencies_ms(frames: Iterable[Frame], rows: Iterable[Stored], live_from_street_ms: float) -> list[float]:
    """Frame on the serial line to row committed, wall clock, for what was sensed live. Sorted.

    A frame's row is the one with its values; among equals the nearest in street time.
    """
    sent: dict[Values, list[Frame]] = {}
    for frame in frames:
        if frame.street_ms >= live_from_street_ms:
            sent.setdefault(frame.values, []).append(frame)
    found = []
    for row in rows:
        candidates = sent.get(row.values)
        if row.committed_ms is None or row.street_ms < live_from_street_ms or not candidates:
            continue
        frame = min(candidates, key=lambda f: abs(f.street_ms - row.street_ms))
        found.append(row.committed_ms - frame.wall_ms)
    return sorted(found)


def skipped(frames: Iterable[Frame], every_s: float, from_ms: float) -> int:
    """Readings that were due and never happened: whole periods without a frame between one and the next.
    `from_ms`: street time before which the agent need not have run."""
    times = [frame.street_ms for frame in frames if frame.street_ms >= from_ms]
    gaps = (round((after - before) / 1000 / every_s) - 1 for before, after in pairwise(times))
    return sum(max(0, gap) for gap in gaps)


def percentile(ordered: list[float], share: float) -> float | None:
    """Nearest-rank percentile of sorted values; None of nothing."""
    if not ordered:
        return None
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
