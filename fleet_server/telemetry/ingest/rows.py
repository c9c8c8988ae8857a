"""Decoded blocks as sorted rows, and what follows from them: minutes, newest readings, hours. Pure numpy."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wire_contract.decode_numpy import NumpyBlock
from wire_contract.flags import Flag, good_word
from wire_contract.limits import INT32_MAX, INT32_MIN

_EPOCH, _MS = datetime(1970, 1, 1, tzinfo=UTC), timedelta(milliseconds=1)
MINUTE_MS = 60_000
HOUR_MS = 3_600_000

# Readings that are suspect, failed or missing count, but do not enter sum, low and high: a mean does not tell
# that they were in it. Not so for what is only high or only fast: the worst smoke and a plume's front are,
# and an index without them would be blind when it matters. A capped value is FAIL_RANGE.
BELIEVED = (Flag.SUSPECT_RANGE, Flag.SUSPECT_RATE)
EXCLUDED = np.array([Flag(i).qartod in (3, 4, 9) and Flag(i) not in BELIEVED for i in range(16)])


class Piece(NamedTuple):
    """One block of one message. origin: the message's place in the group; retention: the unit's class."""

    origin: int
    sensor_unit: int
    block: NumpyBlock
    retention: str = "standard"


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """n rows of one retention class that fill the same slots, sorted by sensor unit and time.

    unit (n,) int32; time_ms (n,) int64; values (slots, n) int32; flags (n,) uint64; origin (n,) int32.
    """

    slots: tuple[int, ...]
    unit: NDArray[np.int32]
    time_ms: NDArray[np.int64]
    values: NDArray[np.int32]
    flags: NDArray[np.uint64]
    origin: NDArray[np.int32]
    retention: str = "standard"

    def __len__(self) -> int:
        return len(self.unit)

    def only(self, keep: NDArray[Any]) -> Rows:
        """The rows that an index array or a mask picks, in order."""
        values = self.values[:, keep]
        unit, time_ms, flags = self.unit[keep], self.time_ms[keep], self.flags[keep]
        return Rows(self.slots, unit, time_ms, values, flags, self.origin[keep], self.retention)

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
    """m sensor units' minutes that fill the same slots, sorted by both.

    unit, bucket_ms (m,) int64; n, sum, low, high, flagged (slots, m) int64. low and high mean nothing where
    n is 0.
    """

    slots: tuple[int, ...]
    unit: NDArray[np.int64]
    bucket_ms: NDArray[np.int64]
    n: NDArray[np.int64]
    sum: NDArray[np.int64]
    low: NDArray[np.int64]
    high: NDArray[np.int64]
    flagged: NDArray[np.int64]

    def only(self, keep: NDArray[np.bool_]) -> Minutes:
        """The minutes that a mask picks."""
        wide = (self.n, self.sum, self.low, self.high, self.flagged)
        return Minutes(
            self.slots, self.unit[keep], self.bucket_ms[keep], *(column[:, keep] for column in wide)
        )


def assemble(pieces: Sequence[Piece]) -> list[Rows]:
    """One `Rows` for each set of slots and class, sorted by key: then COPY walks the index in order."""
    groups: dict[tuple[tuple[int, ...], str], list[Piece]] = defaultdict(list)
    for piece in pieces:
        groups[piece.block.slots, piece.retention].append(piece)
    return [_sorted(slots, retention, group) for (slots, retention), group in sorted(groups.items())]


def _sorted(slots: tuple[int, ...], retention: str, pieces: list[Piece]) -> Rows:
    pieces = sorted(pieces, key=lambda piece: (piece.sensor_unit, piece.block.times_ms[0]))
    lengths = [len(piece.block.times_ms) for piece in pieces]
    unit = np.repeat(np.array([piece.sensor_unit for piece in pieces], dtype=np.int32), lengths)
    origin = np.repeat(np.array([piece.origin for piece in pieces], dtype=np.int32), lengths)
    time_ms = np.concatenate([piece.block.times_ms for piece in pieces])
    values = np.concatenate([piece.block.values for piece in pieces], axis=1)
    flags = np.concatenate([piece.block.flags for piece in pieces])
    rows = Rows(slots, unit, time_ms, values, flags, origin, retention)
    if ((unit[1:] > unit[:-1]) | (time_ms[1:] >= time_ms[:-1])).all():
        return rows  # as a rule: a sensor's clock goes forward, and its batches do not overlap
    return rows.only(np.lexsort((time_ms, unit)))


def fold_minutes(rows: Rows) -> Minutes:
    """What `rows` (at least one) add to their minutes."""
    minute = rows.time_ms // MINUTE_MS
    starts = _starts(rows.unit, minute)
    counts = np.diff(np.append(starts, len(rows)))
    low = high = total = rows.values
    flagged = np.zeros((len(rows.slots), len(starts)), dtype=np.int64)
    if (rows.flags != np.uint64(good_word(rows.slots))).any():
        excluded = EXCLUDED[np.stack([rows.flag_of(i) for i in range(len(rows.slots))])]
        flagged = np.add.reduceat(excluded, starts, axis=1, dtype=np.int64)
        total = np.where(excluded, 0, rows.values)
        low, high = np.where(excluded, INT32_MAX, low), np.where(excluded, INT32_MIN, high)
    return Minutes(
        rows.slots,
        rows.unit[starts].astype(np.int64),
        minute[starts] * MINUTE_MS,
        counts[None, :] - flagged,
        np.add.reduceat(total, starts, axis=1, dtype=np.int64),
        np.minimum.reduceat(low, starts, axis=1).astype(np.int64),
        np.maximum.reduceat(high, starts, axis=1).astype(np.int64),
        flagged,
    )


def newest(rows: Rows) -> Rows:
    """The newest row of each sensor unit."""
    return rows.only(np.append(_starts(rows.unit)[1:], len(rows)) - 1) if len(rows) else rows


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


def bounds_of(times_ms: NDArray[np.int64]) -> tuple[datetime, datetime]:
    """The earliest and the latest of some instants, exactly. Not empty."""
    return _EPOCH + int(times_ms.min()) * _MS, _EPOCH + int(times_ms.max()) * _MS


def _starts(*keys: NDArray[Any]) -> NDArray[np.int64]:
    """Where a new combination of the (sorted) keys begins. Not empty: there is a first row."""
    fresh = np.ones(len(keys[0]), dtype=bool)
    fresh[1:] = False
    for key in keys:
        fresh[1:] |= key[1:] != key[:-1]
    return np.flatnonzero(fresh)
