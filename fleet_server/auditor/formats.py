"""The log as a file: JSON lines that can be verified anywhere, CSV for people to read.

JSON lines, one object each, by `type`:
  log         the first: form, `start` (number and hash before the first line; absent: the whole log), `whose`
  line        number, hash, body (a string: the very bytes that were hashed), beside ({name: [salt, value]})
  other       number, hash: a line of another tenant's, in an export for one
  checkpoint  number, kind, at, hash, key, signature
Salts, hashes and signatures are hexadecimal. An erased value has the salt null.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

from fleet_server.audit.verifying import Checkpoint, Line, Place
from fleet_server.auditor.rules import LineView, personal_of, view
from fleet_server.errors import InvalidRequest

FORM = 1
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet would run it
MOST_CHARACTERS = 1_000_000  # of one line of a file: two states and a reason are far less


def jsonl(
    lines: Iterable[Line],
    checkpoints: Iterable[Checkpoint],
    start: Place | None,
    *,
    whose: str | None,
    names: bool,
) -> Iterator[str]:
    """`whose`: the tenant whose lines are told; None: all. names: with the values beside."""
    first: dict[str, Any] = {"type": "log", "form": FORM, "whose": whose or "*"}
    if start is not None:
        first["start"] = {"number": start.number, "hash": start.hash.hex()}
    yield _row(first)
    for line in lines:
        told: dict[str, Any] = {"type": "line", "number": line.number, "hash": line.hash.hex()}
        if whose is not None and (line.copied or {}).get("tenant") != whose:
            told["type"] = "other"
        else:
            told["body"] = line.body
            if names:
                told["beside"] = {
                    each.name: [None if each.salt is None else each.salt.hex(), each.value]
                    for each in line.beside or ()
                }
        yield _row(told)
    for each in checkpoints:
        yield _row(
            {
                "type": "checkpoint",
                "number": each.number,
                "kind": each.kind,
                "at": each.at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
                "hash": each.hash.hex(),
                "key": each.key_id,
                "signature": each.signature.hex(),
            }
        )


def csv_rows(lines: Iterable[Line], *, names: bool) -> Iterator[str]:
    """A header, then one row a line."""
    columns = [name for name in LineView.__dataclass_fields__ if names or name not in _NAMING]
    yield _csv(columns)
    for line in lines:
        told = asdict(view(line if names else replace(line, beside=())))
        yield _csv([_cell(told[name]) for name in columns])


_NAMING = ("address", "reason", "more")


def read_head(text: str) -> Place | None:
    """The first line of a file: where its chain begins, None for the whole log. Raises InvalidRequest."""
    told = _object(text, 1)
    if told.get("type") != "log" or told.get("form") != FORM:
        raise InvalidRequest("This is no export of an audit log (JSON lines).")
    start = told.get("start")
    try:
        return None if start is None else Place(int(start["number"]), bytes.fromhex(start["hash"]))
    except (KeyError, TypeError, ValueError):
        raise InvalidRequest("Line 1 of the file: its start is not a number and a hash.") from None


def read_row(text: str, number: int) -> Line | Checkpoint:
    """Any other line of a file. Raises InvalidRequest, which names it."""
    told = _object(text, number)
    try:
        line_hash = bytes.fromhex(told["hash"])
        match told["type"]:
            case "line":
                beside = personal_of(told["beside"]) if "beside" in told else None
                return Line(_whole(told["number"]), _string(told["body"]), line_hash, beside)
            case "other":
                return Line(_whole(told["number"]), None, line_hash)
            case "checkpoint":
                at = datetime.fromisoformat(told["at"])
                signature = bytes.fromhex(told["signature"])
                kind, key = _string(told["kind"]), _string(told["key"])
                return Checkpoint(_whole(told["number"]), line_hash, at, kind, key, signature)
    except (KeyError, TypeError, ValueError, AttributeError):
        pass
    raise InvalidRequest(f"Line {number} of the file is none of an audit log's export.")


def _object(text: str, number: int) -> dict[str, Any]:
    try:
        told = json.loads(text) if len(text) <= MOST_CHARACTERS else None
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        raise InvalidRequest(f"Line {number} of the file is not a JSON object.")
    return told


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
        raise ValueError(value)
    return value


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    value.encode()  # halves of characters are no text
    return value


def _row(told: dict[str, Any]) -> str:
    return json.dumps(told, separators=(",", ":"), ensure_ascii=False) + "\n"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    told = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"'{told}" if told.startswith(_FORMULA) else told


def _csv(cells: list[str]) -> str:
    made = io.StringIO()
    csv.writer(made).writerow(cells)
    return made.getvalue()
