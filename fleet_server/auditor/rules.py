"""What a line says to its reader, and what is asked for. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from fleet_server.audit.rules import ADDRESS, REASON, RESOURCE, WHO, Personal
from fleet_server.audit.verifying import Line

MOST = 1_000  # lines of one page


@dataclass(frozen=True)
class Wanted:
    """Which lines; an empty one asks for all. before: those with a smaller number.

    action: one, or with a colon at its end all that begin so ("devices:"). who: account, service or device.
    begins, ends: real time, from the one up to the other. outcome: "done", "refused", "locked".
    """

    before: int | None = None
    action: str = ""
    who: str = ""
    resource: str = ""
    begins: datetime | None = None
    ends: datetime | None = None
    outcome: str = ""

    def fits(self, line: LineView) -> bool:
        """Of a line between the two instants: as the query of a page decides it."""
        action = (
            line.action.startswith(self.action) if self.action.endswith(":") else line.action == self.action
        )
        return (
            (not self.action or action)
            and self.who in ("", line.who)
            and self.resource in ("", line.resource)
            and self.outcome in ("", line.outcome)
        )


@dataclass(frozen=True)
class LineView:
    """A line with the values beside it. Where one was erased its tombstone stands.

    more: personal values by other names. hash: hexadecimal.
    """

    number: int
    at: str
    tenant: str
    who: str
    kind: str
    via: str
    roles: tuple[str, ...]
    action: str
    resource: str
    outcome: str
    way: str
    address: str
    request: str
    reason: str
    before: Any
    after: Any
    more: Mapping[str, str] = field(default_factory=dict)
    hash: str = ""


def view(line: Line) -> LineView:
    """Of a line with its body; a damaged one shows what can be read of it."""
    told = _object(line.body or "")
    who = told.get("who") if isinstance(told.get("who"), dict) else {}
    assert isinstance(who, dict)
    values = {each.name: each.value for each in line.beside or ()}
    common = {WHO, ADDRESS, REASON, RESOURCE}
    return LineView(
        number=line.number,
        at=_text(told, "at"),
        tenant=_text(told, "tenant"),
        who=values.get(WHO, _text(who, "name")),
        kind=_text(who, "kind"),
        via=_text(who, "via"),
        roles=tuple(map(str, who.get("roles", ()))),
        action=_text(told, "action"),
        resource=values.get(RESOURCE, _text(told, "resource")),
        outcome=_text(told, "outcome"),
        way=_text(told, "way"),
        address=values.get(ADDRESS, ""),
        request=_text(told, "request"),
        reason=values.get(REASON, ""),
        before=told.get("before"),
        after=told.get("after"),
        more={name: value for name, value in values.items() if name not in common},
        hash=line.hash.hex(),
    )


def personal_of(values: Mapping[str, Any] | None) -> tuple[Personal, ...]:
    """From {name: [salt in hex or null, value]}, as the database gathers them."""
    return tuple(
        Personal(name, None if salt is None else bytes.fromhex(salt), value)
        for name, (salt, value) in sorted((values or {}).items())
    )


def _object(body: str) -> dict[str, Any]:
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _text(told: Mapping[str, Any], name: str) -> str:
    return str(told.get(name, ""))
