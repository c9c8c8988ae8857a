"""A link from elsewhere (a mail, a chat) must not sign a person out.

The cookie is SameSite=Strict, so a browser that comes from another site does not send it, and would be given
a new, empty one. Such a navigation is answered with a page that loads the same address again, now from here.
"""

from __future__ import annotations

from html import escape

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.types import ASGIApp, Receive, Scope, Send


class Arrival:
    """Stands outside the session middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and from_elsewhere(scope["method"], Headers(scope=scope)):
            url = Request(scope).url
            again = "/" + url.path.lstrip("/") + (f"?{url.query}" if url.query else "")
            refresh = f'<meta http-equiv="refresh" content="0;url={escape(again)}">'
            await HTMLResponse(f"<!doctype html><title>Lamppost</title>{refresh}")(scope, receive, send)
            return
        await self._app(scope, receive, send)


def from_elsewhere(method: str, headers: Headers) -> bool:
    """Is this a person who follows a link on another site? (Fetch Metadata, W3C)"""
    return (
        method == "GET"
        and headers.get("sec-fetch-site") == "cross-site"
        and headers.get("sec-fetch-mode") == "navigate"
        and headers.get("sec-fetch-dest") == "document"
    )
