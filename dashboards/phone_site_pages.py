"""At a post, on a phone: the site test, what is written down and changed there, pictures, the hand-over.

    /field/{tenant}/{name}           the post
    /field/{tenant}/{name}/test      measures how long the first ack takes, then as above
    /field/{tenant}/{name}/...       each form sends here; calibrations and ends are asked back first

What is done goes through `technician.service.do_work`, as from `lamppost provision`. A form that is sent
twice is done once.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable
from typing import Any
from urllib.parse import urlencode

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.responses import RedirectResponse, Response

from dashboards import forms, phone_work
from dashboards import phone_site_view as view
from dashboards import phone_work_view as asking
from dashboards.asked_from import saying_why
from dashboards.desk import Desk
from dashboards.phone_data import Address, Phone, address_of, may, since_of
from dashboards.phone_parts import NOTHING, Again
from dashboards.phone_view import claimed
from fleet_server.access.service import SignedIn
from fleet_server.auditor import service as auditor
from fleet_server.errors import InvalidRequest, LamppostError, LinkError, SecondPersonNeeded
from fleet_server.technician.service import Kind, drawn

AREA = "field"
PHOTO_MAX_BYTES = (6 << 20) + forms.FORM_MAX_BYTES  # with the form around it
MAY_REPORT = "sites:report"
DONE = {
    "place": "The place is kept.",
    "note": "The note is kept.",
    "photo": "The picture is kept.",
    "unit": f"The sensor's change is kept. {asking.WRITE_SERIAL}",
    "calibrate": "The calibration is entered. The past is corrected within a minute.",
    "decommission": "It is shut out for good.",
    "handover": "The site report is signed.",
}


def register(desk: Desk) -> None:
    """The routes of the pages."""
    pages = _Pages(desk)
    desk.register(
        AREA,
        [
            ("GET", "/field/report/{report}", pages.report),
            ("GET", "/field/{tenant}/{name}", pages.site),
            ("GET", "/field/{tenant}/{name}/test", pages.test),
            ("POST", "/field/{tenant}/{name}/place", pages.place),
            ("POST", "/field/{tenant}/{name}/note", pages.note),
            ("POST", "/field/{tenant}/{name}/unit", pages.unit),
            ("POST", "/field/{tenant}/{name}/calibrate", pages.calibrate),
            ("POST", "/field/{tenant}/{name}/device", pages.device),
            ("POST", "/field/{tenant}/{name}/decommission", pages.decommission),
            ("POST", "/field/{tenant}/{name}/photo", pages.put_photo),
            ("GET", "/field/{tenant}/{name}/photo/{sha256}", pages.photo),
            ("POST", "/field/{tenant}/{name}/handover", pages.hand_over),
        ],
    )


class _Pages:
    def __init__(self, desk: Desk) -> None:
        self._desk, self._phone = desk, Phone(desk.services)

    async def site(self, request: Request, who: SignedIn) -> Response:
        done = DONE.get(request.query_params.get("done", ""), "")
        return await self._site(who, _address(request), again=_again(request), done=done)

    async def test(self, request: Request, who: SignedIn) -> Response:  # noqa: ARG002
        return RedirectResponse(f"/field/{_address(request)}?since={round(time.time() * 1000)}", 303)

    async def place(self, request: Request, who: SignedIn) -> Response:
        again = await _typed(request, "place")
        return await self._do(who, _address(request), again, Kind.PLACE)

    async def note(self, request: Request, who: SignedIn) -> Response:
        again = await _typed(request, "note")
        return await self._do(who, _address(request), again, Kind.NOTE)

    async def unit(self, request: Request, who: SignedIn) -> Response:
        again = await _typed(request, "unit")
        return await self._do(who, _address(request), again, Kind.REPLACE_UNIT)

    async def calibrate(self, request: Request, who: SignedIn) -> Response:
        """What it will do is shown first."""
        address, again = _address(request), await _typed(request, "calibrate")
        told = again.told
        if told.get("sure") == "no":
            return await self._site(who, address, again=again)
        if told.get("sure") == "yes":
            return await self._do(who, address, again, Kind.CALIBRATE)
        try:
            foreseen = phone_work.calibration(told, await self._phone.units(who, address))
            await self._phone.check(who, address, told.get("id", ""), Kind.CALIBRATE, foreseen.body)
        except LinkError:
            raise
        except LamppostError as refused:
            return await self._site(who, address, refused, again=again)
        body = asking.sure_of_calibration(f"/field/{address}", again, foreseen, who.principal.name)
        return await self._page(who, f"Calibrate {address.device}", body)

    async def device(self, request: Request, who: SignedIn) -> Response:
        """A claim for another computer; its token is shown once, here."""
        address, again = _address(request), await _typed(request, "device")
        try:
            made = await self._phone.replace_device(who, address, again.told.get("id", ""), again.told)
        except LinkError:
            raise
        except LamppostError as refused:
            return await self._site(who, address, refused, again=again)
        more = asking.serials(await self._phone.units(who, address))
        return await self._page(who, f"Another computer for {address.device}", claimed(made, more))

    async def decommission(self, request: Request, who: SignedIn) -> Response:
        """Asked a second time, by its name; a second person may have to agree."""
        address, again = _address(request), await _typed(request, "decommission")
        told = again.told
        at, work_id, body = (
            f"/field/{address}",
            told.get("id", ""),
            {"reason": phone_work.text(told, forms.WHY)},
        )
        title = f"Take down {address.device}"
        try:
            await self._phone.check(who, address, work_id, Kind.DECOMMISSION, body)
        except LinkError:
            raise
        except LamppostError as refused:
            return await self._site(who, address, refused, again=again)
        if told.get("sure") != "yes":
            return await self._page(who, title, asking.sure_of_end(at, address.device, told))
        try:
            if told.get("name", "").strip().lower() not in (address.device, str(address)):
                raise InvalidRequest("Nothing was done: this is not its name.", remedy=address.device)
            await self._phone.do(who, address, work_id, Kind.DECOMMISSION, body)
        except LinkError:
            raise
        except LamppostError as refused:
            waits = isinstance(refused, SecondPersonNeeded)
            sure = asking.sure_of_end(at, address.device, told, waits)
            return await self._page(who, title, sure, refused)
        return RedirectResponse(f"{at}?done=decommission", 303)

    async def put_photo(self, request: Request, who: SignedIn) -> Response:
        address = _address(request)
        forms.check_length(request, PHOTO_MAX_BYTES)
        async with request.form(max_files=1, max_fields=4) as form:
            sent = form.get("photo")
            content = await sent.read() if isinstance(sent, UploadFile) else b""
            told = {name: value for name, value in form.items() if isinstance(value, str)}
        caption, keep = told.get("caption", ""), told.get("keep") == "1"
        with saying_why(auditor.checked_reason(told.get(forms.WHY, ""))):
            doing = self._phone.put_photo(who, address, content, caption, keep)
            return await self._done(who, address, doing, _again(request, "photo", told))

    async def photo(self, request: Request, who: SignedIn) -> Response:
        kind, content = await self._phone.photo(who, _address(request), request.path_params["sha256"])
        return Response(content, media_type=kind, headers={"Cache-Control": "private, max-age=3600"})

    async def hand_over(self, request: Request, who: SignedIn) -> Response:
        address, again = _address(request), await _typed(request, "handover")
        doing = self._phone.hand_over(who, address, again.told, since_of(again.since))
        return await self._done(who, address, doing, again)

    async def report(self, request: Request, who: SignedIn) -> Response:
        report = request.path_params["report"]
        document = await self._phone.report(who, report)
        name = f"site-report-{report[:32]}.html"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return Response(document, media_type="text/html; charset=utf-8", headers=headers)

    async def _do(self, who: SignedIn, address: Address, again: Again, kind: Kind) -> Response:
        async def doing() -> None:
            body = await self._body(who, address, kind, again.told)
            await self._phone.do(who, address, again.told.get("id", ""), kind, body)

        return await self._done(who, address, doing(), again)

    async def _body(
        self, who: SignedIn, address: Address, kind: Kind, told: phone_work.Told
    ) -> dict[str, Any]:
        """As the service takes it. Raises InvalidRequest."""
        match kind:
            case Kind.PLACE:
                return phone_work.place(told)
            case Kind.NOTE:
                return {"text": phone_work.text(told, "text")}
            case Kind.REPLACE_UNIT:
                return phone_work.replaced_unit(told, await self._phone.units(who, address))
            case _:
                return phone_work.calibration(told, await self._phone.units(who, address)).body

    async def _done(self, who: SignedIn, address: Address, doing: Awaitable[Any], again: Again) -> Response:
        try:
            await doing
        except LinkError:
            raise
        except LamppostError as refused:
            return await self._site(who, address, refused, again=again)
        to = {"done": again.form} | ({"since": again.since} if again.since else {})
        return RedirectResponse(f"/field/{address}?{urlencode(to)}", 303)

    async def _site(
        self,
        who: SignedIn,
        address: Address,
        problem: LamppostError | None = None,
        *,
        again: Again = NOTHING,
        done: str = "",
    ) -> Response:
        found = await self._phone.site(who, address, since_of(again.since))
        body = view.site(found, may(who, MAY_REPORT), drawn(found.check), again)
        return await self._page(who, found.name, body, problem, done=done, refresh=found.waits)

    async def _page(
        self,
        who: SignedIn,
        title: str,
        body: str,
        problem: LamppostError | None = None,
        *,
        done: str = "",
        refresh: bool = False,
    ) -> Response:
        return await self._desk.answer(
            who, title, body, area=AREA, done=done, problem=problem, refresh=refresh
        )


async def _typed(request: Request, form: str) -> Again:
    return _again(request, form, (await forms.given(request)).by_name)


def _again(request: Request, form: str = "", told: phone_work.Told | None = None) -> Again:
    since = request.query_params.get("since", "")
    return Again(form, told or {}, since if since_of(since) else "")


def _address(request: Request) -> Address:
    return address_of(request.path_params["tenant"], request.path_params["name"])
