"""The page of one's own account: where one acts, second factor, password, sessions. Forms without a script.

The guard has let through signed-in people only, and forms of this origin only; the services decide the rest.
"""

from __future__ import annotations

from fastapi import Request
from nicegui import app
from starlette.responses import RedirectResponse, Response

from dashboards import account_view as view
from dashboards import forms, sessions
from dashboards.desk import Desk, address_of, token_of_session
from fleet_server.access import service as access
from fleet_server.access.service import Changed, SignedIn
from fleet_server.errors import InputError, InvalidRequest, LamppostError

AREA = "account"
TITLE = "Your account"


def register(desk: Desk) -> None:
    """The routes of the page."""
    pages = _Pages(desk)
    desk.register(
        AREA,
        [
            ("GET", "/account", pages.show),
            ("POST", "/account/tenant", pages.tenant),
            ("POST", "/account/password", pages.password),
            ("POST", "/account/factor", pages.set_up),
            ("POST", "/account/factor/confirm", pages.confirm),
            ("POST", "/account/factor/remove", pages.remove),
            ("POST", "/account/session", pages.end),
        ],
    )


class _Pages:
    def __init__(self, desk: Desk) -> None:
        self._desk, self._services, self._known = desk, desk.services, desk.known

    async def show(self, _request: Request, who: SignedIn) -> Response:
        return await self._page(who)

    async def tenant(self, request: Request, who: SignedIn) -> Response:
        token = token_of_session()
        [wanted] = await _fields(request, "tenant")
        try:
            await self._services.ask(access.act_in, who.principal, token, wanted)
        except InputError as refused:
            return await self._page(who, refused, typed=await forms.typed(request))
        self._known.forget(token)
        return RedirectResponse("/account", 303)

    async def password(self, request: Request, who: SignedIn) -> Response:
        token = token_of_session()
        old, new = await _fields(request, "old", "new")
        try:
            fresh = await self._services.at_door(
                address_of(request), access.change_own_password, who.principal, token, old, new
            )
        except InputError as refused:
            return await self._page(who, refused, typed=await forms.typed(request))
        changed = await self._renew(request, token, fresh) or who
        return await self._page(changed, done="Your password is another one now.")

    async def set_up(self, request: Request, who: SignedIn) -> Response:
        [given] = await _fields(request, "password")
        try:
            made = await self._services.at_door(address_of(request), access.set_up, who.principal, given)
        except InputError as refused:
            return await self._page(who, refused, typed=await forms.typed(request))
        return await self._desk.answer(who, TITLE, view.confirming(made), area=AREA)

    async def confirm(self, request: Request, who: SignedIn) -> Response:
        token = token_of_session()
        [code] = await _fields(request, "code")
        try:
            made: Changed = await self._services.ask(access.confirm_own, who.principal, token, code)
        except InputError as refused:
            return await self._page(who, refused, typed=await forms.typed(request))
        await self._renew(request, token, made.token)
        return await self._desk.answer(who, TITLE, view.recovery_codes(made.recovery_codes), area=AREA)

    async def remove(self, request: Request, who: SignedIn) -> Response:
        token = token_of_session()
        [code] = await _fields(request, "code")
        try:
            made: Changed = await self._services.ask(access.remove_own, who.principal, token, code)
        except InputError as refused:
            return await self._page(who, refused, typed=await forms.typed(request))
        await self._renew(request, token, made.token)
        return await self._page(who, done="There is no second factor any more.")

    async def end(self, request: Request, who: SignedIn) -> Response:
        token = token_of_session()
        [number] = await _fields(request, "number")
        try:
            await self._services.ask(access.end_own, who.principal, forms.number(number, "session"))
        except InputError as refused:
            return await self._page(who, refused, typed=await forms.typed(request))
        self._known.forget(token)
        return RedirectResponse("/account", 303)

    async def _renew(self, request: Request, old: str, fresh: str) -> SignedIn | None:
        """The session goes on under its new token, with a new proof in the cookie; who it is now."""
        self._known.forget(old)
        sessions.begin(request.session, app.storage.user, fresh)
        return await self._known.of_token(fresh)

    async def _page(
        self,
        who: SignedIn,
        problem: LamppostError | None = None,
        done: str = "",
        typed: forms.Typed = forms.NOTHING_TYPED,
    ) -> Response:
        listed = await self._services.ask(access.own_sessions, who.principal)
        account = await self._services.ask(access.own_account, who.principal)
        body = view.overview(who, listed, account.has_password, account.has_factor, typed)
        return await self._desk.answer(who, TITLE, body, area=AREA, problem=problem, done=done)


async def _fields(request: Request, *names: str) -> list[str]:
    """As they were typed, blanks too. Raises InvalidRequest where one is missing, TooLarge."""
    given = dict(reversed((await forms.given(request)).fields))
    texts = [given.get(name, "") for name in names]
    if not all(texts):
        raise InvalidRequest("Fill in every field.")
    return texts
