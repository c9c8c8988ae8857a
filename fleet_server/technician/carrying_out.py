"""What follows from a technician's work in the other slices. Each may be repeated: a power cut between it and
its line in the site's history does no harm.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal, assert_never

from fleet_server.access.rules import Principal
from fleet_server.air import service as air
from fleet_server.context import Context
from fleet_server.devices import service as devices
from fleet_server.devices.rules import DeviceState
from fleet_server.enrolment import service as enrolment
from fleet_server.enrolment import standing
from fleet_server.enrolment.rules import State
from fleet_server.errors import Conflict, InvalidRequest
from fleet_server.technician import store
from fleet_server.technician.rules import (
    BadWork,
    CalibrateWork,
    Changed,
    DecommissionWork,
    Kind,
    NoteWork,
    PlaceWork,
    ReplaceDeviceWork,
    ReplaceUnitWork,
    Work,
    unit_in_place,
)
from wire_contract.topics import Address

UNITS_MOST = 200  # changes of units at a post: one a month for sixteen years


def carry_out(ctx: Context, principal: Principal, address: Address, work: Work, done_at: datetime) -> None:
    """Raises what the services raise, and Conflict where the post is another one by now."""
    match work:
        case PlaceWork():
            _place(ctx, principal, address, work)
        case CalibrateWork():
            _calibrate(ctx, principal, address, work, done_at)
        case DecommissionWork():
            _decommission(ctx, principal, address, done_at)
        case ReplaceUnitWork() | ReplaceDeviceWork() | NoteWork():
            pass  # the lamppost declares a unit, and a claim lets a computer in: this is the site's history
        case _:
            assert_never(work)


def check(work: Work, done_at: datetime) -> None:
    """What can be said of it before it is carried out. Raises InvalidRequest."""
    if isinstance(work, CalibrateWork):
        air.check_calibration(*_entry(work, done_at))


def _place(ctx: Context, principal: Principal, address: Address, work: PlaceWork) -> None:
    at: tuple[float, float] | Literal["keep"] = "keep"
    if work.latitude is not None and work.longitude is not None:
        at = (work.latitude, work.longitude)
    if at != "keep" or work.district is not None:
        devices.change_place(ctx, principal, address, at=at, district=work.district)


def _calibrate(
    ctx: Context, principal: Principal, address: Address, work: CalibrateWork, done_at: datetime
) -> None:
    entry, begins = _entry(work, done_at)
    unit = work.sensor_unit or _unit_in_place(ctx, principal, address, work.channel, done_at)
    air.set_calibration(ctx, principal, address, entry, begins, unit)


def _entry(work: CalibrateWork, done_at: datetime) -> tuple[air.Calibration, datetime]:
    """As the air slice takes it, and from when on. Raises InvalidRequest."""
    try:
        begins = datetime.fromisoformat(work.valid_from) if work.valid_from else done_at
    except ValueError:
        raise InvalidRequest("valid_from is a time with a zone.") from None
    entry = air.Calibration(
        slope=work.slope,
        offset=work.offset,
        humidity=work.humidity,
        valid_from_ms=0,
        source=work.source,
        channel=work.channel,
    )
    return entry, begins


def _unit_in_place(
    ctx: Context, principal: Principal, address: Address, channel: str, done_at: datetime
) -> int | None:
    """By the site's history: a unit that was replaced stays listed, and its calibration is its own.

    None: it is not clear; whoever is asked next says so. Raises Conflict.
    """
    having = [
        unit
        for unit in devices.sensors(ctx, principal, address)
        if any(series.channel == channel for series in unit.series)
    ]
    places = {unit.site for unit in having}
    if len(places) != 1:
        return None
    with ctx.db.session(principal.tenant) as session:
        told = store.history(session, address, UNITS_MOST, kind=Kind.REPLACE_UNIT)
    changed = [
        Changed(each.done_at, each.body["new_serial"]) for each in told if each.body["sensor"] in places
    ]
    try:
        return unit_in_place({unit.id: unit.serial for unit in having}, changed, done_at)
    except BadWork as early:
        raise Conflict(f"It was not carried out: {early}.") from early


def _decommission(ctx: Context, principal: Principal, address: Address, done_at: datetime) -> None:
    again = [
        each.decided_at
        for each in enrolment.list_enrolments(ctx, principal, (State.ISSUED,))
        if (each.tenant, each.device) == (address.tenant, address.device)
        and each.decided_at is not None
        and each.decided_at > done_at
    ]
    if again:
        raise Conflict(
            f"It was not carried out: {address} was let in again at {max(again):%Y-%m-%d %H:%M} UTC.",
            remedy="Tell it again as of now if it is still meant.",
        )
    standing.change_state(ctx, principal, address, DeviceState.DECOMMISSIONED)
