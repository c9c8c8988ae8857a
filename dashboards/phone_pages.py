"""The pages for a phone: claims and who asks with them, the site test, pictures, the hand-over.

    /field                       what waits; a new claim; a lamppost by its name
    /c/{claim}                   what a label's QR code opens: compare the key, accept
    /field/{tenant}/{name}       at a post

Forms without a script: a phone at the edge of a cell loads one page, sends one form. The guard has let
through signed-in people only, and forms of this origin only; the services decide who may.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.responses import RedirectResponse, Response

from dashboards import forms
from dashboards import phone_view as view
from dashboards.desk import Desk, Handler
from dashboards.phone_data import Address, ClaimWish, Phone, address_of, may
from fleet_server.access.service import SignedIn
from fleet_server.errors import LamppostError, NotFound
from fleet_server.technician.service import drawn

AREA = "field"
PHOTO_MAX_BYTES = (6 << 20) + forms.FORM_MAX_BYTES  # with the form around it
CLAIM_FIELDS = ("device", "site", "latitude", "longitude", "district", "replaces")
MAY_CLAIM, MAY_DECIDE, MAY_REPORT = "claims:create", "enrolments:decide", "sites:report"
MAY_WITHDRAW = "claims:withdraw"


def register(desk: Desk) -> None:
    """The routes of the pages."""
    pages = _Pages(desk)
    routes: list[tuple[str, str, Handler]] = [
        ("GET", "/field", pages.home),
        ("GET", "/field/claim", pages.new_claim),
        ("POST", "/field/claim", pages.make_claim),
        ("GET", "/field/at", pages.find),
        ("GET", "/c/{claim}", pages.claim),
        ("POST", "/c/{claim}", pages.decide),
        ("POST", "/c/{claim}/withdraw", pages.withdraw),
        ("GET", "/field/report/{report}", pages.report),
        ("GET", "/field/{tenant}/{name}", pages.site),
        ("POST", "/field/{tenant}/{name}/place", pages.place),
        ("POST", "/field/{tenant}/{name}/photo", pages.put_photo),
        ("GET", "/field/{tenant}/{name}/photo/{sha256}", pages.photo),
        ("POST", "/field/{tenant}/{name}/handover", pages.hand_over),
    ]
    desk.register(AREA, routes)


class _Pages:
    def __init__(self, desk: Desk) -> None:
        self._desk, self._phone = desk, Phone(desk.services)

    async def home(self, _request: Request, who: SignedIn) -> Response:
        pending = await self._phone.standing(who, ["pending"])
        waiting = await self._phone.standing(who, ["claimed"])
        return await self._page(who, "Field work", view.home(pending, waiting, may(who, MAY_CLAIM)))

    async def new_claim(self, _request: Request, who: SignedIn) -> Response:
        return await self._page(who, "Set up a lamppost", view.claim_form({}))

    async def make_claim(self, request: Request, who: SignedIn) -> Response:
        given = (await forms.given(request)).by_name
        wish = ClaimWish(**{name: given.get(name, "") for name in CLAIM_FIELDS})
        try:
            made = await self._phone.make_claim(who, wish)
        except LamppostError as refused:
            return await self._page(who, "Set up a lamppost", view.claim_form(given), refused)
        return await self._page(who, "The claim", view.claimed(made))

    async def find(self, request: Request, who: SignedIn) -> Response:
        address = await self._phone.where(who, request.query_params.get("name", ""))
        return RedirectResponse(f"/field/{address}", 303)

    async def claim(self, request: Request, who: SignedIn) -> Response:
        found = await self._phone.claim(who, request.path_params["claim"])
        waits = found.state in ("claimed", "accepted")
        body = view.claim(found, may(who, MAY_DECIDE), may(who, MAY_WITHDRAW))
        return await self._page(who, found.device or "A lamppost", body, refresh=waits)

    async def decide(self, request: Request, who: SignedIn) -> Response:
        claim, given = request.path_params["claim"], (await forms.given(request)).by_name
        accept = given.get("decision") == "accept"
        try:
            await self._phone.decide(who, claim, given.get("last", ""), accept, given.get("reason", ""))
        except NotFound:
            raise
        except LamppostError as refused:
            found = await self._phone.claim(who, claim)
            return await self._page(who, found.device, view.claim(found, may(who, MAY_DECIDE)), refused)
        return RedirectResponse(f"/c/{claim}", 303)

    async def withdraw(self, request: Request, who: SignedIn) -> Response:
        claim = request.path_params["claim"]
        await self._phone.withdraw(who, claim)
        return RedirectResponse(f"/c/{claim}", 303)

    async def site(self, request: Request, who: SignedIn) -> Response:
        return await self._site(who, _address(request))

    async def place(self, request: Request, who: SignedIn) -> Response:
        address, given = _address(request), (await forms.given(request)).by_name
        return await self._done(who, address, self._phone.place(who, address, given.get("id", ""), given))

    async def put_photo(self, request: Request, who: SignedIn) -> Response:
        address = _address(request)
        forms.check_length(request, PHOTO_MAX_BYTES)
        async with request.form(max_files=1, max_fields=4) as form:
            sent = form.get("photo")
            content = await sent.read() if isinstance(sent, UploadFile) else b""
            caption, keep = str(form.get("caption", "")), form.get("keep") == "1"
        return await self._done(who, address, self._phone.put_photo(who, address, content, caption, keep))

    async def photo(self, request: Request, who: SignedIn) -> Response:
        kind, content = await self._phone.photo(who, _address(request), request.path_params["sha256"])
        return Response(content, media_type=kind, headers={"Cache-Control": "private, max-age=3600"})

    async def hand_over(self, request: Request, who: SignedIn) -> Response:
        address, given = _address(request), (await forms.given(request)).by_name
        return await self._done(who, address, self._phone.hand_over(who, address, given))

    async def report(self, request: Request, who: SignedIn) -> Response:
        report = request.path_params["report"]
        document = await self._phone.report(who, report)
        name = f"site-report-{report[:32]}.html"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return Response(document, media_type="text/html; charset=utf-8", headers=headers)

    async def _done(self, who: SignedIn, address: Address, doing: Awaitable[Any]) -> Response:
        try:
            await doing
        except NotFound:
            raise
        except LamppostError as refused:
            return await self._site(who, address, refused)
        return RedirectResponse(f"/field/{address}", 303)

    async def _site(self, who: SignedIn, address: Address, problem: LamppostError | None = None) -> Response:
        found = await self._phone.site(who, address)
        body = view.site(found, may(who, MAY_REPORT), drawn(found.check))
        return await self._page(who, found.name, body, problem)

    async def _page(
        self,
        who: SignedIn,
        title: str,
        body: str,
        problem: LamppostError | None = None,
        *,
        refresh: bool = False,
    ) -> Response:
        return await self._desk.answer(who, title, body, area=AREA, problem=problem, refresh=refresh)


def _address(request: Request) -> Address:
    return address_of(request.path_params["tenant"], request.path_params["name"])
