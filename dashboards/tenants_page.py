"""Who shares the installation, what each may use and uses; changed by whoever administers all of it."""

from __future__ import annotations

from fastapi import Request
from starlette.responses import RedirectResponse, Response

from dashboards import forms
from dashboards import tenants_view as view
from dashboards.desk import Desk
from dashboards.parts import cut
from fleet_server.access.service import SignedIn, permitted
from fleet_server.errors import Forbidden, InputError, InvalidRequest, LamppostError
from fleet_server.tenants import service as tenants

AREA = "tenants"
PAGE_ROWS = 100
DONE = {"changed": "It is changed, and holds within ten seconds."}


def register(desk: Desk) -> None:
    pages = _Pages(desk)
    desk.register(
        AREA,
        [
            ("GET", "/tenants", pages.listed),
            ("POST", "/tenants", pages.make),
            ("GET", "/tenants/{tenant}", pages.one),
            ("POST", "/tenants/{tenant}", pages.change),
        ],
    )


class _Pages:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._ask = desk.services.ask

    async def listed(self, request: Request, who: SignedIn) -> Response:
        return await self._listed(who, after=request.query_params.get("after", ""))

    async def make(self, request: Request, who: SignedIn) -> Response:
        given = await forms.given(request)
        name = given.one("name").lower()
        try:
            await self._ask(tenants.put_tenant, who.principal, name, given.one("title"), {}, new=True)
        except InputError as refused:
            if isinstance(refused, Forbidden):
                raise
            return await self._listed(who, given, refused)
        return RedirectResponse(f"/tenants/{name}", 303)

    async def one(self, request: Request, who: SignedIn) -> Response:
        done = DONE.get(request.query_params.get("done", ""), "")
        return await self._one(who, request.path_params["tenant"], done=done)

    async def change(self, request: Request, who: SignedIn) -> Response:
        name, given = request.path_params["tenant"], await forms.given(request)
        try:
            quotas = {each: _quota(given, each) for each in tenants.NAMES}
            await self._ask(tenants.put_tenant, who.principal, name, given.one("title"), quotas)
        except InputError as refused:
            if isinstance(refused, Forbidden):
                raise
            return await self._one(who, name, given, refused)
        return RedirectResponse(f"/tenants/{name}?done=changed", 303)

    async def _listed(
        self,
        who: SignedIn,
        typed: forms.Given = view.EMPTY,
        problem: LamppostError | None = None,
        after: str = "",
    ) -> Response:
        found = await self._ask(tenants.list_tenants, who.principal)
        shown, further = cut(found, lambda each: each.name, after, PAGE_ROWS)
        body = view.listing(shown, further, _changes(who), typed)
        return await self._desk.answer(who, "Tenants", body, area=AREA, problem=problem, wide=True)

    async def _one(
        self,
        who: SignedIn,
        name: str,
        typed: forms.Given = view.EMPTY,
        problem: LamppostError | None = None,
        done: str = "",
    ) -> Response:
        found = await self._ask(tenants.own_tenant, who.principal, name)
        body = view.one(found, _changes(who), typed)
        return await self._desk.answer(who, name, body, area=AREA, done=done, problem=problem, wide=True)


def _changes(who: SignedIn) -> bool:
    return permitted(who.principal, "tenants:change", tenant=who.principal.tenant)


def _quota(given: forms.Given, name: str) -> int | None:
    """None, for nothing: the usual. Raises InvalidRequest."""
    text = given.one(name)
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 12):
        raise InvalidRequest(
            f"{view.words(name)}: {text[:40]!r} is no whole number.", remedy="Leave it empty for the usual."
        )
    return int(text)
