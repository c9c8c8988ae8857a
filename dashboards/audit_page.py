"""The audit log: who did what, on what, from where and why. Filters, one line, verified, taken out."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from fastapi import Request
from starlette.responses import Response, StreamingResponse

from dashboards import audit_view as view
from dashboards import forms, times
from dashboards.audit_view import FILTERS, Listing
from dashboards.desk import Desk
from fleet_server.access.service import SignedIn, permitted
from fleet_server.auditor import service as auditor
from fleet_server.auditor.service import Wanted
from fleet_server.errors import Forbidden, InputError, InvalidRequest, LamppostError, NotFound

AREA = "audit"
PAGE_ROWS = 50
LINE_MOST = 2**63 - 1
FORMATS = {"jsonl": "application/x-ndjson", "csv": "text/csv; charset=utf-8"}


def register(desk: Desk) -> None:
    pages = _Pages(desk)
    desk.register(
        AREA,
        [
            ("GET", "/audit", pages.listed),
            ("POST", "/audit/verify", pages.verify),
            ("GET", "/audit/export", pages.export),
            ("GET", "/audit/{number}", pages.one),
        ],
    )


class _Pages:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._ask = desk.services.ask

    async def listed(self, request: Request, who: SignedIn) -> Response:
        asked = _asked(request)
        try:
            wanted = _wanted(asked, request.query_params.get("before", ""))
            lines = await self._ask(auditor.lines, who.principal, wanted, PAGE_ROWS)
        except InputError as refused:
            if isinstance(refused, Forbidden):
                raise
            return await self._page(who, Listing((), asked, None, _exports(who)), refused)
        before = lines[-1].number if len(lines) == PAGE_ROWS else None
        return await self._page(who, Listing(lines, asked, before, _exports(who)))

    async def one(self, request: Request, who: SignedIn) -> Response:
        number = forms.number(request.path_params["number"], "line", LINE_MOST)
        line = await self._ask(auditor.line, who.principal, number)
        checkpoint = await self._ask(auditor.checkpoint_over, who.principal, number)
        body = view.one(line, checkpoint, await self._around(who, number))
        return await self._desk.answer(who, f"Line {number}", body, area=AREA, wide=True)

    async def verify(self, request: Request, who: SignedIn) -> Response:
        full = (await forms.given(request)).one("full") == "yes"
        found = await self._ask(auditor.verdict, who.principal, full=full)
        body = view.verified(found, who.principal.within is None)
        return await self._desk.answer(who, "The log, verified", body, area=AREA)

    async def export(self, request: Request, who: SignedIn) -> Response:
        asked, form = _asked(request), request.query_params.get("format", "jsonl")
        if form not in FORMATS:
            raise InvalidRequest("There is no such file.", remedy="Ask for format=jsonl or format=csv.")
        wanted = _wanted(asked, "")
        rows = await self._ask(auditor.export, who.principal, form, wanted)
        headers = {"Content-Disposition": f'attachment; filename="audit.{form}"'}
        return StreamingResponse(rows, media_type=FORMATS[form], headers=headers)

    async def _around(self, who: SignedIn, number: int) -> list[tuple[str, int]]:
        """The lines before and after, of those that this person sees."""
        found = []
        for words, other in (("the line before", number - 1), ("the line after", number + 1)):
            with suppress(NotFound):
                await self._ask(auditor.line, who.principal, other)
                found.append((words, other))
        return found

    async def _page(self, who: SignedIn, listing: Listing, problem: LamppostError | None = None) -> Response:
        body = view.listing(listing)
        return await self._desk.answer(who, "Audit log", body, area=AREA, problem=problem, wide=True)


def _exports(who: SignedIn) -> bool:
    return permitted(who.principal, "audit:export")


def _asked(request: Request) -> dict[str, str]:
    return {name: request.query_params.get(name, "").strip()[:300] for name in FILTERS}


def _wanted(asked: Mapping[str, str], before: str) -> Wanted:
    """Raises InvalidRequest."""
    if asked["outcome"] not in dict(view.OUTCOMES):
        raise InvalidRequest("There is no such outcome.", remedy="It is done, refused or locked.")
    return Wanted(
        forms.number(before, "before", LINE_MOST) if before else None,
        asked["action"],
        asked["who"],
        asked["resource"],
        times.told(asked["from"]),
        times.told(asked["to"]),
        asked["outcome"],
    )
