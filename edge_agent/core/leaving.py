"""The one way out: what the agent says on the wire becomes bytes here, and only as core/allow_list.py has it.

A message, a channel or a field that is not listed is refused whole, as a field cannot be taken out of a
message without the others losing their places. An entry of a map or of a list (a setting, a verdict of
another kind) stays behind alone, and the rest leaves: a lamppost must not fall silent over one key. Pure.
A test of tests/arch sees to it that nothing else in edge_agent encodes a message.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, assert_never

import msgspec

from air_quality.place import ALPHABET
from edge_agent.core.allow_list import FIELDS, FINEST_CELL, LEAVES, AsIs, Cell, Each, Keys, OneOf, Rule, Words
from edge_agent.errors import NotAllowedOut
from wire_contract.classes import Class
from wire_contract.envelope import encode
from wire_contract.messages import Message
from wire_contract.topics import Up, class_channel

Stayed = Callable[[str], None]  # called with the name of each entry that stays, never with its value

# Decimal degrees from three digits on are 100 m or better; 192.168.1.2 and 1.25 are no degrees, but no octet
# and no version has four digits. Beside the ASCII point: the Arabic, the full-width and the middle one.
_POINT = "[.\u066b\uff0e\u00b7]"
_DEGREES = re.compile(
    rf"(?<!\d)(-?\d{{1,3}})(?:{_POINT}|,)\d{{4,}}|(?<![\d.])(-?\d{{1,3}}){_POINT}\d{{3}}(?!\d|\.\d)"
)
# Degrees and minutes, perhaps seconds: 52°30'58.6" is 3 m. The fraction may already be cut.
_SEXAGESIMAL = re.compile(
    r"(\d{1,3})\s*[°º]\s*\d{1,2}(?:[.,](?:\d+|…))?\s*['\u2032\u2019]"
    r"(?:\s*\d{1,2}(?:[.,](?:\d+|…))?\s*(?:[\"\u2033\u201d]|'')?)?"
)
# An open location code: four characters are a degree, ten are 14 m.
_PLUS_CODE = re.compile(r"\b([2-9CFGHJMPQRVWX]{4})[2-9CFGHJMPQRVWX]{0,4}\+[2-9CFGHJMPQRVWX]{2,3}\b")
_ANY_WORDS = Words("under a listed prefix")
_CELL = re.compile(f"[{ALPHABET}]{{1,{FINEST_CELL}}}")


def leave(where: Up | Class, message: Message, stayed: Stayed = lambda _name: None) -> bytes:
    """The message's bytes for a channel, or a spooled class. Raises NotAllowedOut, and what `encode` does.

    `stayed` hears of each entry that was left out.
    """
    channel = class_channel(where) if isinstance(where, Class) else where
    if type(message) not in LEAVES[channel]:
        raise NotAllowedOut(f"{type(message).__name__} is not listed for {channel}")
    return encode(_allowed(message, stayed))


def coarse(text: str) -> str:
    """The text with every coordinate cut to whole degrees, about 100 km."""
    text = _DEGREES.sub(lambda found: f"{found[1] or found[2]}.…", text)
    return _PLUS_CODE.sub(r"\1+…", _SEXAGESIMAL.sub(r"\1°…", text))


@cache
def unlisted(kind: type) -> frozenset[str]:
    """The fields of a type, and of what it holds, that the list does not name."""
    rules = FIELDS.get(kind, {})
    names: tuple[str, ...] = getattr(kind, "__struct_fields__", ())
    missing = {f"{kind.__name__}.{name}" for name in names if name not in rules}
    held = [rule.of for rule in rules.values() if isinstance(rule, Each)]
    return frozenset(missing.union(*(unlisted(each) for each in held)))


@cache
def _to_look_at(kind: type) -> tuple[tuple[str, Rule], ...]:
    """The fields that may have to change on their way out; none of a batch of samples."""
    return tuple(
        (name, rule)
        for name, rule in FIELDS[kind].items()
        if not isinstance(rule, AsIs) and not (isinstance(rule, Each) and not _to_look_at(rule.of))
    )


def _allowed(message: Any, stayed: Stayed) -> Any:
    kind: type = type(message)
    if unlisted(kind):
        raise NotAllowedOut(f"not listed: {', '.join(sorted(unlisted(kind)))}")
    changes = {}
    for name, rule in _to_look_at(kind):
        before = getattr(message, name)
        after = _by(rule, before, f"{kind.__name__}.{name}", stayed)
        if after != before:
            changes[name] = after
    return msgspec.structs.replace(message, **changes) if changes else message


def _by(rule: Rule, value: Any, name: str, stayed: Stayed) -> Any:
    """What of a value leaves. Raises NotAllowedOut where nothing may, or nothing is left."""
    match rule:
        case AsIs():
            return value
        case Words():
            return coarse(value) if isinstance(value, str) else value
        case Cell():
            if not isinstance(value, str) or not _CELL.fullmatch(value):
                raise NotAllowedOut(name)
            return value
        case OneOf(values=allowed):
            if value not in allowed:
                raise NotAllowedOut(name)
            return value
        case Each():
            return None if value is None else _each(value, name, stayed)
        case Keys():
            return _keys(rule, value, name, stayed)
        case _:
            assert_never(rule)


def _each(values: Sequence[Any], name: str, stayed: Stayed) -> tuple[Any, ...]:
    kept = []
    for value in values:
        try:
            kept.append(_allowed(value, stayed))
        except NotAllowedOut as error:
            stayed(error.detail)
    if values and not kept:
        raise NotAllowedOut(f"{name}: nothing of it is listed")
    return tuple(kept)


def _keys(rule: Keys, entries: Mapping[str, Any], name: str, stayed: Stayed) -> dict[str, Any]:
    kept = {}
    for key, value in entries.items():
        where = f"{name}[{key}]"
        known = rule.rules.get(key) or (_ANY_WORDS if rule.prefix and key.startswith(rule.prefix) else None)
        try:
            if known is None:
                raise NotAllowedOut(where)
            kept[key] = _by(known, value, where, stayed)
        except NotAllowedOut as error:
            stayed(error.detail)
    return kept
