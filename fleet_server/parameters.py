"""What no route declares by itself: parameters that an address does not have, and the reason of a change.

A mistyped filter would answer for everything, so it is told. A reason may be given with every change, in one
way: `?reason=`; a body's own reason goes before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi import Request

from fleet_server.errors import InvalidRequest
from fleet_server.nearest import told as nearest
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
_NOTHING = {b"", b"{}", b"null"}
_SAYS_WHY = "/api/v1/session"  # signing in and out: nobody asks why


async def known_parameters(request: Request) -> None:
    """A dependency of every guarded route. Raises InvalidRequest for a parameter that it does not declare,
    and for a reason that is none. Runs in the request's own context: there the reason is found again."""
    known = set(_declared(request.scope["route"].dependant))
    with_reason = takes_reason(request.method, request.scope["route"].path)
    await _no_needless_body(request)
    if with_reason:
        known.add(REASON)
    for name in request.query_params:
        if name not in known:
            raise InvalidRequest(f"There is no parameter {name[:64]!r} here.", remedy=nearest(name, known))
    if with_reason:
        explain(checked_reason(request.query_params.get(REASON, "")))


async def _no_needless_body(request: Request) -> None:
    """Raises InvalidRequest where a route that has no body is told something in one. Nothing is: `{}`."""
    route = request.scope["route"]
    reads_one = route.body_field is not None or "requestBody" in (route.openapi_extra or {})
    if request.method in _LOOKING or reads_one or (await request.body()).strip() in _NOTHING:
        return
    raise InvalidRequest(
        "There is nothing to tell in a body here.", remedy="Leave it out; why is told in ?reason=."
    )


def takes_reason(method: str, path: str) -> bool:
    """path: as the route has it."""
    changes = method not in _LOOKING and not path.startswith(_SAYS_WHY)
    return changes or path in _LOOKS_AND_TELLS


def _declared(dependant: Any) -> Iterator[str]:
    """Names as they are in the address, those of the route's dependencies as well."""
    yield from (each.alias for each in dependant.query_params)
    for inner in dependant.dependencies:
        yield from _declared(inner)
