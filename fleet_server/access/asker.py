"""Who asks, for every route: the context of the process and the signed-in principal, as FastAPI dependencies.

A session's token comes as `Authorization: Bearer TOKEN` (programs) or in a cookie (browsers). The cookie is
HttpOnly and SameSite=Strict, so another site's page cannot use it. The header goes before the cookie.
"""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import Depends, Request

from fleet_server.access import service
from fleet_server.access.rules import Principal
from fleet_server.context import Context
from fleet_server.errors import NotAuthenticated

COOKIE = "lamppost_session"


def context_of(request: Request) -> Context:
    """What `app.state.context` holds: set once, when the application is made."""
    return cast(Context, request.app.state.context)


def token_of(request: Request) -> str:
    """The token shown, "" when none is."""
    scheme, _, shown = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return shown.strip()
    return request.cookies.get(COOKIE, "")


def signed_in(request: Request) -> service.SignedIn:
    """The session of the one who asks. Raises NotAuthenticated. Blocks: FastAPI runs it in a thread."""
    found = service.resolve_session(context_of(request), token_of(request))
    if found is None:
        raise NotAuthenticated("Nobody is signed in, or the session has ended.", remedy="Sign in.")
    return found


def asker(session: Annotated[service.SignedIn, Depends(signed_in)]) -> Principal:
    return session.principal


Ctx = Annotated[Context, Depends(context_of)]
Asker = Annotated[Principal, Depends(asker)]
