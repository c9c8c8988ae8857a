"""How else a name may be written: without its accents, in another order, with names between. Pure.

A person who asks is found by what a clerk types; what is found so is a question for people, never erased by
itself. PostgreSQL sorts out by `likeness`, which finds too much; `spellings` decides.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import groupby

from fleet_server.privacy import rules

BETWEEN_MOST = 2  # other names between those asked for: "José Maria dos Álvares"
SORTED_BY = 3  # words of a name that PostgreSQL looks for, the longest
_APART = re.compile(r"\s*,\s*|[\s\u200b]+")
_AFTER_INITIAL = re.compile(r"\.?(?:\s*,\s*|[\s\u200b]+)|\.")
# The general accents alone: of other scripts' marks many are vowels, and make another name.
_MARKS = "\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"
_ACCENT = re.compile(f"[{_MARKS}]")
_LIKE = str.maketrans(dict.fromkeys("\u2019\u02bc", "'") | dict.fromkeys("\u2010\u2011", "-"))


def folded(text: str) -> str:
    """Without accents and case. Letters with a stroke (ø, ł, đ) and æ are letters of their own."""
    bare = _ACCENT.sub("", unicodedata.normalize("NFKD", text.casefold()))
    return bare.casefold().translate(_LIKE)


def words(name: str) -> list[str]:
    """Its words, folded."""
    return [each for each, _, _ in _words(name)]


def likeness(name: str) -> list[str]:
    """Regular expressions for PostgreSQL's `~`: where one is not found, no spelling of the name is."""
    sought = sorted(dict.fromkeys(words(name)), key=len, reverse=True)[:SORTED_BY]
    return ["".join(_any_number(letter, len(list(run))) for letter, run in groupby(word)) for word in sought]


def spellings(text: str, name: str, *, whole: bool = False) -> Iterator[str]:
    """Where all words of the name stand side by side, in any order, as it is written there.

    whole: `text` is a name and nothing else, so one word is found there only if it is all of it.
    """
    wanted, there = words(name), _words(text)
    if not wanted or (whole and len(wanted) == 1 and len(there) != 1):
        return
    for first in range(len(there)):
        last = _last(wanted, there, first, text)
        if last is not None:
            yield text[there[first][1] : there[last][2]]


def _last(wanted: Sequence[str], there: Sequence[tuple[str, int, int]], first: int, text: str) -> int | None:
    """The place of the last word of a spelling that begins at `first`; None where none does."""
    missing, between = Counter(wanted), 0
    if not missing[there[first][0]]:
        return None
    for place in range(first, len(there)):
        word, begins, _ = there[place]
        if place > first and not _beside(there[place - 1], begins, text):
            return None
        if missing[word]:
            missing[word] -= 1
        else:
            between += 1
        if not any(missing.values()):
            return place
        if between > BETWEEN_MOST:
            return None
    return None


def _beside(before: tuple[str, int, int], begins: int, text: str) -> bool:
    apart = _AFTER_INITIAL if len(before[0]) == 1 else _APART
    return apart.fullmatch(text, before[2], begins) is not None


def _words(text: str) -> list[tuple[str, int, int]]:
    """(folded, where it begins, where it ends). A genitive's 's is none of a name."""
    found = []
    for each in _word().finditer(text):
        word = folded(each[0])
        bare = word.removesuffix("'s")
        found.append((bare, each.start(), each.end() - (len(word) - len(bare))))
    return found


@cache
def _word() -> re.Pattern[str]:
    letter = rules.letters()
    return re.compile(rf"[{letter}]+(?:[.\-'\u2019\u02bc\u2010\u2011][{letter}]+)*")


def _any_number(letter: str, run: int) -> str:
    """A letter that stands there `run` times, or fewer: ß is two of them."""
    one = f"(?:[{_written()[letter]}][{_MARKS}]*)"
    return one if run == 1 else f"{one}{{1,{run}}}"


@cache
def _written() -> defaultdict[str, str]:
    """For a bracket: how a folded letter may be written, in one code point."""
    found: defaultdict[str, str] = _Itself()
    for code in range(rules.LAST_LETTER + 1):
        letter = chr(code)
        if unicodedata.category(letter)[0] != "L":
            continue
        for part in set(folded(letter)):
            found[part] = found.get(part, "") + letter
    found["'"], found["-"] = "'\u2019\u02bc", "\u2010\u2011-"  # the plain hyphen last: no range
    return found


class _Itself(defaultdict[str, str]):
    def __missing__(self, letter: str) -> str:
        return f"\\{letter}" if letter in r"\]^-[" else letter
