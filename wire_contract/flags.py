"""Quality flags: four bits a slot, sixteen slots in one unsigned 64-bit word, slot i in bits 4i to 4i+3.

Source: QARTOD's primary flags (IOC 54:V3; 1 good, 2 not evaluated, 3 suspect, 4 fail, 9 missing),
with the test that decided kept beside the verdict.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

from wire_contract.errors import MalformedMessage
from wire_contract.limits import MAX_SLOTS


class Flag(IntEnum):
    NOT_SET = 0
    GOOD = 1
    UNKNOWN = 2
    SUSPECT = 3
    FAIL = 4
    SUSPECT_RANGE = 5
    SUSPECT_SPIKE = 6
    SUSPECT_RATE = 7
    SUSPECT_FLAT = 8
    MISSING = 9
    FAIL_RANGE = 10
    FAIL_SPIKE = 11
    FAIL_RATE = 12
    FAIL_FLAT = 13
    TIME_CORRECTED = 14
    RESERVED = 15

    @property
    def qartod(self) -> int:
        """The primary flag: 1 good, 2 not evaluated or unknown, 3 suspect, 4 fail, 9 missing."""
        return _QARTOD[self]


_QARTOD: dict[Flag, int] = {
    Flag.NOT_SET: 2,
    Flag.GOOD: 1,
    Flag.UNKNOWN: 2,
    Flag.SUSPECT: 3,
    Flag.FAIL: 4,
    Flag.SUSPECT_RANGE: 3,
    Flag.SUSPECT_SPIKE: 3,
    Flag.SUSPECT_RATE: 3,
    Flag.SUSPECT_FLAT: 3,
    Flag.MISSING: 9,
    Flag.FAIL_RANGE: 4,
    Flag.FAIL_SPIKE: 4,
    Flag.FAIL_RATE: 4,
    Flag.FAIL_FLAT: 4,
    Flag.TIME_CORRECTED: 1,  # the value is good; its time was set right after the fact
    Flag.RESERVED: 2,
}


def pack_flags(flags: Sequence[int]) -> int:
    """Up to sixteen flags, slot 0 first, as one unsigned 64-bit word. Raises MalformedMessage."""
    if len(flags) > MAX_SLOTS:
        raise MalformedMessage(f"{len(flags)} flags: at most {MAX_SLOTS} slots")
    word = 0
    for slot, flag in enumerate(flags):
        if not 0 <= flag <= 15:
            raise MalformedMessage(f"flag {flag} of slot {slot}: four bits")
        word |= int(flag) << (4 * slot)
    return word


def unpack_flags(word: int) -> tuple[int, ...]:
    """The sixteen flags of a word, slot 0 first. Raises MalformedMessage."""
    if not 0 <= word < 2**64:
        raise MalformedMessage(f"flags {word}: an unsigned 64-bit word")
    return tuple((word >> shift) & 15 for shift in range(0, 64, 4))


def good_word(slots: Sequence[int]) -> int:
    """The word that says GOOD for each of these slots and NOT_SET for the others."""
    return sum(int(Flag.GOOD) << (4 * slot) for slot in slots)
