"""What a city's issuing authorities are called: their number tells a former one from the next. Pure.

An issuing authority cannot make another one, and its name stands in its own certificate, which the root has
signed: whoever has a former one's key cannot call itself by a later number.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

# "Porto issuing authority" is the first one's common name, "Porto issuing authority 2" its successor's.
_ISSUING = re.compile(r"(.+) issuing authority(?: ([0-9]{1,4}))?", re.DOTALL)


def issuing_name(city: str, number: int) -> str:
    """The common name of a city's issuing authority; the first one's number is 1. A number that was ever
    given is not given again: a name that we trust says whose certificate it is."""
    return f"{city} issuing authority" + (f" {number}" if number > 1 else "")


def is_retired(name: str, trusted: Iterable[str]) -> bool:
    """Has an issuing authority given way to a newer one that we know, and do we trust it no longer?

    name, trusted: common names. False of one that comes after all that we know, and of what is not named so.
    """
    known = set(trusted)
    this = _ISSUING.fullmatch(name)
    if this is None or name in known:
        return False
    numbers = [_number(each) for each in map(_ISSUING.fullmatch, known) if each and each[1] == this[1]]
    return bool(numbers) and _number(this) < max(numbers)


def _number(name: re.Match[str]) -> int:
    return int(name[2] or 1)
