"""Grafana's side of the dashboards: how its PostgreSQL data source expands a query before it is sent.

As pkg/tsdb/grafana-postgresql-datasource/macros.go and the data source's own interpolation of variables do it
(Grafana 11): macros are `$__name(arguments)`, times are RFC 3339 in UTC, a variable that may have several
values becomes quoted literals with commas between, another one is put in as it is with its quotes doubled.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2] / "dashboards" / "grafana"
BOARDS = ("city", "lamppost")
_MACRO = re.compile(r"\$(__[a-zA-Z0-9]+)\(([^)]*)\)")
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}

Variables = Mapping[str, str | Sequence[str]]


@dataclass(frozen=True)
class Query:
    """One question of a dashboard. place: "panel 3 A"; kind: table or time_series."""

    board: str
    place: str
    title: str
    kind: str
    sql: str


def board(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(
        (FOLDER / "dashboards" / f"{name}.json").read_text(encoding="utf-8")
    )
    return document


def queries(name: str) -> Iterator[Query]:
    """Of its panels and its annotations; not those of its variables."""
    document = board(name)
    for panel in document["panels"]:
        for target in panel["targets"]:
            place = f"panel {panel['id']} {target['refId']}"
            yield Query(name, place, panel["title"], target["format"], target["rawSql"])
    for note in document["annotations"]["list"]:
        target = note["target"]
        yield Query(name, "annotation", note["name"], target["format"], target["rawSql"])


def expand(sql: str, variables: Variables, begins: datetime, ends: datetime, interval_s: int = 60) -> str:
    """The SQL that reaches PostgreSQL. Raises KeyError for an unknown macro or variable."""
    sql = sql.replace("$__interval_ms", str(interval_s * 1000)).replace("$__interval", f"{interval_s}s")
    sql = re.sub(
        r"\$\{?([a-zA-Z]\w*)\}?(?!\w|\()",
        lambda found: found[0] if found[1].startswith("__") else interpolate(variables[found[1]]),
        sql,
    )
    return _MACRO.sub(lambda found: _macro(found[1], _arguments(found[2]), begins, ends), sql)


def interpolate(value: str | Sequence[str]) -> str:
    """A variable's value, or its several values."""
    if isinstance(value, str):
        return value.replace("'", "''")
    return ",".join("'" + each.replace("'", "''") + "'" for each in value)


def _arguments(text: str) -> list[str]:
    return [each.strip() for each in text.split(",")]


def _macro(name: str, arguments: list[str], begins: datetime, ends: datetime) -> str:
    known = {
        "__time": lambda: f'{arguments[0]} AS "time"',
        "__timeFilter": lambda: f"{arguments[0]} BETWEEN '{_text(begins)}' AND '{_text(ends)}'",
        "__timeFrom": lambda: f"'{_text(begins)}'",
        "__timeTo": lambda: f"'{_text(ends)}'",
        "__timeGroup": lambda: _group(arguments),
        "__timeGroupAlias": lambda: f'{_group(arguments)} AS "time"',
    }
    return known[name]()


def _group(arguments: list[str]) -> str:
    word = arguments[1].strip("'")
    seconds = int(word[:-1]) * _UNITS_S[word[-1]]
    return f"floor(extract(epoch from {arguments[0]})/{seconds})*{seconds}"


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
