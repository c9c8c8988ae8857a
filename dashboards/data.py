"""The one module that calls the services: each call in a thread, each answer as the page's own values."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from typing import Concatenate, ParamSpec, TypeVar

from air_quality.place import BadCell, cell_centre
from dashboards import words
from dashboards.asked_from import asked_from, asked_why
from dashboards.model import Condition, Detail, Lamppost, Pending, Place, Reading, Sensor, UsedTwice
from fleet_server.access import service as access
from fleet_server.access.service import SignedIn, two_person
from fleet_server.auditor import service as auditor
from fleet_server.config import ServerConfig
from fleet_server.context import Context
from fleet_server.decisions import service as decisions
from fleet_server.devices import service as devices
from fleet_server.devices.service import DeviceView, SensorUnitRecord
from fleet_server.enrolment import service as enrolment
from fleet_server.enrolment.service import batches
from fleet_server.errors import LinkError
from fleet_server.live import LiveHub
from fleet_server.telemetry import service as telemetry
from fleet_server.telemetry.service import LatestReading

P = ParamSpec("P")
T = TypeVar("T")
LOOKERS = 4  # threads that wait for the database; a look asks one thing after the other
# Threads that sign people in, apart, so that it never holds up a look. More than the service lets in at once
# (fleet_server.access.passwords): a flood is refused by it instead of waiting here, with everybody behind it.
DOORKEEPERS = 12
LAMPPOSTS_MAX = 5_000  # one page's list; beyond it a city needs pages of its own
NOTHING_HEARD_S = 60.0
SHOWN = "pm2_5"  # the channel of the list
STEPS_S = {"raw": 0, "1m": 60, "1h": 3600, "1d": 86400}


class Services:
    """What the pages need of the server. Raises what the services raise: LinkError, Forbidden, ..."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._lookers = ThreadPoolExecutor(LOOKERS, thread_name_prefix="look")
        self._doorkeepers = ThreadPoolExecutor(DOORKEEPERS, thread_name_prefix="door")

    @classmethod
    def of(cls, config: ServerConfig) -> Services:
        return cls(Context.of(config))

    def close(self) -> None:
        for pool in (self._lookers, self._doorkeepers):
            pool.shutdown(wait=False, cancel_futures=True)
        self._context.db.close()

    def now_ms(self) -> int:
        """The street clock."""
        return self._context.clock.now_ms()

    def now(self) -> datetime:
        """The street clock, with its time zone."""
        return self._context.clock.now()

    def speed(self) -> float:
        return self._context.clock.speed

    async def at_door(
        self,
        address: str,
        function: Callable[Concatenate[Context, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """One step of signing in, in a thread kept for it. Raises SignInBusy beside its own refusals."""

        why = asked_why()

        def attempt() -> T:
            with auditor.of_pages(self._context, address, why):
                return function(self._context, *args, **kwargs)

        return await asyncio.get_running_loop().run_in_executor(self._doorkeepers, attempt)

    async def sign_out(self, token: str) -> None:
        await self._call(access.sign_out, self._context, token)

    async def resolve(self, token: str) -> SignedIn | None:
        return await self._call(access.resolve_session, self._context, token)

    async def listen(self, changed: Callable[[frozenset[int] | None], None]) -> None:
        """Until cancelled: tell which lampposts a commit touched; None where some notification was missed."""
        hub = LiveHub(self._context.db.url)
        listener = hub.listen()
        running = asyncio.create_task(hub.run())
        try:
            while True:
                change = await listener.next(NOTHING_HEARD_S)
                if change is not None:
                    changed(None if change.missed else change.devices)
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running

    async def lampposts(self, by: SignedIn) -> Sequence[Lamppost]:
        """Those in service with their newest value; without index and incident, which data_map.py adds.

        One that was decommissioned is no failure: its page stays, the list is of what stands in the street.
        """
        found = await self._call(devices.list_devices, self._context, by.principal, limit=LAMPPOSTS_MAX)
        newest = await self._call(
            telemetry.latest, self._context, by.principal, channel=SHOWN, limit=LAMPPOSTS_MAX
        )
        shown: dict[str, LatestReading] = {}
        for each in newest:
            address = str(each.reading.series.address)
            if address not in shown or shown[address].time < each.reading.time:
                shown[address] = each.reading
        return [
            _lamppost(device, shown.get(str(device.record.address)))
            for device in found
            if device.record.state is not devices.DeviceState.DECOMMISSIONED
        ]

    async def lamppost(self, by: SignedIn, tenant: str, name: str) -> Lamppost:
        """One lamppost, without its newest value. Raises NotFound."""
        address = devices.Address(tenant, name)
        return _lamppost(await self._call(devices.get_device, self._context, by.principal, address), None)

    async def conditions(self, by: SignedIn, lamppost: Lamppost) -> Sequence[Condition]:
        """What is wrong with it now, newest first."""
        found = await self._call(devices.conditions, self._context, by.principal, lamppost.handle)
        return [Condition(c.code, c.subject, c.severity, c.detail, c.remedy, _ms(c.raised_at)) for c in found]

    async def incidents_open(self, by: SignedIn) -> int | None:
        """How many incidents are open."""
        return await self._call(decisions.count_open, self._context, by.principal)

    async def detail(self, by: SignedIn, lamppost: Lamppost) -> Detail:
        device = await self._call(devices.get_device, self._context, by.principal, lamppost.handle)
        units = await self._call(devices.sensors, self._context, by.principal, lamppost.handle)
        wrong = await self._call(devices.conditions, self._context, by.principal, lamppost.handle)
        newest = await self._call(telemetry.latest, self._context, by.principal, lamppost.handle)
        readings = {each.reading.series.id: each.reading for each in newest}
        return Detail(
            id=lamppost.id,
            version=device.record.agent_version,
            clock_ok=device.record.clock_ok,
            conditions=tuple(
                Condition(c.code, c.subject, c.severity, c.detail, c.remedy, _ms(c.raised_at)) for c in wrong
            ),
            sensors=tuple(_sensor(unit) for unit in units),
            readings=tuple(reading for unit in units for reading in _readings(unit, readings)),
        )

    async def pending(self, by: SignedIn) -> Sequence[Pending]:
        waiting = await self._call(
            enrolment.list_enrolments, self._context, by.principal, (enrolment.State.PENDING,)
        )
        return [
            Pending(
                id=each.id,
                name=f"{each.tenant}/{each.device}",
                site=each.site,
                claim=each.claim_id,
                fingerprint=each.key_fingerprint,
                asked_ms=_ms(each.requested_at or each.created_at),
                ends_another=each.known or each.replaces,
            )
            for each in waiting
        ]

    async def alarms(self, by: SignedIn) -> Sequence[batches.Alarm]:
        """Claims that were used twice and nobody looked at, for who may; none for others, or where nobody
        knows just now."""
        if not access.permitted(by.principal, "enrolments:decide"):
            return ()
        try:
            return await self._call(batches.alarms, self._context, by.principal)
        except LinkError:
            return ()

    async def used_twice(self, by: SignedIn) -> Sequence[UsedTwice]:
        """The same for pages with a script. Raises Forbidden."""
        return [
            UsedTwice(each.id, each.claim_id, each.device, each.key_fingerprint, _ms(each.at))
            for each in await self._call(batches.alarms, self._context, by.principal)
        ]

    async def decide(self, by: SignedIn, wanted: int, accept: bool) -> None:
        """A person compared the fingerprint; why they refuse it, whoever set it up reads. Raises Forbidden,
        NotFound, Conflict, LinkError."""
        if accept:
            await self._call(enrolment.accept, self._context, by.principal, wanted)
        else:
            await self._call(enrolment.reject, self._context, by.principal, wanted, asked_why())

    async def waiting(self, by: SignedIn) -> int | None:
        """How many requests wait for this person's yes or no; None: they decide none, or nobody knows now."""
        if not access.permitted(by.principal, "approvals:decide"):
            return None
        try:
            found = await self._call(two_person.listed, self._context, by.principal, two_person.State.WAITING)
        except LinkError:
            return None
        return sum(each.asked_by != by.principal.name for each in found)

    async def ask(
        self, function: Callable[Concatenate[Context, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """One function of a service, in a thread: what the other data modules are made of."""
        return await self._call(function, self._context, *args, **kwargs)

    async def _call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        address, why = asked_from(), asked_why()

        def act() -> T:
            with auditor.of_pages(self._context, address, why):
                return function(*args, **kwargs)

        return await asyncio.get_running_loop().run_in_executor(self._lookers, act)


def _lamppost(device: DeviceView, shown: LatestReading | None) -> Lamppost:
    record = device.record
    return Lamppost(
        id=record.id,
        handle=record.address,
        tenant=record.address.tenant,
        name=record.address.device,
        site=record.site,
        state=str(record.state),
        presence=str(record.presence),
        presence_ms=_maybe_ms(record.presence_at),
        newest_ms=_maybe_ms(record.newest_sample_at),
        fresh=str(device.freshness),
        value=words.exact(shown.value, max(shown.series.exponent, -1)) if shown else None,
        unit=shown.series.unit if shown else "",
        flag=shown.flag if shown else 0,
        backlog=tuple(sorted(record.backlog.items())),
        conditions=record.conditions,
        worst=record.worst,
        district=record.district,
        place=_place(record.latitude, record.longitude, record.cell),
    )


def _place(latitude: float | None, longitude: float | None, cell: str) -> Place | None:
    """The declared place, else the middle of the cell that the lamppost tells."""
    if latitude is not None and longitude is not None:
        return Place(latitude, longitude, coarse=False)
    try:
        return Place(*cell_centre(cell), coarse=True)
    except BadCell:  # none told, or what is no geohash
        return None


def _sensor(unit: SensorUnitRecord) -> Sensor:
    channels = tuple(s.channel for s in unit.series)
    return Sensor(unit.id, unit.kind, unit.serial, unit.site, channels, _ms(unit.declared_at))


def _readings(unit: SensorUnitRecord, newest: Mapping[int, LatestReading]) -> Iterator[Reading]:
    for series in unit.series:
        found = newest.get(series.id)
        yield Reading(
            series=series.id,
            sensor=unit.id,
            channel=series.channel,
            unit=series.unit,
            exponent=series.exponent,
            value=words.exact(found.value, series.exponent) if found else None,
            flag=found.flag if found else 0,
            time_ms=_ms(found.time) if found else None,
        )


def _maybe_ms(at: datetime | None) -> int | None:
    return None if at is None else _ms(at)


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)
