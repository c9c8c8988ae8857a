"""Devices, for whoever may ask: register, list, look at one, change its state.

Every function takes the context and the acting principal, and authorizes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Literal

from sqlmodel import Session

from fleet_server.access.rules import WORKER, Action, Principal
from fleet_server.access.service import authorize
from fleet_server.audit.recording import record
from fleet_server.context import Context
from fleet_server.devices import store
from fleet_server.devices.rules import DeviceState, Freshness, Place, freshness, place_problem
from fleet_server.devices.store import ConditionRecord, DeviceRecord, Newcomer, SensorUnitRecord
from fleet_server.errors import InvalidRequest, NotFound
from fleet_server.tenants import service as tenants
from wire_contract.topics import Address

__all__ = [
    "Address",
    "ConditionRecord",
    "DeviceRecord",
    "DeviceState",
    "DeviceView",
    "Newcomer",
    "Place",
    "SensorUnitRecord",
]

NOWHERE = Place()


@dataclass(frozen=True)
class DeviceView:
    """A device as people see it: its record, and the age of its newest sample by the street clock."""

    record: DeviceRecord
    age_s: float | None
    freshness: Freshness


def register(
    ctx: Context, principal: Principal, address: Address, site: str = "", place: Place = NOWHERE
) -> int:
    """Make the device active, whether it is new or was known; returns its id.

    What it sent before waits in the dead letters and is replayed by the worker role. A known one keeps its
    site, coordinates and district where none are given. Raises InvalidRequest, QuotaReached.
    """
    authorize(principal, Action.DEVICES_REGISTER, str(address))
    checked_place(place)
    with ctx.db.session(principal.tenant) as session:
        tenants.need_room(session, address.tenant, [address.device])
        before = store.found(session, address)
        store.say_when(session, ctx.clock.now())
        made = store.register(session, address, site, place)
        told = {"state": DeviceState.ACTIVE, "place": asdict(place)}
        former = None if before is None else {"state": before.state, "place": asdict(_place(before))}
        action = Action.DEVICES_REGISTER
        record(session, principal, action, str(address), before=former, after=told, personal={"site": site})
        return made


def register_new(ctx: Context, principal: Principal, newcomers: Sequence[Newcomer]) -> set[Address]:
    """Make those active that nobody knows yet; returns who they are. Raises InvalidRequest."""
    for each in newcomers:
        authorize(principal, Action.DEVICES_REGISTER, str(each.address))
        checked_place(each.place)
    with ctx.db.session(principal.tenant) as session:
        for tenant in sorted({each.address.tenant for each in newcomers}):
            names = [each.address.device for each in newcomers if each.address.tenant == tenant]
            tenants.need_room(session, tenant, names)
        store.say_when(session, ctx.clock.now())
        made = store.register_new(session, newcomers)
        for each in newcomers:
            if each.address in made:
                told = {"state": DeviceState.ACTIVE, "place": asdict(each.place)}
                site, whose = {"site": each.site}, str(each.address)
                record(session, principal, Action.DEVICES_REGISTER, whose, after=told, personal=site)
        return made


def state_of(ctx: Context, principal: Principal, address: Address) -> DeviceState | None:
    """The device's state; None where there is no such device."""
    authorize(principal, Action.DEVICES_READ, str(address))
    with ctx.db.session(principal.tenant) as session:
        return store.state_of(session, address)


def state_within(session: Session, address: Address) -> DeviceState | None:
    """As `state_of`, for a slice that is in a transaction of its own and has authorized."""
    return store.state_of(session, address)


def change_state(ctx: Context, principal: Principal, address: Address, state: DeviceState) -> DeviceView:
    """Activate, quarantine or decommission. Raises NotFound."""
    [changed] = change_states(ctx, principal, [address], state)
    return changed


def change_states(
    ctx: Context,
    principal: Principal,
    addresses: Sequence[Address],
    state: DeviceState,
    check: Callable[[Session, Mapping[Address, DeviceState]], None] = lambda *_: None,
    also: Callable[[Session, Address], Mapping[str, object]] = lambda *_: {},
) -> list[DeviceView]:
    """As `change_state`, for all of them or none, in one transaction.

    check: may refuse, of the states as they were; nothing is written before it. also: what else is done for
    each in the same transaction; returns what the audit log is told of it.
    """
    for address in addresses:
        authorize(principal, Action.DEVICES_CHANGE, str(address))
    for_good = state is DeviceState.DECOMMISSIONED
    action = Action.DEVICES_DECOMMISSION if for_good else Action.DEVICES_CHANGE
    with ctx.db.session(principal.tenant) as session:
        formers = store.lock_states(session, addresses)
        for address in addresses:
            if address not in formers:
                raise _no_such(address)
        check(session, formers)
        for address, former in formers.items():
            told = also(session, address)
            if former is state and principal == WORKER:
                continue  # it repeats what was cut short: no decision
            store.change_state(session, address, state)
            before, after = {"state": former}, {"state": state, **told}
            record(session, principal, action, str(address), before=before, after=after)
        now = ctx.clock.now()
        return [_view(_need(session, address), now) for address in addresses]


def change_place(
    ctx: Context,
    principal: Principal,
    address: Address,
    *,
    at: tuple[float, float] | Literal["keep", "none"] = "keep",
    district: str | None = None,
) -> DeviceView:
    """Say where a lamppost stands: latitude and longitude, and district (None keeps it, "" takes it away).

    Indices of its district count it from the present hour on. Raises NotFound, InvalidRequest.
    """
    authorize(principal, Action.DEVICES_CHANGE, str(address))
    with ctx.db.session(principal.tenant) as session:
        place = store.place_of(session, address)
        if place is None:
            raise _no_such(address)
        former = asdict(place)
        if at != "keep":
            latitude, longitude = (None, None) if at == "none" else at
            place = replace(place, latitude=latitude, longitude=longitude)
        if district is not None:
            place = replace(place, district=district)
        store.say_when(session, ctx.clock.now())
        store.change_place(session, address, checked_place(place))
        after = asdict(place)
        record(session, principal, Action.DEVICES_CHANGE, str(address), before=former, after=after)
        return _view(_need(session, address), ctx.clock.now())


def checked_place(place: Place) -> Place:
    """The place as it is. Raises InvalidRequest."""
    problem = place_problem(place)
    if problem is not None:
        raise InvalidRequest(f"{problem[0].upper()}{problem[1:]}.")
    return place


def list_devices(
    ctx: Context, principal: Principal, *, after_id: int = 0, limit: int = 200
) -> list[DeviceView]:
    """A page of devices by id."""
    authorize(principal, Action.DEVICES_READ)
    now = ctx.clock.now()
    with ctx.db.session(principal.tenant) as session:
        return [_view(record, now) for record in store.listed(session, after_id, limit, principal.within)]


def own(ctx: Context, principal: Principal, ids: Collection[int]) -> set[int]:
    """Those of the devices' ids that the principal may know of."""
    authorize(principal, Action.DEVICES_READ)
    with ctx.db.session(principal.tenant) as session:
        return store.own(session, ids, principal.within)


def get_device(ctx: Context, principal: Principal, address: Address) -> DeviceView:
    """One device. Raises NotFound."""
    authorize(principal, Action.DEVICES_READ, str(address))
    with ctx.db.session(principal.tenant) as session:
        return _view(_need(session, address), ctx.clock.now())


def sensors(ctx: Context, principal: Principal, address: Address) -> list[SensorUnitRecord]:
    """Its sensor units with their series. Raises NotFound."""
    authorize(principal, Action.DEVICES_READ, str(address))
    with ctx.db.session(principal.tenant) as session:
        return store.sensors(session, _need(session, address).id)


def conditions(
    ctx: Context, principal: Principal, address: Address, *, current: bool = True, limit: int = 100
) -> list[ConditionRecord]:
    """What is wrong with it now, or ever was; newest first. Raises NotFound."""
    authorize(principal, Action.DEVICES_READ, str(address))
    with ctx.db.session(principal.tenant) as session:
        return store.conditions(session, _need(session, address).id, current=current, limit=limit)


def _need(session: Session, address: Address) -> DeviceRecord:
    record = store.found(session, address)
    if record is None:
        raise _no_such(address)
    return record


def _place(device: DeviceRecord) -> Place:
    return Place(device.latitude, device.longitude, device.district)


def _no_such(address: Address) -> NotFound:
    return NotFound(f"There is no device {address}.")


def _view(record: DeviceRecord, now: datetime) -> DeviceView:
    newest = record.newest_sample_at
    age_s = None if newest is None else max(0.0, (now - newest).total_seconds())
    return DeviceView(record, age_s, freshness(age_s))
