"""Accounts of the tenant: who there is, a new person, roles, ways in. Forms without a script.

/people                      who there is; add
/people/{name}               one account: roles, sessions, password, second factor, kept out
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime

from fastapi import Request
from starlette.responses import RedirectResponse, Response

from dashboards import forms, times
from dashboards import people_view as view
from dashboards.desk import Desk
from dashboards.people_view import Listing
from fleet_server.access import service as access
from fleet_server.access.service import ListedSession, Operator, SignedIn, permitted
from fleet_server.auditor import service as auditor
from fleet_server.errors import Forbidden, InputError, InvalidRequest, LamppostError

AREA = "people"
PAGE_ROWS = 100
SIGN_INS_LOOKED_AT = 1_000  # lines of the audit log for a list's last sign-ins: the newest, in one query
DONE = {
    "roles": "The roles are these now.",
    "out": "The account is kept out.",
    "in": "The account is let in again.",
    "factor": "There is no second factor any more.",
    "sessions": "It is signed out everywhere.",
}


def register(desk: Desk) -> None:
    pages = _Pages(desk)
    desk.register(
        AREA,
        [
            ("GET", "/people", pages.listed),
            ("POST", "/people", pages.add),
            ("GET", "/people/{name}", pages.one),
            ("POST", "/people/{name}/roles", pages.roles),
            ("POST", "/people/{name}/password", pages.password),
            ("POST", "/people/{name}/factor", pages.factor),
            ("POST", "/people/{name}/sessions", pages.sessions),
            ("POST", "/people/{name}/state", pages.state),
        ],
    )


class _Pages:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._ask = desk.services.ask

    async def listed(self, request: Request, who: SignedIn) -> Response:
        return await self._listed(request, who)

    async def add(self, request: Request, who: SignedIn) -> Response:
        given = await forms.given(request)
        machine = given.one("machine") == "1"
        password = None if machine else access.generated_password()
        name, where = given.one("name").lower(), given.one("tenant")
        try:
            await self._ask(access.need_known, who.principal, where)
            made = await self._desk.services.at_door(
                request.client.host if request.client else "",
                access.create_operator,
                who.principal,
                name,
                password,
                given.all("role"),
                tenant=where,
            )
        except InputError as refused:
            if isinstance(refused, Forbidden):
                raise
            return await self._listed(request, who, given, refused)
        return await self._desk.answer(who, made.name, view.made(made, password), area=AREA)

    async def one(self, request: Request, who: SignedIn) -> Response:
        done = DONE.get(request.query_params.get("done", ""), "")
        return await self._one(who, request.path_params["name"], done)

    async def roles(self, request: Request, who: SignedIn) -> Response:
        name, given = request.path_params["name"], await forms.given(request)
        where = given.one("tenant")
        try:
            if given.all("role"):
                await self._ask(access.need_known, who.principal, where)
            await self._ask(access.grant, who.principal, name, where, given.all("role"))
        except InputError as refused:
            return await self._again(who, name, refused, await forms.typed(request))
        return _back(name, "roles")

    async def password(self, request: Request, who: SignedIn) -> Response:
        name = request.path_params["name"]
        fresh = access.generated_password()
        try:
            await self._desk.services.at_door(
                request.client.host if request.client else "",
                access.set_password,
                who.principal,
                name,
                fresh,
            )
        except InputError as refused:
            return await self._again(who, name, refused, await forms.typed(request))
        return await self._desk.answer(who, name, view.renewed(name, fresh), area=AREA)

    async def factor(self, request: Request, who: SignedIn) -> Response:
        name = request.path_params["name"]
        try:
            await self._ask(access.reset_second_factor, who.principal, name)
        except InputError as refused:
            return await self._again(who, name, refused, await forms.typed(request))
        return _back(name, "factor")

    async def sessions(self, request: Request, who: SignedIn) -> Response:
        name = request.path_params["name"]
        try:
            await self._ask(access.end_sessions, who.principal, name)
        except InputError as refused:
            return await self._again(who, name, refused, await forms.typed(request))
        return _back(name, "sessions")

    async def state(self, request: Request, who: SignedIn) -> Response:
        name, given = request.path_params["name"], await forms.given(request)
        wanted = given.one("disabled")
        if wanted not in ("yes", "no"):
            raise InvalidRequest("Say whether the account is kept out: yes or no.")
        try:
            await self._ask(access.set_disabled, who.principal, name, disabled=wanted == "yes")
        except InputError as refused:
            return await self._again(who, name, refused, await forms.typed(request))
        return _back(name, "out" if wanted == "yes" else "in")

    async def _listed(
        self,
        request: Request,
        who: SignedIn,
        typed: forms.Given = view.EMPTY,
        problem: LamppostError | None = None,
    ) -> Response:
        find, after = (request.query_params.get(each, "").strip().lower()[:64] for each in ("find", "after"))
        everybody = await self._ask(access.list_operators, who.principal)
        found = [each for each in everybody if each.name.startswith(find) and each.name > after]
        shown = found[:PAGE_ROWS]
        further = shown[-1].name if len(found) > len(shown) else ""
        listing = Listing(shown, await self._last(who), find, further)
        body = view.listing(
            listing, who.principal.tenant, permitted(who.principal, "operators:create"), typed
        )
        return await self._desk.answer(who, "People", body, area=AREA, problem=problem, wide=True)

    async def _again(self, who: SignedIn, name: str, refused: InputError, typed: forms.Typed) -> Response:
        """The account's page with what was refused; where that cannot be seen, the refusal alone."""
        try:
            return await self._one(who, name, "", refused, typed)
        except InputError:
            raise refused from None

    async def _one(
        self,
        who: SignedIn,
        name: str,
        done: str,
        problem: LamppostError | None = None,
        typed: forms.Typed = forms.NOTHING_TYPED,
    ) -> Response:
        found: Operator = await self._ask(access.get_operator, who.principal, name)
        sessions = await self._sessions_of(who, name)
        last = (await self._last(who, name)).get(name)
        own = name == who.principal.name
        body = view.person(found, who.principal.tenant, sessions, last, own, typed)
        return await self._desk.answer(who, name, body, area=AREA, done=done, problem=problem, wide=True)

    async def _sessions_of(self, who: SignedIn, name: str) -> Sequence[ListedSession] | None:
        """None: it is not this person's to change, here or because it has roles elsewhere."""
        if not permitted(who.principal, "operators:create"):
            return None
        try:
            return await self._ask(access.sessions_of, who.principal, name)
        except Forbidden:
            return None

    async def _last(self, who: SignedIn, name: str = "") -> dict[str, datetime]:
        """When people signed in last, as far as the newest lines of the audit log tell."""
        if not permitted(who.principal, "audit:read"):
            return {}
        wanted = auditor.Wanted(action="session:begin", who=name)
        lines = await self._ask(auditor.lines, who.principal, wanted, 1 if name else SIGN_INS_LOOKED_AT)
        newest: dict[str, datetime] = {}
        for each in lines:
            with suppress(InvalidRequest):  # a damaged line: verifying tells of it
                at = times.told(each.at)
                if at is not None:
                    newest.setdefault(each.who, at)
        return newest


def _back(name: str, done: str) -> Response:
    return RedirectResponse(f"/people/{name}?done={done}", 303)
