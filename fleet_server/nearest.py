"""What somebody may have meant who wrote a name that there is not."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

LISTED_MOST = 24  # more names than that are no help


def told(name: str, known: Iterable[str]) -> str:
    """One sentence: the nearest of `known`, or which there are; where there are too many: "" (nothing)."""
    there = sorted(set(known))
    near = get_close_matches(name, there, 1)
    if near:
        return f"Did you mean {near[0]}?"
    return f"There are: {', '.join(there) or 'none'}." if len(there) <= LISTED_MOST else ""
