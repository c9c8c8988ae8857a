"""What is agreed on before a lamppost asks: batches of claims and their alarms, registered keys."""

from __future__ import annotations

from datetime import timedelta

from fastapi import Request
from starlette.responses import RedirectResponse, Response

from dashboards import advance_view as view
from dashboards import forms, times
from dashboards.desk import Desk
from dashboards.parts import cut
from fleet_server.access.service import SignedIn, permitted
from fleet_server.enrolment import service as enrolment
from fleet_server.enrolment.service import batches, registered_keys
from fleet_server.errors import Forbidden, InputError, LamppostError

AREA = "field"
PAGE_ROWS = 100
DAYS_MOST = 10_000  # that a number of days can be made of; the service says how many are allowed
DONE = {
    "revoke": "Its claims are taken back.",
    "resume": "Its claims may be used again.",
    "seen": "It is looked at.",
    "key": "The key is registered.",
    "withdrawn": "The key is taken back.",
}


def register(desk: Desk) -> None:
    pages = _Pages(desk)
    desk.register(
        AREA,
        [
            ("GET", "/batches", pages.listed),
            ("POST", "/batches", pages.make),
            ("POST", "/batches/alarm/{number}", pages.seen),
            ("POST", "/batches/{batch}/revoke", pages.revoke),
            ("POST", "/batches/{batch}/resume", pages.resume),
            ("GET", "/keys", pages.keys),
            ("POST", "/keys", pages.add_key),
            ("POST", "/keys/withdraw", pages.withdraw_key),
        ],
    )


class _Pages:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._ask = desk.services.ask

    async def listed(self, request: Request, who: SignedIn) -> Response:
        return await self._batches(who, done=_done(request))

    async def make(self, request: Request, who: SignedIn) -> Response:
        given = await forms.given(request)
        try:
            made = await self._ask(
                batches.make_batch,
                who.principal,
                given.one("technician"),
                given.number("number"),
                district=given.one("district"),
                valid_from=times.told(given.one("from")),
                life=timedelta(days=given.number("days", DAYS_MOST)),
            )
        except InputError as refused:
            if isinstance(refused, Forbidden):
                raise
            return await self._batches(who, given, refused)
        body = view.made(made.batch, made.tokens)
        return await self._desk.answer(who, "Claims in advance", body, area=AREA)

    async def revoke(self, request: Request, who: SignedIn) -> Response:
        batch, reason = request.path_params["batch"], (await forms.given(request)).one(forms.WHY)
        await self._ask(batches.revoke, who.principal, batch, reason)
        return RedirectResponse("/batches?done=revoke", 303)

    async def resume(self, request: Request, who: SignedIn) -> Response:
        batch, reason = request.path_params["batch"], (await forms.given(request)).one(forms.WHY)
        await self._ask(batches.resume, who.principal, batch, reason)
        return RedirectResponse("/batches?done=resume", 303)

    async def seen(self, request: Request, who: SignedIn) -> Response:
        alarm = forms.number(request.path_params["number"], "alarm")
        await self._ask(batches.see_alarm, who.principal, alarm)
        return RedirectResponse("/batches?done=seen", 303)

    async def keys(self, request: Request, who: SignedIn) -> Response:
        return await self._keys(who, done=_done(request), after=request.query_params.get("after", ""))

    async def add_key(self, request: Request, who: SignedIn) -> Response:
        given = await forms.given(request)
        one = registered_keys.Vouched(given.one("device"), given.one("key"), given.one("site"))
        try:
            life = timedelta(days=given.number("days", DAYS_MOST))
            await self._ask(registered_keys.register_keys, who.principal, [one], life=life)
        except InputError as refused:
            if isinstance(refused, Forbidden):
                raise
            return await self._keys(who, given, refused)
        return RedirectResponse("/keys?done=key", 303)

    async def withdraw_key(self, request: Request, who: SignedIn) -> Response:
        claim = (await forms.given(request)).one("claim")
        await self._ask(enrolment.withdraw, who.principal, claim)
        return RedirectResponse("/keys?done=withdrawn", 303)

    async def _batches(
        self,
        who: SignedIn,
        typed: forms.Given = view.EMPTY,
        problem: LamppostError | None = None,
        done: str = "",
    ) -> Response:
        found = await self._ask(batches.batches, who.principal)
        alarms = await self._ask(batches.alarms, who.principal)
        makes, sees = (permitted(who.principal, each) for each in ("claims:batch", "enrolments:decide"))
        body = view.in_advance(found, alarms, makes, sees, typed)
        return await self._desk.answer(
            who, "Claims in advance", body, area=AREA, problem=problem, done=done, wide=True
        )

    async def _keys(
        self,
        who: SignedIn,
        typed: forms.Given = view.EMPTY,
        problem: LamppostError | None = None,
        done: str = "",
        after: str = "",
    ) -> Response:
        found = await self._ask(registered_keys.registered_keys, who.principal)
        shown, further = cut(found, lambda each: each.claim_id, after, PAGE_ROWS)
        adds, withdraws = (permitted(who.principal, each) for each in ("keys:preregister", "claims:withdraw"))
        body = view.keys(shown, further, adds, withdraws, typed)
        return await self._desk.answer(
            who, "Registered keys", body, area=AREA, problem=problem, done=done, wide=True
        )


def _done(request: Request) -> str:
    return DONE.get(request.query_params.get("done", ""), "")
