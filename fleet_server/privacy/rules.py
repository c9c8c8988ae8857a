"""Names and what stands for them. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

TOMBSTONE = "erased-"  # and eight hexadecimal digits, which tell two erased people apart
NAMES_MOST = 10
NAME_MOST_CHARACTERS = 200
NAME_LEAST_CHARACTERS = 2  # a letter is in every text


def name_problem(names: Sequence[str]) -> str | None:
    """What is wrong with the names that somebody goes by, or None."""
    if not 1 <= len(names) <= NAMES_MOST:
        return f"give one to {NAMES_MOST} names"
    for name in names:
        if not NAME_LEAST_CHARACTERS <= len(name.strip()) <= NAME_MOST_CHARACTERS or not name.isprintable():
            return f"a name has {NAME_LEAST_CHARACTERS} to {NAME_MOST_CHARACTERS} printable characters"
        if is_tombstone(name):
            return "a tombstone is nobody's name"
    return None


def is_tombstone(name: str) -> bool:
    return re.fullmatch(TOMBSTONE + r"[0-9a-f]{8}|erased", name) is not None


def pattern(names: Sequence[str]) -> str:
    """A PostgreSQL regular expression (ARE) that finds one of the names as whole words.

    "ana" is not found in "ana-maria", "banana" or "ana.silva": these are others.
    """
    words = "|".join(re.sub(r"([^\w\s])", r"\\\1", name.strip()) for name in names)
    return rf"(?<![[:alnum:]_-])(?<![[:alnum:]]\.)({words})(?![[:alnum:]_-]|\.[[:alnum:]])"
