"""Requests for a second person: what waits first, who asks what and why; agree, refuse, take back."""

from __future__ import annotations

from fastapi import Request
from starlette.responses import RedirectResponse, Response

from dashboards import approvals_view as view
from dashboards import forms
from dashboards.action_words import action
from dashboards.desk import Desk
from fleet_server.access.service import SignedIn, permitted, two_person
from fleet_server.auditor import service as auditor
from fleet_server.errors import InputError, LamppostError

AREA = "approvals"
PAGE_ROWS = 50
DONE = {
    "approve": "You have agreed. Who asked does the same again, and it is done.",
    "refuse": "You have refused it.",
    "withdraw": "It is taken back.",
}


def register(desk: Desk) -> None:
    pages = _Pages(desk)
    desk.register(
        AREA,
        [
            ("GET", "/approvals", pages.listed),
            ("GET", "/approvals/{number}", pages.one),
            ("POST", "/approvals/{number}/approve", pages.approve),
            ("POST", "/approvals/{number}/refuse", pages.refuse),
            ("POST", "/approvals/{number}/withdraw", pages.withdraw),
        ],
    )


class _Pages:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._ask = desk.services.ask

    async def listed(self, request: Request, who: SignedIn) -> Response:
        text = request.query_params.get("before", "")
        before = forms.number(text, "before") if text else forms.NUMBER_MOST
        waiting = await self._ask(two_person.listed, who.principal, two_person.State.WAITING)
        page = await self._ask(two_person.listed, who.principal, None, before, PAGE_ROWS)
        others = [each for each in page if each.state is not two_person.State.WAITING]
        further = page[-1].id if len(page) == PAGE_ROWS else None
        body = view.page(waiting, others, further, who.principal.name, _decides(who))
        return await self._desk.answer(who, "Approvals", body, area=AREA, wide=True)

    async def one(self, request: Request, who: SignedIn) -> Response:
        done = DONE.get(request.query_params.get("done", ""), "")
        return await self._one(who, _number(request), done=done)

    async def approve(self, request: Request, who: SignedIn) -> Response:
        number, note = _number(request), await _note(request)
        try:
            await self._ask(two_person.approve, who.principal, number, note)
        except InputError as refused:
            return await self._one(who, number, refused)
        return _back(number, "approve")

    async def refuse(self, request: Request, who: SignedIn) -> Response:
        number, note = _number(request), await _note(request)
        try:
            await self._ask(two_person.refuse, who.principal, number, note)
        except InputError as refused:
            return await self._one(who, number, refused)
        return _back(number, "refuse")

    async def withdraw(self, request: Request, who: SignedIn) -> Response:
        number = _number(request)
        try:
            await self._ask(two_person.withdraw, who.principal, number)
        except InputError as refused:
            return await self._one(who, number, refused)
        return _back(number, "withdraw")

    async def _one(
        self, who: SignedIn, number: int, problem: LamppostError | None = None, done: str = ""
    ) -> Response:
        found = await self._ask(two_person.get, who.principal, number)
        title = f"Request {number}: {action(found.action)}"
        body = view.one(found, who.principal.name, _decides(who))
        return await self._desk.answer(who, title, body, area=AREA, done=done, problem=problem)


def _decides(who: SignedIn) -> bool:
    return permitted(who.principal, "approvals:decide")


def _number(request: Request) -> int:
    return forms.number(request.path_params["number"], "request")


async def _note(request: Request) -> str:
    """Why it is decided so. Raises InvalidRequest."""
    return auditor.checked_reason((await forms.given(request)).one("note"))


def _back(number: int, done: str) -> Response:
    return RedirectResponse(f"/approvals/{number}?done={done}", 303)
