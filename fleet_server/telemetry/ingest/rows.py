"""Decoded blocks as sorted rows, and what follows from them: minutes, newest readings, hours. Pure numpy."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wire_contract.decode_numpy import NumpyBlock
from wire_contract.flags import Flag
from wire_contract.limits import INT32_MAX, INT32_MIN, MAX_SLOTS

MINUTE_MS = 60_000
HOUR_MS = 3_600_000

# Readings that are suspect, failed or missing count, but do not enter sum, low and high: a mean does not tell
# that they were in it. Not so for what is only high or only fast: the worst smoke and a plume's front are,
# and an index without them would be blind when it matters. A capped value is FAIL_RANGE.
BELIEVED = (Flag.SUSPECT_RANGE, Flag.SUSPECT_RATE)
EXCLUDED = np.array([Flag(i).qartod in (3, 4, 9) and Flag(i) not in BELIEVED for i in range(16)])

SeriesOfUnit = Mapping[int, Sequence[int]]
"""sensor unit -> the series of its 16 slots, 0 where a slot is not declared."""


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """One block of one message: `origin` is the message's place in the group."""

    origin: int
    sensor_unit: int
    block: NumpyBlock


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """n rows that fill the same slots, sorted by sensor unit and time.

    unit (n,) int32; time_ms (n,) int64; values (slots, n) int32; flags (n,) uint64; origin (n,) int32.
    """

    slots: tuple[int, ...]
    unit: NDArray[np.int32]
    time_ms: NDArray[np.int64]
    values: NDArray[np.int32]
    flags: NDArray[np.uint64]
    origin: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.unit)

    def only(self, keep: NDArray[Any]) -> Rows:
        """The rows that an index array or a mask picks, in order."""
        values = self.values[:, keep]
        return Rows(
            self.slots, self.unit[keep], self.time_ms[keep], values, self.flags[keep], self.origin[keep]
        )

    def again(self) -> NDArray[np.bool_]:
        """(n,): does the row name the same sensor unit and instant as the row before it?"""
        same = np.zeros(len(self), dtype=bool)
        same[1:] = (self.unit[1:] == self.unit[:-1]) & (self.time_ms[1:] == self.time_ms[:-1])
        return same

    def flag_of(self, i: int) -> NDArray[np.uint8]:
        """(n,): the four bits of the i-th of `slots`."""
        return ((self.flags >> np.uint64(4 * self.slots[i])) & np.uint64(15)).astype(np.uint8)


@dataclass(frozen=True, slots=True, eq=False)
class Minutes:
    """One entry a series and minute, sorted by both. low and high mean nothing where n is 0."""

    series: NDArray[np.int64]
    bucket_ms: NDArray[np.int64]
    n: NDArray[np.int64]
    sum: NDArray[np.int64]
    low: NDArray[np.int64]
    high: NDArray[np.int64]
    flagged: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Newest:
    """The newest reading of each series, sorted by series."""

    series: NDArray[np.int64]
    time_ms: NDArray[np.int64]
    value: NDArray[np.int64]
    flag: NDArray[np.int64]


def assemble(pieces: Sequence[Piece]) -> list[Rows]:
    """All pieces as one `Rows` for each set of slots, sorted by key: then COPY walks the index in order."""
    by_slots: dict[tuple[int, ...], list[Piece]] = defaultdict(list)
    for piece in pieces:
        by_slots[piece.block.slots].append(piece)
    return [_sorted(slots, group) for slots, group in sorted(by_slots.items())]


def _sorted(slots: tuple[int, ...], pieces: list[Piece]) -> Rows:
    lengths = [len(piece.block.times_ms) for piece in pieces]
    unit = np.repeat(np.array([piece.sensor_unit for piece in pieces], dtype=np.int32), lengths)
    origin = np.repeat(np.array([piece.origin for piece in pieces], dtype=np.int32), lengths)
    time_ms = np.concatenate([piece.block.times_ms for piece in pieces])
    values = np.concatenate([piece.block.values for piece in pieces], axis=1)
    flags = np.concatenate([piece.block.flags for piece in pieces])
    order = np.lexsort((time_ms, unit))
    return Rows(slots, unit[order], time_ms[order], values[:, order], flags[order], origin[order])


def fold_minutes(many: Sequence[Rows], series_of: SeriesOfUnit) -> Minutes:
    """What `many` add to the one-minute rollup."""
    parts = [_fold(rows, series_of) for rows in many if len(rows)]
    if not parts:
        return Minutes(*(np.empty(0, dtype=np.int64) for _ in range(7)))
    return _merge([np.concatenate(column) for column in zip(*parts, strict=True)])


def _fold(rows: Rows, series_of: SeriesOfUnit) -> tuple[NDArray[np.int64], ...]:
    minute = rows.time_ms // MINUTE_MS
    starts = _starts(rows.unit, minute)
    wide = rows.values.astype(np.int64)
    excluded = EXCLUDED[np.stack([rows.flag_of(i) for i in range(len(rows.slots))])]
    counts = np.diff(np.append(starts, len(rows)))
    flagged = np.add.reduceat(excluded, starts, axis=1, dtype=np.int64)
    total = np.add.reduceat(np.where(excluded, 0, wide), starts, axis=1)
    low = np.minimum.reduceat(np.where(excluded, INT32_MAX, wide), starts, axis=1)
    high = np.maximum.reduceat(np.where(excluded, INT32_MIN, wide), starts, axis=1)
    series = _series(rows, rows.unit[starts], series_of)
    bucket = np.broadcast_to(minute[starts] * MINUTE_MS, series.shape)
    table = (series, bucket, counts[None, :] - flagged, total, low, high, flagged)
    return tuple(column.ravel() for column in table)


def _merge(columns: list[NDArray[np.int64]]) -> Minutes:
    """Sort by (series, minute) and join equal ones, so that one upsert names every row once."""
    order = np.lexsort((columns[1], columns[0]))
    series, bucket, n, total, low, high, flagged = (column[order] for column in columns)
    starts = _starts(series, bucket)
    return Minutes(
        series[starts],
        bucket[starts],
        np.add.reduceat(n, starts),
        np.add.reduceat(total, starts),
        np.minimum.reduceat(low, starts),
        np.maximum.reduceat(high, starts),
        np.add.reduceat(flagged, starts),
    )


def newest(many: Sequence[Rows], series_of: SeriesOfUnit) -> Newest:
    """The newest reading of every series in `many`."""
    parts: list[tuple[NDArray[Any], ...]] = []
    for rows in many:
        if not len(rows):
            continue
        last = np.append(_starts(rows.unit)[1:], len(rows)) - 1
        ends = rows.only(last)
        series = _series(ends, ends.unit, series_of)
        times = np.broadcast_to(ends.time_ms, series.shape)
        flags = np.stack([ends.flag_of(i) for i in range(len(ends.slots))])
        parts.append((series.ravel(), times.ravel(), ends.values.ravel(), flags.ravel()))
    if not parts:
        return Newest(*(np.empty(0, dtype=np.int64) for _ in range(4)))
    columns = [np.concatenate(column).astype(np.int64) for column in zip(*parts, strict=True)]
    order = np.lexsort((columns[1], columns[0]))
    columns = [column[order] for column in columns]
    last = np.append(_starts(columns[0])[1:], len(columns[0])) - 1
    return Newest(*(column[last] for column in columns))


def hours(many: Sequence[Rows]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The distinct (sensor unit, start of the hour in ms) that `many` touch."""
    if not any(len(rows) for rows in many):
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    unit = np.concatenate([rows.unit for rows in many]).astype(np.int64)
    hour = np.concatenate([rows.time_ms // HOUR_MS for rows in many])
    order = np.lexsort((hour, unit))
    unit, hour = unit[order], hour[order]
    starts = _starts(unit, hour)
    return unit[starts], hour[starts] * HOUR_MS


def _starts(*keys: NDArray[Any]) -> NDArray[np.int64]:
    """Where a new combination of the (sorted) keys begins. Not empty: there is a first row."""
    fresh = np.ones(len(keys[0]), dtype=bool)
    fresh[1:] = False
    for key in keys:
        fresh[1:] |= key[1:] != key[:-1]
    return np.flatnonzero(fresh)


def _series(rows: Rows, units: NDArray[np.int32], series_of: SeriesOfUnit) -> NDArray[np.int64]:
    """(slots, len(units)): the series of each of the rows' slots for each of these sensor units."""
    distinct, place = np.unique(units, return_inverse=True)
    table = np.array([series_of[int(unit)] for unit in distinct], dtype=np.int64).reshape(-1, MAX_SLOTS)
    return table[place][:, list(rows.slots)].T
