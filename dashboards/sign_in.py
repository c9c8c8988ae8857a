"""The sign-in pages: plain forms, no script, no socket; they work with the keyboard and a password manager.

    /sign-in                 name and password ──► in, or the code of the second factor
    /sign-in/code            the code, or the first of an authenticator that is set up now
    /sign-in/oidc            to the OpenID provider ──► /sign-in/oidc/return, back with its answer
    /sign-out

A session begins under a new cookie proof each time; what the browser held before is ended.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from fastapi import Request
from nicegui import app
from starlette.responses import HTMLResponse, RedirectResponse, Response

from dashboards import sessions
from dashboards import sign_in_view as view
from dashboards.sign_in_view import plain_page
from fleet_server.access import service as access
from fleet_server.access.service import CodeRefused, SecondFactorNeeded, SessionToken
from fleet_server.context import Context
from fleet_server.errors import InputError, LamppostError, LinkError, NotAuthenticated, NotFound

__all__ = ["plain_page", "register", "safe_next", "unavailable_page"]

P = ParamSpec("P")
T = TypeVar("T")
FORM_MAX_BYTES = 8192  # a name and a password; more is no sign-in
BINDING = "sign_in_elsewhere"  # in the signed cookie: only this browser finishes what it began
QUERY_MOST_CHARACTERS = 8192


class Access(Protocol):
    async def at_door(
        self, address: str, function: Callable[Concatenate[Context, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T: ...
    async def sign_out(self, token: str) -> None: ...


def safe_next(wanted: str) -> str:
    """Where to go after signing in: an address of this server, never another's."""
    own = wanted.startswith("/") and not wanted.startswith(("//", "/\\", "/sign-")) and wanted.isprintable()
    return wanted if own else "/"


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
        provider = "provider" in error.detail
        text = error.detail if provider else "The database does not answer. Try again in a moment."
        return text, 503, {"Retry-After": "5"}
    if isinstance(error, NotAuthenticated):
        return str(error), 401, {}
    if isinstance(error, InputError):
        return str(error), 403, {}
    return "The server made a mistake; its log has the reason.", 500, {}


def register(city: str, access_: Access, known: sessions.Sessions, elsewhere: str = "") -> None:
    """The routes of signing in and out. elsewhere: the OpenID provider's title, "" where there is none."""
    pages = _Pages(city, access_, known, elsewhere)
    for method, path, handler in (
        ("GET", "/sign-in", pages.show),
        ("POST", "/sign-in", pages.enter),
        ("POST", "/sign-in/code", pages.code),
        ("GET", "/sign-in/oidc", pages.leave_for_provider),
        ("GET", "/sign-in/oidc/return", pages.back),
        ("POST", "/sign-out", pages.leave),
    ):
        app.add_api_route(path, handler, methods=[method], include_in_schema=False, response_model=None)


class _Pages:
    def __init__(self, city: str, access_: Access, known: sessions.Sessions, elsewhere: str) -> None:
        self._city, self._access, self._known, self._elsewhere = city, access_, known, elsewhere

    async def show(self, request: Request) -> Response:
        wanted = request.query_params.get("next", "/")
        try:
            signed_in = await self._known.of(request.session, app.storage.user)
        except LinkError:
            signed_in = None
        return RedirectResponse(safe_next(wanted), 303) if signed_in else self._form(wanted)

    async def enter(self, request: Request) -> Response:
        given = await _form(request, "name", "password")
        if given is None:
            return self._form("/", problem="Fill in both fields.", status=422)
        name, password, wanted = given[0].strip().lower(), given[1], given[2]
        address, agent = _from(request)
        try:
            made = await self._access.at_door(address, access.sign_in, name, password, address, agent=agent)
        except SecondFactorNeeded as needed:
            return await self._second_step(request, needed, wanted)
        except LamppostError as refused:
            text, status, headers = told(refused)
            return self._form(wanted, name=name, problem=text, status=status, headers=headers)
        return await self._in(request, made, wanted)

    async def code(self, request: Request) -> Response:
        given = await _form(request, "ticket", "code")
        if given is None:
            return self._form("/", problem="Fill in the code.", status=422)
        ticket, typed, wanted = given
        address, agent = _from(request)
        try:
            made = await self._access.at_door(
                address, access.with_second_factor, ticket, typed, address, agent=agent
            )
        except CodeRefused as refused:
            if refused.remedy:  # the ticket has ended
                return self._form(wanted, problem=str(refused), status=401)
            return self._code(wanted, ticket, str(refused), 401)
        except LamppostError as refused:
            text, status, headers = told(refused)
            return self._code(wanted, ticket, text, status, headers)
        return await self._in(request, made, wanted)

    async def leave_for_provider(self, request: Request) -> Response:
        wanted = safe_next(request.query_params.get("next", "/"))
        try:
            sent = await self._access.at_door(_from(request)[0], access.sign_in_elsewhere, wanted)
        except NotFound:
            return RedirectResponse("/sign-in", 303)
        except LamppostError as refused:
            text, status, headers = told(refused)
            return self._form(wanted, problem=text, status=status, headers=headers)
        request.session[BINDING] = sent.binding
        return RedirectResponse(sent.address, 303, headers={"Referrer-Policy": "no-referrer"})

    async def back(self, request: Request) -> Response:
        if len(request.url.query) > QUERY_MOST_CHARACTERS:
            return self._form("/", problem="That answer is too long.", status=422)
        binding = str(request.session.pop(BINDING, ""))
        address, agent = _from(request)
        try:
            made, wanted = await self._access.at_door(
                address, access.back_from_elsewhere, dict(request.query_params), binding, address, agent
            )
        except LamppostError as refused:
            text, status, headers = told(refused)
            return self._form("/", problem=text, status=status, headers=headers)
        return await self._in(request, made, wanted)

    async def leave(self, request: Request) -> Response:
        await self._end(request)
        return RedirectResponse("/sign-in", 303, headers={"Clear-Site-Data": '"cache"'})

    async def _second_step(self, request: Request, needed: SecondFactorNeeded, wanted: str) -> Response:
        ticket = str(needed.members["ticket"])
        if not needed.members["set_up"]:
            return self._code(wanted, ticket)
        try:
            made = await self._access.at_door(_from(request)[0], access.prepare_by_ticket, ticket)
        except LamppostError as refused:
            text, status, headers = told(refused)
            return self._form(wanted, problem=text, status=status, headers=headers)
        return self._code(wanted, ticket, made=made)

    async def _in(self, request: Request, made: SessionToken, wanted: str) -> Response:
        await self._end(request)
        sessions.begin(request.session, app.storage.user, made.token)
        if not made.recovery_codes:
            return RedirectResponse(safe_next(wanted), 303)
        body = view.recovery_codes(made.recovery_codes, safe_next(wanted))
        return HTMLResponse(plain_page(f"Recovery codes - Lamppost {self._city}", "Keep these codes", body))

    async def _end(self, request: Request) -> None:
        token = sessions.end(request.session, app.storage.user)
        if token is None:
            return
        self._known.forget(token)
        try:
            await self._access.sign_out(token)
        except LinkError:
            return  # the browser is unbound all the same; the session ends by its own expiry

    def _form(
        self,
        wanted: str,
        *,
        name: str = "",
        problem: str = "",
        status: int = 200,
        headers: dict[str, str] | None = None,
    ) -> HTMLResponse:
        body = view.form(self._city, safe_next(wanted), name, problem, self._elsewhere)
        page = plain_page(f"Sign in - Lamppost {self._city}", "Sign in to Lamppost", body)
        return HTMLResponse(page, status, headers)

    def _code(
        self,
        wanted: str,
        ticket: str,
        problem: str = "",
        status: int = 200,
        headers: dict[str, str] | None = None,
        made: access.SetUp | None = None,
    ) -> HTMLResponse:
        body = view.code(safe_next(wanted), ticket, problem, made)
        page = plain_page(f"Sign in - Lamppost {self._city}", "One more step", body)
        return HTMLResponse(page, status, headers)


def _from(request: Request) -> tuple[str, str]:
    return request.client.host if request.client else "", request.headers.get("user-agent", "")


async def _form(request: Request, first: str, second: str) -> tuple[str, str, str] | None:
    """Both fields and `next`; None where one is missing, or it is no such form."""
    length = request.headers.get("content-length", "")
    if not length.isdigit() or int(length) > FORM_MAX_BYTES:
        return None
    async with request.form(max_files=0, max_fields=8) as form:
        fields: dict[str, Any] = dict(form)
    one, two, wanted = (fields.get(key, "") for key in (first, second, "next"))
    if not all(isinstance(value, str) for value in (one, two, wanted)) or not one or not two:
        return None
    return one, two, wanted
