"""Stops lampposts that flood: out for a while, in again by itself. The worker's loop.

Out means quarantined, as a person would do it: its certificates go on hold, its connection ends. A person may
let it in sooner, or keep it out: what a person decides stands.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg import Connection

from fleet_server.access.rules import WORKER, Action, Principal
from fleet_server.access.service import authorize
from fleet_server.context import Context
from fleet_server.devices import reported
from fleet_server.devices.rules import DeviceState
from fleet_server.enrolment import standing
from fleet_server.errors import LamppostError
from fleet_server.limits import store
from fleet_server.limits.rules import FORGOTTEN_AFTER, Event, State, pause, step
from fleet_server.limits.store import OpenFlood
from wire_contract.messages import Condition

log = logging.getLogger(__name__)

CONDITION = "flood"
FLOODS_A_TICK = 50
KEPT = timedelta(days=90)
TOLD_FOR = timedelta(hours=1)  # where nothing is held, nothing ends either


def follow_floods(connection: Connection[Any], ctx: Context, now: datetime | None = None) -> int:
    """One step for each flood that is due; can be repeated. Returns how many there were."""
    instant = now or datetime.now(UTC)
    store.forget(connection, instant - KEPT, FLOODS_A_TICK)
    found = store.open_floods(connection, instant - FORGOTTEN_AFTER, instant, FLOODS_A_TICK)
    for flood in found:
        try:
            _follow(connection, ctx, flood, instant)
        except LamppostError as error:  # the authority does not answer: the next tick tries again
            log.error("%s floods and cannot be stopped now: %s", flood.address, error)
    store.clear_conditions(connection, CONDITION, instant - TOLD_FOR, ctx.clock.now())
    return len(found)


def list_floods(ctx: Context, principal: Principal, *, before_id: int, limit: int) -> list[store.FloodRecord]:
    """A page of them, the newest first. Raises Forbidden."""
    authorize(principal, Action.DEVICES_READ)
    with ctx.db.session(principal.tenant) as session:
        return store.listed(session, before_id, limit, principal.within)


def event_of(flood: OpenFlood, now: datetime) -> Event | None:
    """What is to happen to it now. Held without an end: cut off while it was shut out, to be repeated."""
    active = flood.device_state is DeviceState.ACTIVE
    quarantined = flood.device_state is DeviceState.QUARANTINED
    if flood.state is State.SEEN:
        return Event.HOLD if active else Event.SHUT_OUT
    if flood.until is None:
        return Event.HOLD if active or quarantined else Event.SHUT_OUT
    if active:
        return Event.LET_IN
    if not quarantined:
        return Event.SHUT_OUT
    return Event.PAUSE_OVER if flood.until <= now else None


def _follow(connection: Connection[Any], ctx: Context, flood: OpenFlood, now: datetime) -> None:
    event = event_of(flood, now)
    if event is None:
        return
    after = step(flood.state, event)
    if event is Event.HOLD:
        _hold(connection, ctx, flood, now)
        return
    if after is State.RELEASED:
        standing.change_state(ctx, WORKER, flood.address, DeviceState.ACTIVE, now)
        log.info("%s is let in again", flood.address)
    store.move(connection, flood.id, after, until=flood.until, ended=now)
    _tell(connection, ctx, flood, "", active=False)


def _hold(connection: Connection[Any], ctx: Context, flood: OpenFlood, now: datetime) -> None:
    limits = ctx.config.limits
    if not limits.flood_hold:
        store.move(connection, flood.id, State.LEFT, until=None, ended=now)
        _tell(connection, ctx, flood, "It is not held: limits.flood_hold is false.")
        return
    until = now + pause(timedelta(minutes=limits.flood_pause_minutes), flood.before)
    store.move(connection, flood.id, State.HELD, until=None, ended=None)
    standing.change_state(ctx, WORKER, flood.address, DeviceState.QUARANTINED, now)
    store.move(connection, flood.id, State.HELD, until=until, ended=None)
    _tell(connection, ctx, flood, f"It is let in again at {until:%Y-%m-%d %H:%MZ}.")
    log.warning("%s floods: out until %s", flood.address, until.isoformat(timespec="seconds"))


def _tell(
    connection: Connection[Any], ctx: Context, flood: OpenFlood, what: str, active: bool = True
) -> None:
    street = ctx.clock.now()
    rate = f"{flood.rate.messages} messages, {flood.rate.bytes / 1e6:.1f} MB within a minute"
    remedy = (
        f"{what} Let it in sooner: lamppost fleet lamppost activate {flood.address.device}. A stolen one:"
        f" lamppost fleet lamppost decommission {flood.address.device}."
    )
    told = Condition(
        int(street.timestamp() * 1000), CONDITION, "", active, "error", rate, remedy.strip() if active else ""
    )
    with connection.cursor() as cursor:
        reported.conditions(cursor, flood.device_id, [told], street, source="server")
