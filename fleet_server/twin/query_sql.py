"""A group's query as SQL over `device` d and its `device_twin` t. Pure: every value of it is a parameter.

What a device does not have fits nothing, so each test is true or false and never unknown; numbers compare
with numbers, text with text. Text that looks like a version ("0.10") is put in order part by part.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, assert_never

from fleet_server.twin import query
from fleet_server.twin.query import COLUMNS, Compare, Field, IsSet, Like, Node, Not, OneOf

_VERSION = re.compile(r"\d{1,9}(?:\.\d{1,9})+")
_VERSION_SQL = "'^[0-9]+(?:[.][0-9]+)*'"
_SECTIONS = {"tag": "t.tags", "reported": "d.reported"}
_COLUMNS = {**{name: f"d.{name}" for name in COLUMNS}, "version": "d.agent_version"}


def compiled(tree: Node, prefix: str = "q") -> tuple[str, Mapping[str, Any]]:
    """A condition and its parameters (`:q0` …)."""
    maker = _Maker(prefix)
    return maker.condition(tree), maker.parameters


class _Maker:
    def __init__(self, prefix: str) -> None:
        self.parameters: dict[str, Any] = {}
        self._prefix = prefix

    def condition(self, node: Node) -> str:
        match node:
            case query.All(terms):
                return "(" + " AND ".join(self.condition(term) for term in terms) + ")"
            case query.Any(terms):
                return "(" + " OR ".join(self.condition(term) for term in terms) + ")"
            case Not(term):
                return f"(NOT {self.condition(term)})"
            case IsSet(field):
                return f"({self._text(field)} IS NOT NULL AND {self._text(field)} <> '')"
            case OneOf(field, values):
                return "(" + " OR ".join(self._equal(field, value) for value in values) + ")"
            case Like(field, pattern):
                escaped = re.sub(r"([\\%_])", r"\\\1", pattern).replace("*", "%")
                return f"coalesce({self._text(field)} LIKE {self._given(escaped)}, false)"
            case Compare(field, "=", value):
                return self._equal(field, value)
            case Compare(field, "!=", value):
                return f"(NOT {self._equal(field, value)})"
            case Compare(field, operator, value):
                return self._ordered(field, operator, value)
            case _:
                assert_never(node)

    def _given(self, value: object) -> str:
        name = f"{self._prefix}{len(self.parameters)}"
        self.parameters[name] = value
        return f":{name}"

    def _text(self, field: Field) -> str:
        if field.section == "device":
            return _COLUMNS[field.key]
        return f"({_SECTIONS[field.section]} ->> {self._given(field.key)})"

    def _equal(self, field: Field, value: object) -> str:
        if field.section == "device":
            told = value if isinstance(value, str) else json.dumps(value)
            return f"({_COLUMNS[field.key]} = {self._given(told)})"
        section, key = _SECTIONS[field.section], self._given(field.key)
        return f"coalesce(({section} -> {key}) = CAST({self._given(json.dumps(value))} AS jsonb), false)"

    def _ordered(self, field: Field, operator: str, value: object) -> str:
        text = self._text(field)
        if isinstance(value, int | float):
            number = f"{text} ~ '^-?[0-9]+([.][0-9]+)?([eE][-+]?[0-9]{{1,3}})?$'"
            test = f"CAST({text} AS numeric) {operator} CAST({self._given(str(value))} AS numeric)"
            return f"(CASE WHEN {number} THEN {test} ELSE false END)"
        if isinstance(value, str) and _VERSION.fullmatch(value):
            parts = f"string_to_array(substring({text} from {_VERSION_SQL}), '.')"
            wanted = self._given([int(part) for part in value.split(".")])
            test = f"CAST({parts} AS numeric[]) {operator} CAST({wanted} AS numeric[])"
            return f"(CASE WHEN {text} ~ '^[0-9]' THEN {test} ELSE false END)"
        return f'coalesce({text} COLLATE "C" {operator} {self._given(value)}, false)'
