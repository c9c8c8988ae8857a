"""The page of one's own account: where one acts, second factor, password, sessions. Forms without a script.

The guard has let through signed-in people only, and forms of this origin only; the services decide the rest.
"""

from __future__ import annotations

from fastapi import Request
from nicegui import app
from starlette.responses import HTMLResponse, RedirectResponse, Response

from dashboards import account_view as view
from dashboards import forms, sessions
from dashboards.data import Services
from fleet_server.access import service as access
from fleet_server.access.service import Changed, SignedIn
from fleet_server.errors import InvalidRequest, LamppostError, problem_of

FORM_MAX_BYTES = 8192


def register(city: str, services: Services, known: sessions.Sessions) -> None:
    """The routes of the page."""
    pages = _Pages(city, services, known)
    routes: list[tuple[str, str, forms.Handler]] = [
        ("GET", "/account", pages.show),
        ("POST", "/account/tenant", pages.tenant),
        ("POST", "/account/password", pages.password),
        ("POST", "/account/factor", pages.set_up),
        ("POST", "/account/factor/confirm", pages.confirm),
        ("POST", "/account/factor/remove", pages.remove),
        ("POST", "/account/session", pages.end),
    ]
    for method, path, handler in routes:
        forms.route(method, path, handler, known, pages.refused)


class _Pages:
    def __init__(self, city: str, services: Services, known: sessions.Sessions) -> None:
        self._city, self._services, self._known = city, services, known

    async def refused(self, who: SignedIn, refused: LamppostError) -> Response:
        return await self._page(who, problem=str(refused), status=problem_of(refused).status)

    async def show(self, _request: Request, who: SignedIn) -> Response:
        return await self._page(who)

    async def tenant(self, request: Request, who: SignedIn) -> Response:
        token = _token()
        wanted = await _field(request, "tenant")
        await self._services.ask(access.act_in, who.principal, token, wanted)
        self._known.forget(token)
        return RedirectResponse("/account", 303)

    async def password(self, request: Request, who: SignedIn) -> Response:
        token = _token()
        old, new = await _fields(request, "old", "new")
        fresh = await self._services.at_door(
            _from(request), access.change_own_password, who.principal, token, old, new
        )
        self._renew(request, token, fresh)
        return await self._page(who, done="Your password is another one now.")

    async def set_up(self, request: Request, who: SignedIn) -> Response:
        given = await _field(request, "password")
        made = await self._services.at_door(_from(request), access.set_up, who.principal, given)
        return HTMLResponse(view.page(self._city, who, view.confirming(made)))

    async def confirm(self, request: Request, who: SignedIn) -> Response:
        token = _token()
        code = await _field(request, "code")
        made: Changed = await self._services.ask(access.confirm_own, who.principal, token, code)
        self._renew(request, token, made.token)
        return HTMLResponse(view.page(self._city, who, view.recovery_codes(made.recovery_codes)))

    async def remove(self, request: Request, who: SignedIn) -> Response:
        token = _token()
        code = await _field(request, "code")
        made: Changed = await self._services.ask(access.remove_own, who.principal, token, code)
        self._renew(request, token, made.token)
        return await self._page(who, done="There is no second factor any more.")

    async def end(self, request: Request, who: SignedIn) -> Response:
        token = _token()
        number = await _field(request, "number")
        if not number.isascii() or not number.isdigit() or len(number) > 9:
            raise InvalidRequest("That is no session.")
        await self._services.ask(access.end_own, who.principal, int(number))
        self._known.forget(token)
        return RedirectResponse("/account", 303)

    def _renew(self, request: Request, old: str, fresh: str) -> None:
        """The session goes on under its new token, with a new proof in the cookie."""
        self._known.forget(old)
        sessions.begin(request.session, app.storage.user, fresh)

    async def _page(self, who: SignedIn, problem: str = "", done: str = "", status: int = 200) -> Response:
        listed = await self._services.ask(access.own_sessions, who.principal)
        account = await self._services.ask(access.own_account, who.principal)
        body = view.overview(who, listed, account.has_password, account.has_factor)
        return HTMLResponse(view.page(self._city, who, body, problem, done), status)


def _token() -> str:
    """Of the session that asks."""
    return str(app.storage.user[sessions.TOKEN])


def _from(request: Request) -> str:
    return request.client.host if request.client else ""


async def _field(request: Request, name: str) -> str:
    [value] = await _fields(request, name)
    return value


async def _fields(request: Request, *names: str) -> list[str]:
    """Raises InvalidRequest where one is missing, TooLarge."""
    forms.check_length(request, FORM_MAX_BYTES)
    async with request.form(max_files=0, max_fields=8) as form:
        values = [form.get(name) for name in names]
    texts = [value for value in values if isinstance(value, str) and value]
    if len(texts) != len(names):
        raise InvalidRequest("Fill in every field.")
    return texts
