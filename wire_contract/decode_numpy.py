"""The server's decoder: samples straight into numpy, the columns of a block all at once.

Gives what `envelope.decode` gives, refuses what it refuses (a test holds the two together); the
rest of the package needs no numpy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wire_contract.block_codec import ParsedBlock, check_range
from wire_contract.columns import Column
from wire_contract.envelope import Blocks, decode_body, open_body, parse_blocks
from wire_contract.errors import MalformedMessage, UnknownKind
from wire_contract.limits import INT32_MAX, INT32_MIN, MAX_TIME_MS, MIN_TIME_MS
from wire_contract.messages import Message

_WINDOW = b"\0" * 8  # so that the last element, too, has eight bytes to read from
_Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class NumpyBlock:
    """A SampleBlock as arrays: times_ms (rows,) int64; values (slots, rows) int32; flags (rows,) uint64."""

    unit: int
    slots: tuple[int, ...]
    times_ms: NDArray[np.int64]
    values: NDArray[np.int32]
    flags: NDArray[np.uint64]


def decode_samples(payload: bytes) -> list[NumpyBlock]:
    """The blocks of a SampleBatch. Raises a WireError; UnknownKind for another message."""
    content = decode_any(payload)
    if not isinstance(content, list):
        raise UnknownKind(f"{type(content).__name__}: expected samples")
    return content


def decode_any(payload: bytes) -> list[NumpyBlock] | Message:
    """Samples as arrays, every other message as `envelope.decode` gives it. Raises a WireError."""
    content = decode_body(open_body(payload))
    if not isinstance(content, Blocks):
        return content
    return [_arrays(block) for block in parse_blocks(content)]


def _arrays(block: ParsedBlock) -> NumpyBlock:
    n = block.rows
    table = _table(block.data, [block.times, *block.columns], n)
    times, values = table[0], table[1:]
    times += block.start_ms + block.step_ms * np.arange(n)
    check_range("time", int(times.min()), int(times.max()), MIN_TIME_MS, MAX_TIME_MS)
    check_range("value", int(values.min()), int(values.max()), INT32_MIN, INT32_MAX)
    lengths, words = zip(*block.flag_runs, strict=True)
    flags = np.repeat(np.array(words, dtype=np.uint64), lengths)
    return NumpyBlock(block.unit, block.slots, times, values.astype(np.int32), flags)


def _table(data: bytes, columns: list[Column], n: int) -> _Integers:
    """The values of all columns, (columns, n). columns.py says why 64 bits cannot overflow."""
    numbers = np.array([(c.width, 8 * c.bits_at, c.reference, c.first, c.differences) for c in columns])
    widths, starts, references, firsts, differences = numbers.T[:, :, None]
    table = _fixed_part(data, widths, starts, n)
    rice = [i for i, column in enumerate(columns) if column.rice]
    if rice:
        zigzag = table[rice] | (_quotients(data, [columns[i] for i in rice], n) << widths[rice])
        table[rice] = (zigzag >> 1) ^ -(zigzag & 1)
    table += references
    for i in np.flatnonzero(differences):
        np.cumsum(table[i], out=table[i])
        table[i] += firsts[i]
    return table


def _fixed_part(data: bytes, widths: _Integers, starts: _Integers, n: int) -> _Integers:
    """Each element lies within the eight bytes from the one where it starts: 7 + MAX_WIDTH_BITS < 64.

    The shift drops the bits behind the element, the mask those before it (and the sign that an
    arithmetic shift brings in). A width of 0 would shift by 64, which is undefined: any other does.
    """
    at = starts + widths * np.arange(n)
    words = np.ndarray((len(data) + 1,), dtype=">u8", buffer=data + _WINDOW, strides=(1,))
    shifts = np.minimum((64 - widths) - (at & 7), 63)
    codes: _Integers = (words[at >> 3].astype(np.int64) >> shifts) & ((1 << widths) - 1)
    return codes


def _quotients(data: bytes, columns: list[Column], n: int) -> _Integers:
    """The unary parts of Rice columns, (columns, n): distances between the ones. Raises MalformedMessage."""
    parts = [data[column.unary_at : column.end] for column in columns]
    ends = np.array([8 * len(part) for part in parts]).cumsum()
    ones = np.unpackbits(np.frombuffer(b"".join(parts), dtype=np.uint8)).nonzero()[0]
    counted = ones.searchsorted(ends)
    if ones.size != n * len(columns) or (counted != n * np.arange(1, len(columns) + 1)).any():
        raise MalformedMessage("not one quotient for each element of a column")
    table = ones.reshape(len(columns), n)
    before = np.empty_like(table)
    before[:, 1:] = table[:, :-1]
    before[0, 0] = -1
    before[1:, 0] = ends[:-1] - 1
    quotients: _Integers = table - before - 1
    return quotients
