"""A lamppost let in, shut out for now or for good (where the rule holds, a second person agrees first); its
certificates, one of them revoked."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import Request
from starlette.responses import RedirectResponse, Response

from dashboards import forms
from dashboards import standing_view as view
from dashboards.desk import Desk
from fleet_server.access.service import SignedIn, permitted
from fleet_server.devices import service as devices
from fleet_server.enrolment import service as enrolment
from fleet_server.enrolment.service import revoking
from fleet_server.errors import Forbidden, InputError, InvalidRequest, LamppostError, LinkError
from fleet_server.limits import service as limits
from fleet_server.technician.service import address_of

AREA = "map"
ACTIONS = ("devices:change", "devices:decommission", "certificates:revoke")
STATES = ("active", "quarantined", "decommissioned")  # what a person may choose


def register(desk: Desk) -> None:
    pages = _Pages(desk)
    desk.register(
        AREA,
        [
            ("GET", "/standing/{tenant}/{name}", pages.show),
            ("POST", "/standing/{tenant}/{name}", pages.change),
            ("POST", "/standing/{tenant}/{name}/revoke", pages.revoke),
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
        except (InputError, LinkError) as refused:  # also: changed, and the list cannot be written
            return await self._page(who, address, refused, typed=await forms.typed(request))
        return RedirectResponse(f"/standing/{address}?done=1", 303)

    async def revoke(self, request: Request, who: SignedIn) -> Response:
        address, given = _address(request), await forms.given(request)
        reason = given.one("reason")
        if reason not in view.REASONS:
            raise InvalidRequest("There is no such reason.", remedy="Choose one of the list.")
        try:
            done = await self._ask(
                revoking.revoke, who.principal, address, given.one("serial"), revoking.Reason(reason)
            )
        except InputError as refused:
            if isinstance(refused, Forbidden):
                raise
            return await self._page(who, address, refused)
        return await self._page(who, address, done=done.follows)

    async def _page(
        self,
        who: SignedIn,
        address: devices.Address,
        problem: LamppostError | None = None,
        done: str = "",
        typed: forms.Typed = forms.NOTHING_TYPED,
    ) -> Response:
        found = await self._ask(devices.get_device, who.principal, address)
        certificates = await self._certificates(who, address)
        held_until = await self._ask(limits.held_until, who.principal, address)
        changes, ends, revokes = (permitted(who.principal, action, str(address)) for action in ACTIONS)
        body = view.page(found, certificates, held_until, changes, ends, revokes, typed)
        return await self._desk.answer(
            who, address.device, body, area=AREA, problem=problem, done=done, wide=True
        )

    async def _certificates(self, who: SignedIn, address: devices.Address) -> Sequence[revoking.Known] | None:
        """None: the authority's files cannot be read. The lamppost can be shut out all the same."""
        try:
            return await self._ask(revoking.certificates, who.principal, address)
        except LinkError:
            return None


def _address(request: Request) -> devices.Address:
    return address_of(request.path_params["tenant"], request.path_params["name"])
