"""Stops lampposts that flood: out for a while, in again by itself. The worker's loop.

Out means quarantined, as a person would do it: its certificates go on hold, its connection ends. A person may
let it in sooner, or keep it out: what a person decides ends the flood in the same transaction (`decided`),
and the worker changes a lamppost's state only while its flood is held.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from psycopg import Connection
from sqlmodel import Session

from fleet_server.access.rules import WORKER, Action, Principal
from fleet_server.access.service import authorize
from fleet_server.context import Context
from fleet_server.devices import reported
from fleet_server.devices.rules import DeviceState
from fleet_server.errors import Conflict, LamppostError
from fleet_server.limits import store
from fleet_server.limits.rules import FORGOTTEN_AFTER, Event, State, pause, step
from fleet_server.limits.store import OpenFlood
from wire_contract.messages import Condition
from wire_contract.topics import Address

log = logging.getLogger(__name__)

CONDITION = "flood"
FLOODS_A_TICK = 50
KEPT = timedelta(days=90)
TOLD_FOR = timedelta(hours=1)  # where nothing is held, nothing ends either


class Change(Protocol):
    """`enrolment.standing.change_state`, which imports this slice."""

    def __call__(
        self, ctx: Context, principal: Principal, address: Address, state: DeviceState, now: datetime, /
    ) -> object: ...


class Decided(Conflict):
    """A person decided about the lamppost meanwhile: nothing was changed."""


def follow_floods(
    connection: Connection[Any], ctx: Context, change: Change, now: datetime | None = None
) -> int:
    """One step for each flood that is due; can be repeated. Returns how many there were."""
    instant = now or datetime.now(UTC)
    store.forget(connection, instant - KEPT, FLOODS_A_TICK)
    found = store.open_floods(connection, instant - FORGOTTEN_AFTER, instant, FLOODS_A_TICK)
    for flood in found:
        try:
            _follow(connection, ctx, change, flood, instant)
        except Decided:
            log.info("%s flooded, and a person decides about it", flood.address)
        except LamppostError as error:  # the authority does not answer: the next tick tries again
            log.error("%s floods and cannot be stopped now: %s", flood.address, error)
    store.clear_conditions(connection, CONDITION, instant - TOLD_FOR, ctx.clock.now())
    return len(found)


def list_floods(ctx: Context, principal: Principal, *, before_id: int, limit: int) -> list[store.FloodRecord]:
    """A page of them, the newest first. Raises Forbidden."""
    authorize(principal, Action.DEVICES_READ)
    with ctx.db.session(principal.tenant) as session:
        return store.listed(session, before_id, limit, principal.within)


def held_until(ctx: Context, principal: Principal, address: Address) -> datetime | None:
    """When it is let in again by itself; None where no flood keeps it out. Raises Forbidden."""
    authorize(principal, Action.DEVICES_READ, str(address))
    with ctx.db.session(principal.tenant) as session:
        found = store.open_of(session, address)
    return found.until if found is not None and found.state is State.HELD else None


def decided(
    ctx: Context, session: Session, principal: Principal, address: Address, state: DeviceState
) -> dict[str, object]:
    """In the transaction that changes a lamppost's state: a person's word ends its open flood, also the word
    that it stays out. Returns what the audit log is told. Raises Decided where the worker's word is too late.
    """
    found = store.open_of(session, address, lock=True)
    if principal == WORKER:
        if found is None or found.state is not State.HELD:
            raise Decided(f"A person decides about {address}: nothing was changed.")
        return {}
    if found is None:
        return {}
    after = step(found.state, Event.LET_IN if state is DeviceState.ACTIVE else Event.SHUT_OUT)
    if after is found.state:
        return {}
    store.end(session, found, after, CONDITION, datetime.now(UTC), ctx.clock.now())
    return {"flood": after}


def event_of(flood: OpenFlood, now: datetime) -> Event | None:
    """What is to happen to it now. Held without an end: cut off while it was shut out, to be repeated. Active
    when its time is over: cut off while it was let in."""
    active = flood.device_state is DeviceState.ACTIVE
    quarantined = flood.device_state is DeviceState.QUARANTINED
    if flood.state is State.SEEN:
        return Event.HOLD if active else Event.SHUT_OUT
    if flood.until is None:
        return Event.HOLD if active or quarantined else Event.SHUT_OUT
    if not active and not quarantined:
        return Event.SHUT_OUT
    if flood.until <= now:
        return Event.PAUSE_OVER
    return Event.LET_IN if active else None


def _follow(
    connection: Connection[Any], ctx: Context, change: Change, flood: OpenFlood, now: datetime
) -> None:
    event = event_of(flood, now)
    if event is None:
        return
    after = step(flood.state, event)
    if event is Event.HOLD:
        _hold(connection, ctx, change, flood, now)
        return
    if after is State.RELEASED:
        change(ctx, WORKER, flood.address, DeviceState.ACTIVE, now)
        log.info("%s is let in again", flood.address)
    with connection.transaction():
        if store.move(connection, flood.id, flood.state, after, until=flood.until, ended=now):
            _tell(connection, ctx, flood, "", active=False)


def _hold(connection: Connection[Any], ctx: Context, change: Change, flood: OpenFlood, now: datetime) -> None:
    limits = ctx.config.limits
    if not limits.flood_hold:
        with connection.transaction():
            if store.move(connection, flood.id, flood.state, State.LEFT, until=None, ended=now):
                _tell(connection, ctx, flood, "It is not held: limits.flood_hold is false.")
        return
    until = now + pause(timedelta(minutes=limits.flood_pause_minutes), flood.before)
    store.move(connection, flood.id, flood.state, State.HELD, until=None, ended=None)
    change(ctx, WORKER, flood.address, DeviceState.QUARANTINED, now)
    with connection.transaction():
        if not store.move(connection, flood.id, State.HELD, State.HELD, until=until, ended=None):
            return
        _tell(connection, ctx, flood, f"It is let in again at {until:%Y-%m-%d %H:%MZ}.")
    log.warning("%s floods: out until %s", flood.address, until.isoformat(timespec="seconds"))


def _tell(
    connection: Connection[Any], ctx: Context, flood: OpenFlood, what: str, active: bool = True
) -> None:
    street = ctx.clock.now()
    rate = f"{flood.rate.messages} messages, {flood.rate.bytes / 1e6:.1f} MB within a minute"
    remedy = (
        f"{what} Let it in sooner: lamppost fleet lamppost activate {flood.address.device}. Keep it out:"
        f" lamppost fleet lamppost quarantine {flood.address.device}. A stolen one: lamppost fleet lamppost"
        f" decommission {flood.address.device}."
    )
    told = Condition(
        int(street.timestamp() * 1000), CONDITION, "", active, "error", rate, remedy.strip() if active else ""
    )
    with connection.cursor() as cursor:
        reported.conditions(cursor, flood.device_id, [told], street, source="server")
