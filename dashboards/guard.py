"""Every address behind the login, websockets included; deny is the default.

Stands inside NiceGUI's application, after its session and storage middleware, and covers pages, assets,
libraries and the socket. The outer FastAPI application has no route of its own (`server.py`).
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from nicegui import Client, app
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from dashboards.sessions import PROOF, Sessions
from dashboards.sign_in import unavailable_page
from fleet_server.errors import LinkError

OPEN = {  # what a browser needs to show the sign-in page, and a probe to see that the process lives
    ("GET", "/sign-in"),
    ("HEAD", "/sign-in"),
    ("POST", "/sign-in"),
    ("POST", "/sign-in/code"),
    ("GET", "/sign-in/oidc"),
    ("GET", "/sign-in/oidc/return"),
    ("GET", "/assets/lamppost.css"),
    ("GET", "/assets/lamppost.svg"),
    ("GET", "/favicon.ico"),
    ("GET", "/healthz"),
}
OWN_PASSWORD = {"/account", "/account/password", "/assets/phone.css", "/sign-out"}
SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
SOCKET = "/_nicegui_ws/"


class Guard:
    """Lets through what is open, and what comes from a signed-in person on the same origin."""

    def __init__(self, app: ASGIApp, *, sessions: Sessions) -> None:
        self._app = app
        self._sessions = sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            if same_origin(Headers(scope=scope), required=True) and owns_page(scope):
                await self._app(scope, receive, send)
            else:  # before the handshake this is an HTTP 403
                await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        refusal = await self._refusal(scope)
        await (self._app if refusal is None else refusal)(scope, receive, send)

    async def _refusal(self, scope: Scope) -> Response | None:
        method, path = scope["method"], scope["path"]
        headers = Headers(scope=scope)
        if method not in SAFE_METHODS and not same_origin(headers, required=False):
            return PlainTextResponse("This came from another site.", 403)
        if (method, path) in OPEN:
            return None
        try:
            principal = await self._sessions.of(scope["session"], app.storage.user)
        except LinkError:
            return unavailable_page()
        if principal is None:
            return self._to_sign_in(Request(scope), headers)
        if path.startswith(SOCKET) and not owns_page(scope):
            return PlainTextResponse("This page belongs to another session.", 403)
        if principal.must_change and path not in OWN_PASSWORD:
            return self._to_account(method, headers)
        return None

    def _to_account(self, method: str, headers: Headers) -> Response:
        """Somebody else chose the password: nothing but a form for another."""
        if method not in {"GET", "HEAD"} or "text/html" not in headers.get("accept", ""):
            return PlainTextResponse("Choose a password of your own first.", 403)
        return RedirectResponse("/account", 303)

    def _to_sign_in(self, request: Request, headers: Headers) -> Response:
        if request.method not in {"GET", "HEAD"} or "text/html" not in headers.get("accept", ""):
            return PlainTextResponse("Sign in first.", 401)
        wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(
            "/sign-in" if wanted == "/" else f"/sign-in?next={quote(wanted, safe='')}", 303
        )


def same_origin(headers: Headers, *, required: bool) -> bool:
    """Does the request come from our own pages? Browsers send Origin with every socket and every POST.

    `required`: refuse where there is no Origin at all (a socket from outside a browser).
    """
    origin = headers.get("origin")
    if origin is None:
        return not required and headers.get("sec-fetch-site", "same-origin") in {"same-origin", "none"}
    return urlsplit(origin).netloc.lower() == headers.get("host", "").lower() != ""


def owns_page(scope: MutableMapping[str, Any]) -> bool:
    """Is the page that this socket speaks for one that the same signed-in browser session was given?"""
    query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
    client = Client.instances.get(query.get("client_id", [""])[0])
    mine = scope.get("session", {})
    if client is None or not mine.get("id") or not mine.get(PROOF):
        return False
    theirs = client.request.session
    return bool(theirs.get("id") == mine["id"] and theirs.get(PROOF) == mine[PROOF])
