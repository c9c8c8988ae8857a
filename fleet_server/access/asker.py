"""Who asks, for every route: the context of the process and the signed-in principal, as FastAPI dependencies.

A session's token, or a machine's, comes as `Authorization: Bearer TOKEN` (programs); a session's in a cookie
as well (browsers). The cookie is HttpOnly and SameSite=Strict, so another site's page cannot use it; a page
of the same site, but another port or a sibling host, can, so a browser's change must come from this very
origin. Over https its name begins with `__Host-`, so that no sibling host can plant one. The header goes
before the cookie.
"""

from __future__ import annotations

from typing import Annotated, cast
from urllib.parse import urlsplit

from fastapi import Depends, Request

from fleet_server.access import service
from fleet_server.access.rules import Principal
from fleet_server.context import Context
from fleet_server.errors import Forbidden, NotAuthenticated, PasswordChangeNeeded

COOKIE = "lamppost_session"
COOKIE_OVER_TLS = (
    "__Host-lamppost_session"  # RFC 6265bis, section 4.1.3.2: Secure, of this host, for every path
)
OWN_ACCOUNT = ("/api/v1/account/", "/api/v1/session")  # what a session is good for that owes a password
SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}  # RFC 9110, section 9.2.1


def context_of(request: Request) -> Context:
    """What `app.state.context` holds: set once, when the application is made."""
    return cast(Context, request.app.state.context)


def cookie_name(context: Context) -> str:
    return COOKIE_OVER_TLS if context.config.api.behind_tls else COOKIE


def token_of(request: Request) -> str:
    """The token shown, "" when none is. Raises Forbidden for a cookie that another origin's page used."""
    scheme, _, shown = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return shown.strip()
    token = request.cookies.get(cookie_name(context_of(request)), "")
    if token and request.method not in SAFE_METHODS and _from_another_origin(request):
        raise Forbidden("This came from a page of another origin.", remedy="Programs use a bearer token.")
    return token


def _from_another_origin(request: Request) -> bool:
    """Browsers send Origin with every change (Fetch, section 3.2); who sends none is no browser's page."""
    origin = request.headers.get("origin")
    return origin is not None and urlsplit(origin).netloc.lower() != request.headers.get("host", "").lower()


def signed_in(request: Request) -> service.SignedIn:
    """The session of the one who asks. Blocks: FastAPI runs it in a thread.

    Raises NotAuthenticated; PasswordChangeNeeded for everything but the own account.
    """
    found = service.resolve_session(context_of(request), token_of(request))
    if found is None:
        raise NotAuthenticated("Nobody is signed in, or the session has ended.", remedy="Sign in.")
    if found.must_change and not request.url.path.startswith(OWN_ACCOUNT):
        raise PasswordChangeNeeded(
            "Somebody else chose your password.",
            remedy='Choose your own: PUT /api/v1/account/password with {"old": ..., "new": ...}.',
        )
    return found


def from_where(request: Request) -> tuple[str, str]:
    """(the peer's address, what its program calls itself)."""
    address = request.client.host if request.client is not None else ""
    return address, request.headers.get("user-agent", "")


def asker(session: Annotated[service.SignedIn, Depends(signed_in)]) -> Principal:
    return session.principal


Ctx = Annotated[Context, Depends(context_of)]
Session = Annotated[service.SignedIn, Depends(signed_in)]
Token = Annotated[str, Depends(token_of)]
Asker = Annotated[Principal, Depends(asker)]
