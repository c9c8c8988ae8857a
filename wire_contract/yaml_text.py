"""Dictionaries, lists and scalars as YAML 1.2 that people can read, without a library."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

Value = Mapping[str, "Value"] | Sequence["Value"] | str | int | float | bool | None

# Words YAML reads as themselves; all else is quoted as JSON, which YAML contains.
_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9_./ -]*[A-Za-z0-9_/]|[A-Za-z]")
_NOT_TEXT = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})


def to_yaml(value: Value) -> str:
    """The document, ending in a newline. Keys keep their order."""
    return "\n".join(_lines(value)) + "\n"


def _lines(value: Value) -> list[str]:
    if isinstance(value, Mapping) and value:
        return [line for key, item in value.items() for line in _entry(f"{_text(key)}:", item)]
    if isinstance(value, Sequence) and not isinstance(value, str) and value:
        return [line for item in value for line in _element(item)]
    return [_scalar(value)]


def _entry(key: str, item: Value) -> list[str]:
    if isinstance(item, str) and "\n" in item:
        return [f"{key} |-", *(f"  {line}".rstrip() for line in item.split("\n"))]
    if isinstance(item, Mapping | Sequence) and not isinstance(item, str) and item:
        return [key, *(f"  {line}".rstrip() for line in _lines(item))]
    return [f"{key} {_scalar(item)}"]


def _element(item: Value) -> list[str]:
    first, *rest = _lines(item)
    return [f"- {first}", *(f"  {line}".rstrip() for line in rest)]


def _scalar(value: Value) -> str:
    if isinstance(value, str):
        return _text(value)
    return json.dumps(value)


def _text(text: str) -> str:
    if _PLAIN.fullmatch(text) and text.lower() not in _NOT_TEXT:
        return text
    return json.dumps(text, ensure_ascii=False)
