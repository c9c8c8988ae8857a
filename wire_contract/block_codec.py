"""One SampleBlock as one byte string, and what both decoders share: finding its parts.

unit       varint, 0 to 65535
slots      varint, bit i set for slot i
n          varint, 1 to MAX_ROWS
start      zigzag varint, ms; the first time, about
step       zigzag varint, ms
times      column of n: time[i] - start - i * step
values     one column of n for each slot, ascending
flags      varint w. 0: GOOD in every slot of the block, NOT_SET elsewhere, in every row.
           Else w words (varint, exclusive-or with that); behind them, when w > 1: the number of
           runs (varint), a column of their lengths, a column of their words' indices
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from wire_contract.columns import Column, column_values, encode_column, parse_column
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
from wire_contract.messages import SampleBlock
from wire_contract.varints import read_signed, read_unsigned, write_signed, write_unsigned


class ParsedBlock(NamedTuple):
    """Where everything lies, with the flags already expanded to runs: (rows, word)."""

    data: bytes
    unit: int
    slots: tuple[int, ...]
    rows: int
    start_ms: int
    step_ms: int
    times: Column
    columns: list[Column]
    flag_runs: list[tuple[int, int]]


def encode_block(block: SampleBlock) -> bytes:
    """Raises MalformedMessage where the block breaks the contract of SampleBlock."""
    n = len(block.times_ms)
    _check(block, n)
    start = block.times_ms[0]
    step = round((block.times_ms[-1] - start) / (n - 1)) if n > 1 else 0
    out = bytearray(write_unsigned(block.unit))
    out += write_unsigned(sum(1 << slot for slot in block.slots))
    out += write_unsigned(n)
    out += write_signed(start)
    out += write_signed(step)
    out += encode_column(
        [time - line for time, line in zip(block.times_ms, _line(start, step, n), strict=True)]
    )
    for column in block.columns:
        out += encode_column(column)
    out += _encode_flags(block.flags, good_word(block.slots))
    return bytes(out)


def expand_block(block: ParsedBlock) -> SampleBlock:
    """In pure Python. Raises MalformedMessage where a value or a time is beyond its limits."""
    data, n = block.data, block.rows
    line = _line(block.start_ms, block.step_ms, n)
    residuals = column_values(data, block.times, n)
    times = [a + b for a, b in zip(line, residuals, strict=True)]
    check_range("time", min(times), max(times), MIN_TIME_MS, MAX_TIME_MS)
    columns = tuple(column_values(data, column, n) for column in block.columns)
    for column in columns:
        check_range("value", min(column), max(column), INT32_MIN, INT32_MAX)
    flags = [word for rows, word in block.flag_runs for _ in range(rows)]
    return SampleBlock(block.unit, block.slots, times, columns, flags)


def parse_block(data: bytes) -> ParsedBlock:
    """Raises MalformedMessage. Nothing is allocated before the counts are within their limits."""
    unit, at = read_unsigned(data, 0)
    mask, at = read_unsigned(data, at)
    n, at = read_unsigned(data, at)
    check_range("unit", unit, unit, 0, MAX_UNIT_KEY)
    check_range("slots", mask, mask, 1, (1 << MAX_SLOTS) - 1)
    check_range("rows", n, n, 1, MAX_ROWS)
    slots = tuple(slot for slot in range(MAX_SLOTS) if mask >> slot & 1)
    start, at = read_signed(data, at)
    step, at = read_signed(data, at)
    times = parse_column(data, at, n)
    at = times.end
    columns = []
    for _ in slots:
        column = parse_column(data, at, n)
        columns.append(column)
        at = column.end
    runs, at = _parse_flags(data, at, n, good_word(slots))
    if at != len(data):
        raise MalformedMessage(f"{len(data) - at} bytes behind a block")
    return ParsedBlock(data, unit, slots, n, start, step, times, columns, runs)


def check_range(what: str, low: int, high: int, least: int, most: int) -> None:
    """Raises MalformedMessage unless least <= low and high <= most."""
    if low < least or high > most:
        raise MalformedMessage(f"{what} {low if low < least else high}: allowed are {least} to {most}")


def _line(start: int, step: int, n: int) -> Sequence[int]:
    return range(start, start + step * n, step) if step else [start] * n


def _check(block: SampleBlock, n: int) -> None:
    check_range("rows", n, n, 1, MAX_ROWS)
    check_range("unit", block.unit, block.unit, 0, MAX_UNIT_KEY)
    slots = block.slots
    if not slots or list(slots) != sorted(set(slots)):
        raise MalformedMessage(f"slots {slots!r:.80}: strictly ascending, at least one")
    check_range("slot", slots[0], slots[-1], 0, MAX_SLOTS - 1)
    if len(block.columns) != len(slots) or len(block.flags) != n:
        raise MalformedMessage(
            f"{len(slots)} slots, {len(block.columns)} columns, {n} times, {len(block.flags)} flags"
        )
    check_range("time", min(block.times_ms), max(block.times_ms), MIN_TIME_MS, MAX_TIME_MS)
    check_range("flags", min(block.flags), max(block.flags), 0, 2**64 - 1)
    array("q", block.times_ms)  # raises TypeError for what is not an integer, as below
    for column in block.columns:
        if len(column) != n:
            raise MalformedMessage(f"a column of {len(column)} values beside {n} times")
        check_range("value", min(column), max(column), INT32_MIN, INT32_MAX)
        array("i", column)


def _encode_flags(flags: Sequence[int], good: int) -> bytes:
    words = list(dict.fromkeys(flags))
    if words == [good]:
        return b"\x00"
    out = bytearray(write_unsigned(len(words)))
    for word in words:
        out += write_unsigned(word ^ good)
    if len(words) > 1:
        runs = [(len(list(rows)), words.index(word)) for word, rows in groupby(flags)]
        out += write_unsigned(len(runs))
        out += encode_column([length for length, _ in runs])
        out += encode_column([index for _, index in runs])
    return bytes(out)


def _parse_flags(data: bytes, at: int, n: int, good: int) -> tuple[list[tuple[int, int]], int]:
    count, at = read_unsigned(data, at)
    if count == 0:
        return [(n, good)], at
    check_range("flag words", count, count, 1, n)
    words = []
    for _ in range(count):
        word, at = read_unsigned(data, at)
        words.append(word ^ good)
    if count == 1:
        return [(n, words[0])], at
    runs, at = read_unsigned(data, at)
    check_range("flag runs", runs, runs, 1, n)
    parts = []
    for _ in range(2):
        column = parse_column(data, at, runs)
        parts.append(column_values(data, column, runs))
        at = column.end
    lengths, indices = parts
    check_range("flag run", min(lengths), max(lengths), 1, n)
    check_range("flag word", min(indices), max(indices), 0, count - 1)
    if sum(lengths) != n:
        raise MalformedMessage(f"flags for {sum(lengths)} of {n} rows")
    return [(length, words[index]) for length, index in zip(lengths, indices, strict=True)], at
