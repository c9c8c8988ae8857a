"""A parameter that an address does not have is told: a mistyped filter would answer for everything."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

from fastapi import Request

from fleet_server.errors import InvalidRequest


def known_parameters(request: Request) -> None:
    """A dependency of every guarded route. Raises InvalidRequest for a parameter that it does not declare."""
    known = set(_declared(request.scope["route"].dependant))
    for name in request.query_params:
        if name not in known:
            near = get_close_matches(name, known, 1)
            others = ", ".join(sorted(known)) or "none"
            raise InvalidRequest(
                f"There is no parameter {name[:64]!r} here.",
                remedy=f"Did you mean {near[0]}?" if near else f"There are: {others}.",
            )


def _declared(dependant: Any) -> Iterator[str]:
    """Names as they are in the address, those of the route's dependencies as well."""
    yield from (each.alias for each in dependant.query_params)
    for inner in dependant.dependencies:
        yield from _declared(inner)
