"""What the pages for a phone ask the services: claims, who waits to be let in, what was done at a post."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from dashboards import phone_work
from dashboards.data import Services
from dashboards.forms import WHY
from dashboards.phone_work import Unit, number
from fleet_server.access.service import SignedIn, permitted
from fleet_server.devices import service as devices
from fleet_server.devices.service import Address, Place
from fleet_server.enrolment import service as enrolment
from fleet_server.enrolment.service import Enrolment, batches
from fleet_server.errors import Conflict, LamppostError
from fleet_server.technician import service as field
from fleet_server.technician.service import Kind

__all__ = ["Address", "ClaimWish", "Claimed", "Phone", "Site", "Standing"]


@dataclass(frozen=True)
class Standing:
    """A claim and what became of it; `label` is an SVG. device "": it proposes a name itself. ends_another:
    there is a lamppost of this name, whose certificates are over once this one is let in. replaces: it was
    made for that. expires_at: until then it can be used, then decided; real time. alarms: it was used twice,
    and nobody has looked at it."""

    id: int
    claim: str
    state: str
    tenant: str
    device: str
    site: str
    fingerprint: str
    made_by: str
    reason: str
    label: str = ""
    url: str = ""
    ends_another: bool = False
    replaces: bool = False
    expires_at: datetime | None = None
    alarms: Sequence[batches.Alarm] = ()


@dataclass(frozen=True)
class Claimed:
    """A claim that was just made: its token is shown once."""

    token: str
    standing: Standing


@dataclass(frozen=True)
class Site:
    """A post, for the one who stands before it."""

    tenant: str
    name: str
    site: str
    district: str
    latitude: float | None
    longitude: float | None
    height_m: float | None
    state: str
    check: Any  # provisioning's SiteTest, as the service gives it
    photos: Sequence[Any]
    reports: Sequence[Any]
    history: Sequence[Any]
    units: Sequence[Unit] = ()
    now: datetime | None = None  # the street clock
    since: datetime | None = None  # the first ack is measured from here, real time
    waits: bool = False  # it is not there yet


@dataclass(frozen=True)
class ClaimWish:
    """A claim as the form has it, every field as text. life: one of `phone_work.LIVES`."""

    device: str = ""
    site: str = ""
    latitude: str = ""
    longitude: str = ""
    district: str = ""
    replaces: str = ""
    life: str = ""


class Phone:
    """Raises what the services raise."""

    def __init__(self, services: Services) -> None:
        self._services, self._ask = services, services.ask

    async def standing(self, by: SignedIn, states: Sequence[str]) -> list[Standing]:
        """Claims in these states, the newest first."""
        wanted = tuple(enrolment.State(state) for state in states)
        found = await self._ask(enrolment.list_enrolments, by.principal, wanted)
        return [_standing(each) for each in found]

    async def claim(self, by: SignedIn, claim: str) -> Standing:
        """One claim with its label, and whether it was used twice. Raises NotFound."""
        label = await self._ask(field.label_of, by.principal, claim)
        found = await self._ask(enrolment.get_enrolment, by.principal, label.enrolment_id)
        alarms = await self._ask(batches.alarms, by.principal)
        mine = tuple(each for each in alarms if each.claim_id == label.claim_id)
        return replace(_standing(found, label.svg, label.url), alarms=mine)

    async def make_claim(self, by: SignedIn, wish: ClaimWish) -> Claimed:
        place = Place(number(wish.latitude), number(wish.longitude), wish.district.strip())
        made = await self._ask(
            enrolment.make_claim,
            by.principal,
            wish.device.strip() or None,
            wish.site.strip(),
            place=place,
            life=phone_work.life(wish.life),
            replaces=bool(wish.replaces),
        )
        return Claimed(made.token, await self.claim(by, made.enrolment.claim_id))

    async def decide(self, by: SignedIn, claim: str, last: str, accept: bool, reason: str = "") -> Standing:
        """Let it in, or refuse it. Accepting takes the last group of the fingerprint that the lamppost shows:
        whoever did not look cannot know it. Raises Conflict where it is another."""
        found = await self.claim(by, claim)
        if not accept:
            await self._ask(enrolment.reject, by.principal, found.id, reason)
        elif not found.fingerprint or last.strip().lower() != found.fingerprint.rpartition("-")[2]:
            raise Conflict(
                "Nothing was accepted: these are not the last four characters of this key.",
                remedy="If the lamppost shows others, somebody else used the claim: refuse it.",
            )
        else:
            await self._ask(enrolment.accept, by.principal, found.id)
        return await self.claim(by, claim)

    async def withdraw(self, by: SignedIn, claim: str) -> None:
        """Raises Forbidden, NotFound, NotNow."""
        await self._ask(enrolment.withdraw, by.principal, claim)

    async def site(self, by: SignedIn, address: Address, since: datetime | None = None) -> Site:
        """since: when the first ack began to be measured; one that is too long ago is left out. Raises
        NotFound."""
        record = (await self._ask(devices.get_device, by.principal, address)).record
        history = await self._ask(field.site_history, by.principal, address, limit=20)
        heights = [each.body.get("height_m") for each in history if each.body.get("height_m") is not None]
        since = _measurable(since)
        check = await self._ask(field.site_check, by.principal, address, since)
        return Site(
            tenant=address.tenant,
            name=address.device,
            site=record.site,
            district=record.district,
            latitude=record.latitude,
            longitude=record.longitude,
            height_m=heights[0] if heights else None,
            state=str(record.state),
            check=check,
            photos=await self._ask(field.list_photos, by.principal, address),
            reports=await self._ask(field.list_reports, by.principal, address),
            history=history,
            units=await self.units(by, address),
            now=self._services.now(),
            since=since,
            waits=field.waits_for_ack(check, since),
        )

    async def units(self, by: SignedIn, address: Address) -> list[Unit]:
        """The sensor units that it has declared, those that were replaced among them. Raises NotFound."""
        found = await self._ask(devices.sensors, by.principal, address)
        return [
            Unit(each.id, each.kind, each.serial, each.site, tuple(one.channel for one in each.series))
            for each in found
        ]

    async def where(self, by: SignedIn, name: str) -> Address:
        """The lamppost of this name, with or without its city. Raises NotFound."""
        settings = await self._ask(field.field_settings, by.principal)
        tenant, slash, device = name.strip().lower().rpartition("/")
        address = address_of(tenant if slash else settings.tenant, device)
        await self._ask(devices.get_device, by.principal, address)
        return address

    async def do(
        self, by: SignedIn, address: Address, work_id: str, kind: Kind, body: Mapping[str, Any]
    ) -> None:
        """Work at a post. A form that is sent again, because its answer was lost, is done already. Raises as
        `do_work`: Conflict and SecondPersonNeeded among it."""
        known = await self._ask(field.site_history, by.principal, address, limit=20)
        if any(each.id == work_id and each.kind is kind and _within(body, each.body) for each in known):
            return
        work = field.NewWork(work_id, kind, address, datetime.now(UTC), body)
        await self._ask(field.do_work, by.principal, work)

    async def check(
        self, by: SignedIn, address: Address, work_id: str, kind: Kind, body: Mapping[str, Any]
    ) -> None:
        """Would it be taken? Raises what speaks against it already."""
        work = field.NewWork(work_id, kind, address, datetime.now(UTC), body)
        await self._ask(field.check_work, by.principal, work)

    async def replace_device(
        self, by: SignedIn, address: Address, work_id: str, told: Mapping[str, str]
    ) -> Claimed:
        """A claim for the computer that takes the name, and a line in the site's history. Where the line is
        refused the claim is taken back."""
        body = {"reason": phone_work.text(told, WHY)}
        await self.check(by, address, work_id, Kind.REPLACE_DEVICE, body)
        record = (await self._ask(devices.get_device, by.principal, address)).record
        made = await self._ask(
            enrolment.make_claim,
            by.principal,
            address.device,
            record.site,
            tenant=address.tenant,
            life=phone_work.life(told.get("life", "")),
            replaces=True,
        )
        claim = made.enrolment.claim_id
        try:
            await self.do(by, address, work_id, Kind.REPLACE_DEVICE, body | {"claim": claim})
        except LamppostError:
            await self.withdraw(by, claim)
            raise
        return Claimed(made.token, await self.claim(by, claim))

    async def hand_over(
        self, by: SignedIn, address: Address, told: Mapping[str, str], since: datetime | None = None
    ) -> str:
        """The report's id. since: as in `site`."""
        given = field.Handover(
            technician=told.get("technician", ""),
            received_by=told.get("received_by", ""),
            note=told.get("note", "").replace("\r\n", "\n"),
            height_m=number(told.get("height", "")),
            since=_measurable(since),
        )
        return (await self._ask(field.hand_over, by.principal, address, given)).id

    async def put_photo(
        self, by: SignedIn, address: Address, content: bytes, caption: str, keep_metadata: bool
    ) -> None:
        await self._ask(field.put_photo, by.principal, address, content, caption, keep_metadata=keep_metadata)

    async def photo(self, by: SignedIn, address: Address, sha256: str) -> tuple[str, bytes]:
        """Its media type and bytes."""
        found, content = await self._ask(field.get_photo, by.principal, address, sha256)
        return found.media_type, content

    async def report(self, by: SignedIn, report_id: str) -> bytes:
        return await self._ask(field.report_document, by.principal, report_id)


def may(by: SignedIn, action: str) -> bool:
    return permitted(by.principal, action)


def address_of(tenant: str, name: str) -> Address:
    """Raises NotFound for one that no lamppost can have."""
    return field.address_of(tenant, name)


def since_of(text: str) -> datetime | None:
    """Milliseconds of real time, as an address or a form has them; None for anything else."""
    if not (text.isascii() and text.isdigit() and len(text) <= len("1700000000000")):
        return None
    return datetime.fromtimestamp(int(text) / 1000, UTC)


def _measurable(since: datetime | None) -> datetime | None:
    return since if since is not None and field.measures(since, datetime.now(UTC)) else None


def _within(body: Mapping[str, Any], kept: Mapping[str, Any]) -> bool:
    return all(kept.get(name) == value for name, value in body.items())


def state_now(state: enrolment.State, expires_at: datetime, now: datetime) -> enrolment.State:
    """Of a claim: that its time is over is written down when somebody next asks for it, and shown before."""
    waits = state in (enrolment.State.CLAIMED, enrolment.State.PENDING)
    return enrolment.State.EXPIRED if waits and expires_at <= now else state


def _standing(found: Enrolment, label: str = "", url: str = "") -> Standing:
    return Standing(
        id=found.id,
        claim=found.claim_id,
        state=str(state_now(found.state, found.expires_at, datetime.now(UTC))),
        tenant=found.tenant,
        device=found.device or "",
        site=found.site,
        fingerprint=found.key_fingerprint,
        made_by=found.created_by,
        reason=found.reason,
        label=label,
        url=url,
        ends_another=found.known or found.replaces,
        replaces=found.replaces,
        expires_at=found.expires_at,
    )
