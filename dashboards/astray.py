"""Addresses that lead nowhere, and pages that failed: in this server's words, with a way back."""

from __future__ import annotations

import logging

from fastapi import Request
from nicegui import app
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from dashboards.sign_in import plain_page

log = logging.getLogger("lamppost.ui")

_BACK = '<p><a class="button" href="/">To the map</a></p>'
_MISSING = f'<p class="muted">No page has this address. It may have moved, or be mistyped.</p>{_BACK}'
_FAILED = f'<p class="muted">The server made a mistake; its log has the reason.</p>{_BACK}'


def register() -> None:
    """In the place of NiceGUI's own two pages."""

    @app.exception_handler(404)
    async def missing(request: Request, _: Exception) -> Response:
        return _answer(request, 404, "This page is not here", _MISSING)

    @app.exception_handler(Exception)
    async def failed(request: Request, problem: Exception) -> Response:
        log.error("%s %s failed", request.method, request.url.path, exc_info=problem)
        return _answer(request, 500, "This page cannot be shown", _FAILED)


def _answer(request: Request, status: int, heading: str, body: str) -> Response:
    if "text/html" not in request.headers.get("accept", ""):
        return PlainTextResponse(heading, status)
    return HTMLResponse(plain_page("Lamppost", heading, body), status)
