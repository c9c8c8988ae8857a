"""The server's decoder for many messages at once: what `decode_numpy` gives, without its cost for each block.

A block of 60 rows costs numpy's calls, not its work. Here a call works on a column of every block that looks
alike (the same slots, the same number of rows). Whatever is out of the ordinary is left to `decode_numpy`,
block by block: it alone says what is wrong, and a test holds the two together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wire_contract.block_codec import parse_block
from wire_contract.columns import MAX_RICE_BITS, MAX_WIDTH_BITS
from wire_contract.decode_numpy import NumpyBlock
from wire_contract.errors import MalformedMessage
from wire_contract.flags import good_word
from wire_contract.limits import (
    INT32_MAX,
    INT32_MIN,
    MAX_ROWS,
    MAX_SLOTS,
    MAX_TIME_MS,
    MAX_UNIT_KEY,
    MIN_TIME_MS,
)
from wire_contract.varints import MAX_MAGNITUDE, read_unsigned

AT_ONCE = 64  # blocks: 64 of 60 rows and 13 columns are 400 kB of 64-bit integers, what a core's cache holds
NARROW_BITS = 32 - 7  # with the bits before it in its first byte, such an element fits four bytes
MAX_NARROW_BYTES = 2**28  # an offset in bits fits 32
_PADDING = b"\0" * 8  # so that the last byte, too, has eight bytes to read from

_Integers = NDArray[np.int64]
_HIGH = np.uint64(0x8080_8080_8080_8080)
_SEVENS = (  # masks and shift of each halving that squeezes eight groups of seven bits together
    (np.uint64(0x007F_007F_007F_007F), np.uint64(0x7F00_7F00_7F00_7F00), np.uint64(1)),
    (np.uint64(0x0000_3FFF_0000_3FFF), np.uint64(0x3FFF_0000_3FFF_0000), np.uint64(2)),
    (np.uint64(0x0000_0000_0FFF_FFFF), np.uint64(0x0FFF_FFFF_0000_0000), np.uint64(4)),
)


class _Irregular(Exception):
    """Something that this decoder leaves to the other one."""


class _Columns(NamedTuple):
    """Columns of all blocks alike, one row a block and one column a column; offsets into the whole buffer.

    differences and rice are 0 or 1.
    """

    differences: _Integers
    rice: _Integers
    width: _Integers
    reference: _Integers
    first: _Integers
    bits_at: _Integers
    unary_at: _Integers
    end: _Integers


class _Alike(NamedTuple):
    """Blocks with the same slots and rows, parsed. place: theirs among those given."""

    place: _Integers
    unit: _Integers
    slots: tuple[int, ...]
    rows: int
    start_ms: _Integers
    step_ms: _Integers
    columns: _Columns
    flagged: NDArray[np.bool_]


def decode_group(blocks: Sequence[bytes]) -> list[NumpyBlock] | None:
    """The blocks, in order; None where any of them is not as usual: then ask `decode_numpy` for each."""
    if not blocks:
        return []
    found: list[NumpyBlock | None] = [None] * len(blocks)
    try:
        buffer = _Buffer(blocks)
        for alike in _parsed(buffer):
            for begin in range(0, len(alike.place), AT_ONCE):
                _expand(buffer, alike, slice(begin, begin + AT_ONCE), found)
    except _Irregular:
        return None
    return [block for block in found if block is not None]


def rows_in(block: bytes) -> int:
    """How many rows a block says it has, 0 where that cannot be read: what decoding it will take."""
    try:
        at = read_unsigned(block, read_unsigned(block, 0)[1])[1]
        return min(read_unsigned(block, at)[0], MAX_ROWS)
    except MalformedMessage:
        return 0


class _Buffer:
    """All blocks behind one another."""

    def __init__(self, blocks: Sequence[bytes]) -> None:
        self.blocks = blocks
        self.ends = np.cumsum([len(block) for block in blocks])
        self.begins = self.ends - np.array([len(block) for block in blocks])
        self.data = b"".join(blocks) + _PADDING
        size = len(self.data) - len(_PADDING)
        self._little = np.ndarray((size + 1,), dtype="<u8", buffer=self.data, strides=(1,))
        self.big = np.ndarray((size + 1,), dtype=">u8", buffer=self.data, strides=(1,))
        self.big32 = np.ndarray((size + 1,), dtype=">u4", buffer=self.data, strides=(1,))

    def octets(self, at: _Integers) -> _Integers:
        return (self._words(at) & np.uint64(0xFF)).astype(np.int64)

    def unsigned(self, at: _Integers, wanted: NDArray[np.bool_] | None = None) -> tuple[_Integers, _Integers]:
        """The varints at `at` and the offsets behind them; those not wanted are 0 and take nothing."""
        words = self._words(at)
        stop = ~words & _HIGH
        stop &= ~stop + np.uint64(1)  # the lowest high bit that is clear: the last byte's
        if not (stop.all() if wanted is None else stop[wanted].all()):
            raise _Irregular  # longer than eight bytes
        words &= (stop << np.uint64(1)) - np.uint64(1)
        words &= ~_HIGH
        for even, odd, shift in _SEVENS:
            words = (words & even) | ((words & odd) >> shift)
        size = (np.bitwise_count(stop - np.uint64(1)).astype(np.int64) + 1) >> 3
        value = words.astype(np.int64)
        if wanted is not None:
            value[~wanted] = 0
            size[~wanted] = 0
        return value, at + size

    def signed(self, at: _Integers, wanted: NDArray[np.bool_] | None = None) -> tuple[_Integers, _Integers]:
        code, at = self.unsigned(at, wanted)
        _must(code <= 2 * MAX_MAGNITUDE)
        return (code >> 1) ^ -(code & 1), at

    def _words(self, at: _Integers) -> NDArray[np.uint64]:
        if int(at.max()) >= len(self._little):
            raise _Irregular
        return self._little[at].astype(np.uint64)


def _parsed(buffer: _Buffer) -> list[_Alike]:
    unit, at = buffer.unsigned(buffer.begins)
    mask, at = buffer.unsigned(at)
    rows, at = buffer.unsigned(at)
    _must(unit <= MAX_UNIT_KEY)
    _must((mask > 0) & (mask < 1 << MAX_SLOTS) & (rows > 0) & (rows <= MAX_ROWS))
    start, at = buffer.signed(at)
    step, at = buffer.signed(at)
    looks: dict[tuple[int, int], list[int]] = defaultdict(list)
    for place, look in enumerate(zip(mask.tolist(), rows.tolist(), strict=True)):
        looks[look].append(place)
    found = []
    for (slots_mask, n), places in looks.items():
        where = np.array(places)
        slots = tuple(slot for slot in range(MAX_SLOTS) if slots_mask >> slot & 1)
        columns, behind = _columns(buffer, at[where], buffer.ends[where], n, 1 + len(slots))
        words, behind = buffer.unsigned(behind)
        flagged = words > 0
        _must(flagged | (behind == buffer.ends[where]))
        found.append(_Alike(where, unit[where], slots, n, start[where], step[where], columns, flagged))
    return found


def _columns(
    buffer: _Buffer, at: _Integers, ends: _Integers, n: int, count: int
) -> tuple[_Columns, _Integers]:
    """The next `count` columns of each block, and the offsets behind them."""
    parts: list[tuple[_Integers, ...]] = []
    for _ in range(count):
        mode = buffer.octets(at)
        differences, rice, width = mode >> 7 & 1, mode >> 6 & 1, mode & 0x3F
        _must(width <= np.where(rice, MAX_RICE_BITS, MAX_WIDTH_BITS))
        reference, at = buffer.signed(at + 1)
        first = unary = np.zeros_like(at)
        if differences.any():
            first, at = buffer.signed(at, differences > 0)
        if rice.any():
            unary, at = buffer.unsigned(at, rice > 0)
        _must(unary < len(buffer.data))
        bits_at, unary_at = at, at + ((n * width + 7) >> 3)
        at = unary_at + unary
        _must(at < ends)  # the flags are still to come
        parts.append((differences, rice, width, reference, first, bits_at, unary_at, at))
    return _Columns(*(np.stack(column, axis=1) for column in zip(*parts, strict=True))), at


def _expand(buffer: _Buffer, alike: _Alike, some: slice, found: list[NumpyBlock | None]) -> None:
    """Put some of the blocks where they belong in `found`."""
    n = alike.rows
    table = _table(buffer, _Columns(*(column[some] for column in alike.columns)), n)
    times, values = table[:, 0], table[:, 1:]
    times += alike.start_ms[some, None] + alike.step_ms[some, None] * np.arange(n)
    _must((times >= MIN_TIME_MS) & (times <= MAX_TIME_MS))
    if int(values.min()) < INT32_MIN or int(values.max()) > INT32_MAX:
        raise _Irregular
    values = values.astype(np.int32)
    flags = np.full(times.shape, good_word(alike.slots), dtype=np.uint64)
    for i in np.flatnonzero(alike.flagged[some]).tolist():
        flags[i] = _flags(buffer.blocks[int(alike.place[some][i])])
    places, units = alike.place[some].tolist(), alike.unit[some].tolist()
    for i, (place, unit) in enumerate(zip(places, units, strict=True)):
        found[place] = NumpyBlock(unit, alike.slots, times[i], values[i], flags[i])


def _flags(block: bytes) -> NDArray[np.uint64]:
    try:
        lengths, words = zip(*parse_block(block).flag_runs, strict=True)
    except MalformedMessage as error:
        raise _Irregular from error
    return np.repeat(np.array(words, dtype=np.uint64), lengths)


def _table(buffer: _Buffer, columns: _Columns, n: int) -> _Integers:
    """The values of all columns, (blocks, columns, n). columns.py says why 64 bits cannot overflow."""
    table = _fixed_part(buffer, columns.width[:, :, None], 8 * columns.bits_at[:, :, None], n)
    rice = columns.rice > 0
    if rice.any():
        unary = zip(columns.unary_at[rice].tolist(), columns.end[rice].tolist(), strict=True)
        zigzag = _quotients([buffer.data[begin:end] for begin, end in unary], n)
        zigzag <<= columns.width[rice][:, None]
        zigzag |= table[rice]
        sign = -(zigzag & 1)
        zigzag >>= 1
        zigzag ^= sign
        table[rice] = zigzag
    table += columns.reference[:, :, None]
    different = columns.differences > 0
    if different.any():
        table[different] = np.cumsum(table[different], axis=1) + columns.first[different][:, None]
    return table


def _fixed_part(buffer: _Buffer, widths: _Integers, starts: _Integers, n: int) -> _Integers:
    """As in decode_numpy: an element lies within the eight bytes from the one where it starts.

    Within four bytes where it is narrow, as a sensor's noise is: half the memory, half the time.
    """
    if int(widths.max()) <= NARROW_BITS and len(buffer.data) < MAX_NARROW_BYTES:
        narrow = widths.astype(np.int32)
        at32: NDArray[np.int32] = np.multiply(narrow, np.arange(n), dtype=np.int32, casting="unsafe")
        at32 += starts.astype(np.int32)
        shift = (32 - narrow) - (at32 & 7)
        at32 >>= 3
        words = buffer.big32[at32].astype(np.uint32)
        words >>= shift.view(np.uint32)
        words &= (np.left_shift(1, narrow) - 1).view(np.uint32)
        wide: _Integers = words.astype(np.int64)
        return wide
    at = starts + widths * np.arange(n)
    shifts = np.minimum((64 - widths) - (at & 7), 63)
    codes: _Integers = (buffer.big[at >> 3].astype(np.int64) >> shifts) & ((1 << widths) - 1)
    return codes


def _quotients(parts: Sequence[bytes], n: int) -> _Integers:
    """The unary parts of Rice columns, (columns, n): distances between the ones."""
    ends = 8 * np.cumsum([len(part) for part in parts])
    bits = np.unpackbits(np.frombuffer(b"".join(parts), dtype=np.uint8))
    ones = np.flatnonzero(bits.view(np.bool_))
    if ones.size != n * len(parts):
        raise _Irregular
    table = ones.reshape(len(parts), n)
    begins = np.append(0, ends[:-1])
    _must((table[:, 0] >= begins) & (table[:, -1] < ends))
    quotients: _Integers = np.empty_like(table)
    np.subtract(table[:, 1:], table[:, :-1], out=quotients[:, 1:])
    quotients[:, 1:] -= 1
    np.subtract(table[:, 0], begins, out=quotients[:, 0])
    return quotients


def _must(regular: NDArray[np.bool_]) -> None:
    if not regular.all():
        raise _Irregular
