"""Integers in as few bytes as they need: LEB128, seven bits a byte, smallest first; signed ones zigzag."""

from __future__ import annotations

from wire_contract.errors import MalformedMessage

MAX_MAGNITUDE = 2**49  # of a signed one: 4096 of them add up to less than 2**62
_MAX_SHIFT = 63  # the tenth byte's


def write_unsigned(value: int) -> bytes:
    """0 <= value < 2**64."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def write_signed(value: int) -> bytes:
    """Within +-MAX_MAGNITUDE."""
    return write_unsigned(value << 1 if value >= 0 else (-value << 1) - 1)


def read_unsigned(data: bytes, at: int) -> tuple[int, int]:
    """The value at byte `at`, below 2**64, and the offset behind it. Raises MalformedMessage."""
    if at < len(data) and data[at] < 0x80:  # most are
        return data[at], at + 1
    value = 0
    for shift in range(0, _MAX_SHIFT + 1, 7):
        if at >= len(data):
            raise MalformedMessage("a varint is cut off")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >= 2**64:
                break
            return value, at
    raise MalformedMessage("a varint beyond 64 bits")


def read_signed(data: bytes, at: int) -> tuple[int, int]:
    """The zigzag value at byte `at`, within +-MAX_MAGNITUDE. Raises MalformedMessage."""
    if at < len(data) and data[at] < 0x80:
        code, at = data[at], at + 1
    else:
        code, at = read_unsigned(data, at)
    if code > 2 * MAX_MAGNITUDE:
        raise MalformedMessage(f"a signed varint beyond {MAX_MAGNITUDE}")
    return (code >> 1) ^ -(code & 1), at
