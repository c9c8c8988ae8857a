"""The sign-in page: a plain form, no script, no socket; works with the keyboard and a password manager."""

from __future__ import annotations

import math
from html import escape
from string import Template
from typing import Any, Protocol

from fastapi import Request
from nicegui import app
from starlette.responses import HTMLResponse, RedirectResponse, Response

from dashboards import sessions
from fleet_server.errors import InputError, LamppostError, LinkError

FORM_MAX_BYTES = 8192  # a name and a password; more is no sign-in

_BRAND = (
    '<svg class="brand" viewBox="0 0 20 20" width="28" height="28" aria-hidden="true">'
    '<path d="M9 19V5.5C9 3 11 2 13.5 2H16M6 19h6" fill="none" stroke="currentColor" stroke-width="1.7"/>'
    '<path d="M13 3.2h6L17.4 7h-2.8z" fill="currentColor"/></svg>'
)
_PAGE = Template("""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>$title</title>
<meta name="viewport" content="width=device-width, initial-scale=1">$head
<link rel="icon" href="/assets/lamppost.svg"><link rel="stylesheet" href="/assets/lamppost.css"></head>
<body><div class="page sign-in"><main>$brand<h1>$heading</h1>$body</main></div></body></html>
""")
_FORM = Template("""<p class="muted">$city</p>$problem
<form method="post" action="/sign-in">
<input type="hidden" name="next" value="$next">
<label for="name">Name<input id="name" name="name" type="text" autocomplete="username" autocapitalize="none"
 spellcheck="false" required maxlength="64" value="$name"$focus_name></label>
<label for="password">Password<input id="password" name="password" type="password"
 autocomplete="current-password" required maxlength="256"$focus_password$described></label>
<button type="submit" class="primary">Sign in</button></form>
<p class="help muted">No account? Whoever runs the server makes one with
<code>lamppost fleet operator add NAME</code>.</p>""")
_PROBLEM = Template('<p id="problem" class="problem" role="alert">$text</p>')


class Access(Protocol):
    async def sign_in(self, name: str, password: str, address: str) -> str: ...
    async def sign_out(self, token: str) -> None: ...


def safe_next(wanted: str) -> str:
    """Where to go after signing in: an address of this server, never another's."""
    own = wanted.startswith("/") and not wanted.startswith(("//", "/\\", "/sign-")) and wanted.isprintable()
    return wanted if own else "/"


def plain_page(title: str, heading: str, body: str, head: str = "") -> str:
    """A page without script. `body` and `head` are HTML, the others text."""
    return _PAGE.substitute(title=escape(title), head=head, brand=_BRAND, heading=escape(heading), body=body)


def form_page(
    city: str, *, wanted: str, name: str = "", problem: str = "", status: int = 200
) -> HTMLResponse:
    body = _FORM.substitute(
        city=escape(city),
        problem=_PROBLEM.substitute(text=escape(problem)) if problem else "",
        next=escape(safe_next(wanted)),
        name=escape(name),
        focus_name="" if name else " autofocus",
        focus_password=" autofocus" if name else "",
        described=' aria-describedby="problem"' if problem else "",
    )
    return HTMLResponse(plain_page(f"Sign in - Lamppost {city}", "Sign in to Lamppost", body), status)


def unavailable_page() -> HTMLResponse:
    """While nobody can be recognized because the database does not answer. Tries again by itself."""
    body = (
        '<p class="problem" role="alert">The database does not answer, so nobody can be recognized just now. '
        "This page tries again every five seconds.</p>"
    )
    refresh = '<meta http-equiv="refresh" content="5">'
    page = plain_page("Lamppost", "Waiting for the database", body, refresh)
    return HTMLResponse(page, 503, headers={"Retry-After": "5"})


def told(error: LamppostError) -> tuple[str, int, dict[str, str]]:
    """What the form says, the status and further headers, for an error of signing in."""
    wait_s = error.members.get("retry_after_s")
    if isinstance(wait_s, int | float):
        seconds = max(1, math.ceil(wait_s))
        unit = f"{seconds} seconds" if seconds < 120 else f"{math.ceil(seconds / 60)} minutes"
        return f"{error.detail} Try again in {unit}.", 429, {"Retry-After": str(seconds)}
    if isinstance(error, LinkError):
        return "The database does not answer. Try again in a moment.", 503, {"Retry-After": "5"}
    if isinstance(error, InputError):
        return "Name or password is wrong.", 401, {}
    return "The server made a mistake; its log has the reason.", 500, {}


def register(city: str, access: Access, known: sessions.Sessions) -> None:
    """The routes of signing in and out."""

    @app.get("/sign-in", include_in_schema=False)
    async def show(request: Request) -> Response:
        wanted = request.query_params.get("next", "/")
        try:
            signed_in = await known.of(request.session, app.storage.user)
        except LinkError:
            signed_in = None
        return RedirectResponse(safe_next(wanted), 303) if signed_in else form_page(city, wanted=wanted)

    @app.post("/sign-in", include_in_schema=False)
    async def enter(request: Request) -> Response:
        given = await _form(request)
        if given is None:
            return form_page(city, wanted="/", problem="Fill in both fields.", status=422)
        name, password, wanted = given
        address = request.client.host if request.client else ""
        try:
            token = await access.sign_in(name, password, address)
        except LamppostError as refused:
            text, status, headers = told(refused)
            page = form_page(city, wanted=wanted, name=name, problem=text, status=status)
            page.headers.update(headers)
            return page
        await _end(request, access, known)
        sessions.begin(request.session, app.storage.user, token)
        return RedirectResponse(safe_next(wanted), 303)

    @app.post("/sign-out", include_in_schema=False)
    async def leave(request: Request) -> Response:
        await _end(request, access, known)
        return RedirectResponse("/sign-in", 303, headers={"Clear-Site-Data": '"cache"'})


async def _form(request: Request) -> tuple[str, str, str] | None:
    length = request.headers.get("content-length", "")
    if not length.isdigit() or int(length) > FORM_MAX_BYTES:
        return None
    async with request.form(max_files=0, max_fields=8) as form:
        fields: dict[str, Any] = dict(form)
    name, password, wanted = (fields.get(key, "") for key in ("name", "password", "next"))
    if not all(isinstance(value, str) for value in (name, password, wanted)) or not name or not password:
        return None
    return name.strip().lower(), password, wanted


async def _end(request: Request, access: Access, known: sessions.Sessions) -> None:
    token = sessions.end(request.session, app.storage.user)
    if token is None:
        return
    known.forget(token)
    try:
        await access.sign_out(token)
    except LinkError:
        return  # the browser is unbound all the same; the session ends by its own expiry
