"""Names and what stands for them. Pure.

A name is looked for with one regular expression that PostgreSQL and Python read the same way. It spells out
what "the same name" means, and leaves nothing to a database's locale: case, composed and decomposed letters
(NFC, NFD), any blanks between its words, typographic apostrophes and hyphens.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

TOMBSTONE = "erased-"  # and eight hexadecimal digits, which tell two erased people apart
NAMES_MOST = 10
NAME_MOST_CHARACTERS = 200
NAME_LEAST_CHARACTERS = 2  # a letter is in every text

_BLANKS = "[ \t-\r\x85\xa0\u1680\u2000-\u200b\u2028\u2029\u202f\u205f\u3000]+"
_ALIKE = ("'\u2019\u02bc", "-\u2010\u2011")  # a phone's keyboard writes another one than a desk's
# Past it begin scripts that are written without blanks between words (Chinese, Japanese): there, and in the
# others below, a letter beside a name is no sign of another name.
LAST_LETTER = 0x2E7F
_NO_BLANKS = (
    range(0x0E00, 0x0F00),
    range(0x1000, 0x10A0),
    range(0x1780, 0x1800),
)  # Thai, Lao, Burmese, Khmer


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
    return re.fullmatch(TOMBSTONE + r"[0-9a-f]{8}|erased", name.strip().lower()) is not None


def forms(names: Sequence[str]) -> list[str]:
    """The names as they may lie where they are a whole value: composed and decomposed."""
    return list(dict.fromkeys(unicodedata.normalize(form, name) for name in names for form in ("NFC", "NFD")))


def in_full(names: Sequence[str]) -> list[str]:
    """Those of more than one word, which are hardly another's."""
    return [name for name in names if len(name.split()) > 1]


def in_documents(names: Sequence[str]) -> list[str]:
    """The names as they may lie in an HTML file's bytes."""
    return list(dict.fromkeys(each for name in forms(names) for each in (name, html.escape(name))))


def pattern(names: Sequence[str]) -> str:
    """A regular expression that finds one of the names as whole words, for PostgreSQL's `~` and for `re`.

    "ana" is not found in "ana-maria", "banana" or "ana.silva": these are others.
    """
    letter = letters()
    return rf"(?<![{letter}])(?<![{letter}][.-])({_any_of(names)})(?![{letter}]|[.-][{letter}])"


def whole(names: Sequence[str]) -> str:
    """The same, for a value that is one of the names and nothing else."""
    return rf"^\s*({_any_of(names)})\s*$"


def replaced(value: Any, found: re.Pattern[str], tombstone: str) -> Any:
    """A JSON value with the tombstone in the place of what is found in its texts, keys of objects included.

    Two keys that become the same stay two: the second has " 2" behind it.
    """
    match value:
        case str():
            return found.sub(tombstone, value)
        case list():
            return [replaced(inner, found, tombstone) for inner in value]
        case Mapping():
            made: dict[str, Any] = {}
            for key, inner in value.items():
                made[_free(found.sub(tombstone, key), made)] = replaced(inner, found, tombstone)
            return made
    return value


def _free(key: str, taken: Mapping[str, Any]) -> str:
    number, free = 1, key
    while free in taken:
        number += 1
        free = f"{key} {number}"
    return free


def _any_of(names: Sequence[str]) -> str:
    """The longest first: Python takes the first that fits, PostgreSQL the longest."""
    as_given = dict.fromkeys(each for name in names for each in (name, unicodedata.normalize("NFC", name)))
    spelled = {_BLANKS.join(map(_spelled, name.split())) for name in as_given}
    return "|".join(sorted(spelled, key=len, reverse=True))


def _spelled(word: str) -> str:
    return "".join(_one_of(list(_spellings(each))) for each in word)


def _spellings(letter: str) -> Iterator[str]:
    for alike in _ALIKE:
        if letter in alike:
            yield from alike
            return
    for cased in dict.fromkeys((letter, letter.lower(), letter.upper(), letter.casefold())):
        yield from (cased, unicodedata.normalize("NFC", cased), unicodedata.normalize("NFD", cased))


def _one_of(spellings: Sequence[str]) -> str:
    literal = [re.sub(r"([!-/:-@\[-^`{-~])", r"\\\1", each) for each in dict.fromkeys(spellings)]
    return literal[0] if len(literal) == 1 else f"(?:{'|'.join(literal)})"


@cache
def letters() -> str:
    """Ranges, for a bracket, of what continues a word: letters, marks, digits, the underscore."""
    kept = [
        code
        for code in range(LAST_LETTER + 1)
        if (unicodedata.category(chr(code))[0] in "LMN" or chr(code) == "_")
        and not any(code in script for script in _NO_BLANKS)
    ]
    ranges: list[list[int]] = []
    for code in kept:
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return "".join(f"{chr(first)}-{chr(last)}" for first, last in ranges)
