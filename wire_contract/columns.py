"""A column of integers in few bytes, in pure Python: the device has no numpy.

A sensor's noise is white: coded against its middle it costs its own entropy, as a difference it
costs half a bit more. A slow drift is the other way round. So each column takes the smallest of
{as it is, differences} x {fixed width, Rice}; the choice is one byte, and a constant costs nothing
more than its value. Layout, all varints LEB128, all bits from the most significant:

    mode       bit 7: differences; bit 6: Rice; bits 0-5: width w (fixed, 0-48) or k (Rice, 0-32)
    reference  zigzag varint, added to every element
    first      zigzag varint, only for differences: value[i] = first + sum of elements 0 to i
    unary      varint, only for Rice: bytes of the unary part
    n times w (or k) bits, padded to a byte; then for Rice the unary part: each quotient as that
               many 0s and a 1, padded with 0s

A Rice element is zigzag(value - reference), its low k bits in the first part and the rest in the
second (Golomb 1966, Rice 1979): two parts, so that numpy can decode both without a loop.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import accumulate
from operator import sub
from typing import NamedTuple

from wire_contract.errors import MalformedMessage
from wire_contract.varints import MAX_MAGNITUDE, read_signed, read_unsigned, write_signed, write_unsigned

DIFFERENCES, RICE = 0x80, 0x40
MAX_WIDTH_BITS = 48  # 4096 elements of it add up to less than 2**62: no decoder overflows 64 bits
MAX_RICE_BITS = 32  # for the same reason: quotients in one message add up to less than 2**23
MAX_VALUE = 2**45  # differences of two such fit MAX_WIDTH_BITS; a time in ms has 42 bits
_FIRST_BITS = 16  # what storing `first` costs, about


class Column(NamedTuple):
    """A parsed column: where its bits lie in the buffer. `width` is w, or k for Rice."""

    differences: bool
    rice: bool
    width: int
    reference: int
    first: int
    bits_at: int  # byte offset of the fixed part
    unary_at: int  # byte offset of the unary part
    end: int  # byte offset behind the column


class _Plan(NamedTuple):
    cost_bits: int
    mode: int
    reference: int
    codes: list[int]


def encode_column(values: Sequence[int]) -> bytes:
    """`values`: n >= 1 integers within +-MAX_VALUE. Raises MalformedMessage."""
    low, high = min(values), max(values)
    if low < -MAX_VALUE or high > MAX_VALUE:
        raise MalformedMessage(f"column from {low} to {high}: beyond {MAX_VALUE}")
    if low == high:
        return b"\x00" + write_signed(low)
    steps = list(map(sub, values[1:], values))
    plan = min(_plans(values, 0), _plans(steps, DIFFERENCES), key=_cost)
    out = bytearray((plan.mode,))
    out += write_signed(plan.reference)
    codes = plan.codes
    if plan.mode & DIFFERENCES:
        # The first element stands for a step of `reference`, whose code is 0 either way.
        out += write_signed(values[0] - plan.reference)
        codes = [0, *codes]
    width = plan.mode & 0x3F
    if not plan.mode & RICE:
        out += _pack(codes, width)
        return bytes(out)
    unary = _bits_to_bytes("".join(["0" * (code >> width) + "1" for code in codes]))
    out += write_unsigned(len(unary))
    mask = (1 << width) - 1
    out += _pack([code & mask for code in codes], width)
    out += unary
    return bytes(out)


def decode_column(data: bytes, n: int) -> list[int]:
    """The inverse of `encode_column`; all of `data` must be the column. Raises MalformedMessage."""
    column = parse_column(data, 0, n)
    if column.end != len(data):
        raise MalformedMessage(f"{len(data) - column.end} bytes behind a column")
    return column_values(data, column, n)


def parse_column(data: bytes, at: int, n: int) -> Column:
    """Find the column of `n` elements that starts at byte `at`. Raises MalformedMessage."""
    if at >= len(data):
        raise MalformedMessage("a column is missing")
    mode = data[at]
    differences, rice, width = bool(mode & DIFFERENCES), bool(mode & RICE), mode & 0x3F
    if width > (MAX_RICE_BITS if rice else MAX_WIDTH_BITS):
        raise MalformedMessage(f"column mode {mode:#x}: {width} bits an element")
    reference, at = read_signed(data, at + 1)
    first, unary = 0, 0
    if differences:
        first, at = read_signed(data, at)
    if rice:
        unary, at = read_unsigned(data, at)
    unary_at = at + (n * width + 7) // 8
    end = unary_at + unary
    if end > len(data):
        raise MalformedMessage(f"a column ends {end - len(data)} bytes behind its block")
    return Column(differences, rice, width, reference, first, at, unary_at, end)


def column_values(data: bytes, column: Column, n: int) -> list[int]:
    """The `n` values of a parsed column. Raises MalformedMessage."""
    codes = _unpack(data[column.bits_at : column.unary_at], column.width, n)
    reference = column.reference
    if column.rice:
        quotients = _unary(data[column.unary_at : column.end], n)
        zigzag = [(q << column.width) | low for q, low in zip(quotients, codes, strict=True)]
        elements = [reference + ((z >> 1) ^ -(z & 1)) for z in zigzag]
    else:
        elements = [reference + code for code in codes]
    if column.differences:
        elements[0] += column.first
        return list(accumulate(elements))
    return elements


def _cost(plan: _Plan) -> int:
    return plan.cost_bits


def _plans(values: Sequence[int], transform: int) -> _Plan:
    """The cheaper of fixed width and Rice for these elements. Costs leave varints out but for `first`."""
    n = len(values)
    extra = _FIRST_BITS if transform else 0
    low = min(values)
    width = (max(values) - low).bit_length()
    fixed_bits = n * width + extra
    middle = sorted(values)[n // 2]
    codes = [(v - middle) << 1 if v >= middle else ((middle - v) << 1) - 1 for v in values]
    k, rice_bits = _rice_parameter(codes)
    rice_bits += extra + 8
    if fixed_bits <= rice_bits:
        return _Plan(fixed_bits, transform | width, low, [v - low for v in values])
    return _Plan(rice_bits, transform | RICE | k, middle, codes)


def _rice_parameter(codes: list[int]) -> tuple[int, int]:
    """The best k and its bits. The optimum lies next to log2(mean * ln 2) (Kiely 2004); both are tried."""
    n = len(codes)
    guess = max(0, (sum(codes) * 7 // (10 * n)).bit_length() - 1)
    candidates = (min(guess, MAX_RICE_BITS), min(guess + 1, MAX_RICE_BITS))
    costs = [(n * (k + 1) + sum([code >> k for code in codes]), k) for k in candidates]
    bits, k = min(costs)
    return k, bits


@cache
def _digits(width: int) -> list[str]:
    return [format(code, f"0{width}b") for code in range(1 << width)]


def _pack(codes: list[int], width: int) -> bytes:
    if width == 0:
        return b""
    if width == 8:
        return bytes(codes)
    if width <= 10:  # tables of at most 1024 short strings
        digits = _digits(width)
        return _bits_to_bytes("".join([digits[code] for code in codes]))
    return _bits_to_bytes("".join(map(f"{{:0{width}b}}".format, codes)))


def _bits_to_bytes(bits: str) -> bytes:
    size = (len(bits) + 7) // 8
    return (int(bits, 2) << (8 * size - len(bits))).to_bytes(size, "big")


def _bytes_to_bits(data: bytes) -> str:
    return bin(int.from_bytes(b"\x01" + data, "big"))[3:]


def _unpack(data: bytes, width: int, n: int) -> list[int]:
    if width == 0:
        return [0] * n
    bits = _bytes_to_bits(data)
    return [int(bits[i : i + width], 2) for i in range(0, n * width, width)]


def _unary(data: bytes, n: int) -> list[int]:
    zeros = _bytes_to_bits(data).split("1")
    if len(zeros) != n + 1:
        raise MalformedMessage(f"{len(zeros) - 1} quotients in a column of {n}")
    return [len(run) for run in zeros[:-1]]


__all__ = ["MAX_MAGNITUDE", "Column", "column_values", "decode_column", "encode_column", "parse_column"]
