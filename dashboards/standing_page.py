"""A lamppost let in, shut out for now, shut out for good: for that, where the rule holds, a second person."""

from __future__ import annotations

from fastapi import Request
from starlette.responses import RedirectResponse, Response

from dashboards import forms
from dashboards import standing_view as view
from dashboards.desk import Desk
from fleet_server.access.service import SignedIn, permitted
from fleet_server.devices import service as devices
from fleet_server.enrolment import service as enrolment
from fleet_server.errors import InputError, InvalidRequest, LamppostError
from fleet_server.technician.service import address_of

AREA = "map"
STATES = ("active", "quarantined", "decommissioned")


def register(desk: Desk) -> None:
    pages = _Pages(desk)
    desk.register(
        AREA,
        [
            ("GET", "/standing/{tenant}/{name}", pages.show),
            ("POST", "/standing/{tenant}/{name}", pages.change),
        ],
    )


class _Pages:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._ask = desk.services.ask

    async def show(self, request: Request, who: SignedIn) -> Response:
        done = "It is changed." if request.query_params.get("done") else ""
        return await self._page(who, _address(request), done=done)

    async def change(self, request: Request, who: SignedIn) -> Response:
        address, wanted = _address(request), (await forms.given(request)).one("state")
        if wanted not in STATES:
            raise InvalidRequest("There is no such state.", remedy=f"It is one of {', '.join(STATES)}.")
        try:
            await self._ask(enrolment.change_state, who.principal, address, enrolment.DeviceState(wanted))
        except InputError as refused:
            return await self._page(who, address, refused)
        return RedirectResponse(f"/standing/{address}?done=1", 303)

    async def _page(
        self, who: SignedIn, address: devices.Address, problem: LamppostError | None = None, done: str = ""
    ) -> Response:
        found = await self._ask(devices.get_device, who.principal, address)
        changes, ends = (
            permitted(who.principal, action, str(address))
            for action in ("devices:change", "devices:decommission")
        )
        body = view.page(found, changes, ends)
        return await self._desk.answer(who, address.device, body, area=AREA, problem=problem, done=done)


def _address(request: Request) -> devices.Address:
    return address_of(request.path_params["tenant"], request.path_params["name"])
