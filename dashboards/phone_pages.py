"""The pages for a phone: claims and who asks with them. At a post: `phone_site_pages.py`.

    /field                       what waits; a new claim; a lamppost by its name
    /c/{claim}                   what a label's QR code opens: compare the key, accept

Forms without a script: a phone at the edge of a cell loads one page, sends one form. The guard has let
through signed-in people only, and forms of this origin only; the services decide who may.
"""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import Request
from starlette.responses import RedirectResponse, Response

from dashboards import forms
from dashboards import phone_view as view
from dashboards.asked_from import asked_why
from dashboards.desk import Desk, Handler
from dashboards.phone_data import ClaimWish, Phone, Standing, may
from fleet_server.access.service import SignedIn
from fleet_server.errors import LamppostError, NotFound

AREA = "field"
CLAIM_FIELDS = ("device", "site", "latitude", "longitude", "district", "replaces", "life")
MAY_CLAIM, MAY_DECIDE, MAY_WITHDRAW = "claims:create", "enrolments:decide", "claims:withdraw"


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
    ]
    desk.register(AREA, routes)


class _Pages:
    def __init__(self, desk: Desk) -> None:
        self._desk, self._phone = desk, Phone(desk.services)

    async def home(self, _request: Request, who: SignedIn) -> Response:
        pending = await self._phone.standing(who, ["pending"])
        waiting = await self._phone.standing(who, ["claimed"])
        alarms = await self._desk.services.alarms(who)
        body = view.home(pending, waiting, may(who, MAY_CLAIM), alarms)
        return await self._page(who, "Field work", body)

    async def new_claim(self, request: Request, who: SignedIn) -> Response:
        """A claim that is over has a link here with what it was for."""
        given = {name: request.query_params.get(name, "") for name in CLAIM_FIELDS}
        return await self._page(who, "Set up a lamppost", view.claim_form(given))

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
        body = self._shown(found, who)
        return await self._page(who, found.device or "A lamppost", body, refresh=waits)

    async def decide(self, request: Request, who: SignedIn) -> Response:
        claim, given = request.path_params["claim"], (await forms.given(request)).by_name
        accept = given.get("decision") == "accept"
        try:
            await self._phone.decide(who, claim, given.get("last", ""), accept, asked_why())
        except NotFound:
            raise
        except LamppostError as refused:
            found = await self._phone.claim(who, claim)
            body = self._shown(found, who, given)
            return await self._page(who, found.device or "A lamppost", body, refused)
        return RedirectResponse(f"/c/{claim}", 303)

    def _shown(self, found: Standing, who: SignedIn, typed: Mapping[str, str] | None = None) -> str:
        decides, withdraws, claims = (may(who, each) for each in (MAY_DECIDE, MAY_WITHDRAW, MAY_CLAIM))
        return view.claim(found, decides, withdraws, claims, typed=typed or {})

    async def withdraw(self, request: Request, who: SignedIn) -> Response:
        claim = request.path_params["claim"]
        await self._phone.withdraw(who, claim)
        return RedirectResponse(f"/c/{claim}", 303)

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
