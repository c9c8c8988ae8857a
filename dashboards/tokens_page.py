"""Permissions of machines: which there are, a new one, revoked. Forms without a script."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from fastapi import Request
from starlette.responses import RedirectResponse, Response

from dashboards import forms
from dashboards import tokens_view as view
from dashboards.desk import Desk
from fleet_server.access.service import SignedIn, permitted, tokens
from fleet_server.errors import Forbidden, InputError, LamppostError

AREA = "tokens"
PAGE_ROWS = 100
DAYS_MOST = 10_000  # that a number of days can be made of; the service says how many are allowed
DONE = {"revoked": "It is worth nothing any more."}


def register(desk: Desk) -> None:
    pages = _Pages(desk)
    desk.register(
        AREA,
        [
            ("GET", "/tokens", pages.listed),
            ("POST", "/tokens", pages.make),
            ("POST", "/tokens/{number}/revoke", pages.revoke),
        ],
    )


class _Pages:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._ask = desk.services.ask

    async def listed(self, request: Request, who: SignedIn) -> Response:
        after = request.query_params.get("after", "")
        done = DONE.get(request.query_params.get("done", ""), "")
        return await self._page(who, forms.number(after, "after") if after else 0, done=done)

    async def make(self, request: Request, who: SignedIn) -> Response:
        given = await forms.given(request)
        try:
            wanted = tokens.Wanted(
                given.one("name"),
                given.all("scope"),
                timedelta(days=given.number("days", DAYS_MOST)),
                given.one("owner").lower(),
                given.one("tenant"),
            )
            made = await self._ask(tokens.make, who.principal, wanted)
        except InputError as refused:
            if isinstance(refused, Forbidden) and not permitted(who.principal, "tokens:create"):
                raise
            return await self._page(who, 0, given, refused)
        body = view.made(made.token, made.described)
        return await self._desk.answer(who, "A new token", body, area=AREA)

    async def revoke(self, request: Request, who: SignedIn) -> Response:
        number = forms.number(request.path_params["number"], "token")
        await self._ask(tokens.revoke, who.principal, number)
        return RedirectResponse("/tokens?done=revoked", 303)

    async def _page(
        self,
        who: SignedIn,
        after: int,
        typed: forms.Given = view.EMPTY,
        problem: LamppostError | None = None,
        done: str = "",
    ) -> Response:
        found = await self._ask(tokens.listed, who.principal, after, PAGE_ROWS)
        may_make = permitted(who.principal, "tokens:create")
        offered = [each for each in tokens.scopes_there_are() if permitted(who.principal, each)]
        body = view.page(
            found,
            found[-1].id if len(found) == PAGE_ROWS else None,
            datetime.now(UTC),
            offered if may_make else None,
            who.principal.tenant,
            permitted(who.principal, "tokens:revoke"),
            typed,
        )
        return await self._desk.answer(
            who, "Tokens of machines", body, area=AREA, done=done, problem=problem, wide=True
        )
