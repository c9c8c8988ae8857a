"""Parameters that no route declares by itself: what an address does not have, and the reason of a change.

A mistyped filter would answer for everything, so it is told. A reason may be given with every change, in one
way: `?reason=`; a body's own reason goes before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

from fastapi import Request

from fleet_server.errors import InvalidRequest
from fleet_server.origin import REASON_MOST_CHARACTERS, checked_reason, explain

REASON = "reason"
REASON_SCHEMA: dict[str, Any] = {
    "name": REASON,
    "in": "query",
    "required": False,
    "description": "why, for the audit log and for the second person; a reason in the body goes before it",
    "schema": {"type": "string", "maxLength": REASON_MOST_CHARACTERS, "default": ""},
}
_LOOKING = {"GET", "HEAD", "OPTIONS"}  # RFC 9110, section 9.2.1
_LOOKS_AND_TELLS = {"/api/v1/audit/export"}  # a GET, and the audit log has a line of it
_SAYS_WHY = "/api/v1/session"  # signing in and out: nobody asks why


async def known_parameters(request: Request) -> None:
    """A dependency of every guarded route. Raises InvalidRequest for a parameter that it does not declare,
    and for a reason that is none. Runs in the request's own context: there the reason is found again."""
    known = set(_declared(request.scope["route"].dependant))
    with_reason = takes_reason(request.method, request.scope["route"].path)
    if with_reason:
        known.add(REASON)
    for name in request.query_params:
        if name not in known:
            near = get_close_matches(name, known, 1)
            others = ", ".join(sorted(known)) or "none"
            raise InvalidRequest(
                f"There is no parameter {name[:64]!r} here.",
                remedy=f"Did you mean {near[0]}?" if near else f"There are: {others}.",
            )
    if with_reason:
        explain(checked_reason(request.query_params.get(REASON, "")))


def takes_reason(method: str, path: str) -> bool:
    """path: as the route has it."""
    changes = method not in _LOOKING and not path.startswith(_SAYS_WHY)
    return changes or path in _LOOKS_AND_TELLS


def _declared(dependant: Any) -> Iterator[str]:
    """Names as they are in the address, those of the route's dependencies as well."""
    yield from (each.alias for each in dependant.query_params)
    for inner in dependant.dependencies:
        yield from _declared(inner)
