"""The words of a query option (OGC 18-088, 9.3; OData 4.0 ABNF): text in, tokens with their places out."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from enum import StrEnum

from fleet_server.sensorthings.errors import bad
from fleet_server.sensorthings.geometry import BadGeometry, of_wkt
from fleet_server.sensorthings.syntax import Value

MAX_CHARACTERS = 8_000  # what proxies let through of an address
MAX_TOKENS = 1_500  # bounds the work of all that follows; a filter that people write has fifty
MAX_DURATION = timedelta(days=36_500)


class Kind(StrEnum):
    NAME = "a name"
    VALUE = "a value"
    MARK = "a mark"
    END = "the end"


@dataclass(frozen=True)
class Token:
    """`text` as it was written; `value` of a VALUE; `at` and `end`: its first character and the one after."""

    kind: Kind
    text: str
    at: int
    end: int
    value: Value = None

    def __str__(self) -> str:
        return "the end" if self.kind is Kind.END else repr(self.text[:40])


_NAME = r"[A-Za-z_@][\w.@]*"
_PATTERN = re.compile(
    r"(?P<space>\s+)"
    r"|(?P<geo>(?:geography|geometry)'(?:[^']|'')*')"
    r"|(?P<duration>duration'[^']*')"
    r"|(?P<text>'(?:[^']|'')*')"
    r"|(?P<instant>\d{4}-\d\d-\d\d[Tt]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?P<zone>[Zz]|[+-]\d\d:?\d\d)?)"
    r"|(?P<date>\d{4}-\d\d-\d\d)"
    r"|(?P<time>\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?)"
    r"|(?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d{1,4})?)"
    rf"|(?P<name>\$?{_NAME}(?:/{_NAME})*)"
    r"|(?P<mark>[(),;=*-])",
    re.ASCII,
)
_INSTANT = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?(?:[Zz]|([+-])(\d\d):?(\d\d))", re.ASCII
)
_DURATION = re.compile(
    r"P(?:(\d{1,6})D)?(?:T(?:(\d{1,6})H)?(?:(\d{1,6})M)?(?:(\d{1,9}(?:\.\d{1,6})?)S)?)?", re.ASCII
)
_WORDS: dict[str, Value] = {"true": True, "false": False, "null": None}


def tokens(option: str, text: str) -> list[Token]:
    """The words of `text`, an END after the last. Raises BadQuery that names the option and the place."""
    if len(text) > MAX_CHARACTERS:
        raise bad(option, MAX_CHARACTERS, f"longer than {MAX_CHARACTERS} characters")
    found: list[Token] = []
    at = 0
    while at < len(text):
        match = _PATTERN.match(text, at)
        if match is None:
            raise bad(option, at, _unreadable(text, at))
        if match.lastgroup != "space":
            found.append(_token(option, match))
        if len(found) > MAX_TOKENS:
            raise bad(option, at, f"more than {MAX_TOKENS} words")
        at = match.end()
    found.append(Token(Kind.END, "", len(text), len(text)))
    return found


def _unreadable(text: str, at: int) -> str:
    if text[at] == "'":
        return "this quote is not closed (a quote within a text is written twice: 'O''Hara')"
    return f"{text[at]!r} has no meaning here"


def _token(option: str, match: re.Match[str]) -> Token:
    text, at, end = match[0], match.start(), match.end()
    kind = Kind.VALUE
    value: Value = None
    match match.lastgroup:
        case "name" if text in _WORDS:
            value = _WORDS[text]
        case "name":
            kind = Kind.NAME
        case "mark":
            kind = Kind.MARK
        case "text":
            value = _text(option, text[1:-1], at)
        case "number":
            value = float(text)
            if not math.isfinite(value):
                raise bad(option, at, f"{text:.40} is too large a number")
        case "geo":
            value = _geometry(option, text, at)
        case "instant" | "zone":
            value = _instant(option, match, at)
        case _:
            value = _moment(option, text, at)
    return Token(kind, text, at, end, value)


def _text(option: str, inner: str, at: int) -> str:
    inner = inner.replace("''", "'")
    if "\0" in inner or any("\ud800" <= character <= "\udfff" for character in inner):
        raise bad(option, at, "this text has a character that no text of ours has")
    return inner


def _geometry(option: str, text: str, at: int) -> Value:
    try:
        return of_wkt(text[text.index("'") + 1 : -1])
    except BadGeometry as wrong:
        raise bad(option, at, str(wrong)) from None


def _instant(option: str, match: re.Match[str], at: int) -> datetime:
    text = match[0]
    parts = _INSTANT.fullmatch(text)
    if parts is None:
        raise bad(
            option, at, f"{text} has no time zone", "Write Z, or %2B01:00: a bare + is a space in an address."
        )
    year, month, day, hour, minute, second, fraction, sign, zone_hours, zone_minutes = parts.groups()
    zone = UTC
    if sign:
        offset = timedelta(hours=int(zone_hours), minutes=int(zone_minutes))
        if offset > timedelta(hours=14):
            raise bad(option, at, f"{text}: no place on earth is that far from UTC")
        zone = timezone(-offset if sign == "-" else offset)
    microsecond = int((fraction or "0").ljust(6, "0")[:6])
    try:
        found = datetime(
            int(year), int(month), int(day), int(hour), int(minute), int(second or 0), microsecond, zone
        )
        return found.astimezone(UTC)
    except (ValueError, OverflowError):
        raise bad(option, at, f"{text} is no instant of any calendar") from None


def _moment(option: str, text: str, at: int) -> Value:
    """A date, a time of day or a duration."""
    try:
        if text.startswith("duration"):
            return _duration(text[len("duration'") : -1])
        return date.fromisoformat(text) if "-" in text else time.fromisoformat(text[:15])
    except (ValueError, OverflowError):
        raise bad(option, at, f"{text:.60} is no date, time or duration") from None


def _duration(text: str) -> timedelta:
    """ISO 8601, days and shorter. Raises ValueError."""
    found = _DURATION.fullmatch(text)
    if found is None or not any(found.groups()):
        raise ValueError(text)
    days, hours, minutes, seconds = (float(part or 0) for part in found.groups())
    length = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    if length > MAX_DURATION:
        raise ValueError(text)
    return length
