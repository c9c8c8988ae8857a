"""Puts on the revocation list again what our records know and it does not: a backup of the authority was put
back, and its list is older than the records.

What was on hold, and what for good, the lost list said. Now it is for good, but for two that a person can let
in again (quarantine, then activate): the certificates of a lamppost in quarantine, and a lamppost's newest.
That one a power cut may have left in our records alone, when it was let in.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from sqlmodel import Session

from fleet_server.access.rules import ENROLMENT, Action
from fleet_server.audit.recording import record
from fleet_server.context import Context
from fleet_server.devices import service as devices
from fleet_server.devices.rules import DeviceState
from fleet_server.enrolment import issuing, store
from fleet_server.enrolment.store import Certificate
from wire_contract.topics import Address

log = logging.getLogger(__name__)

WHY = "the revocation list was older than our records"


def list_again(ctx: Context, now: datetime | None = None) -> int:
    """How many certificates were put on the list. Raises AuthorityUnavailable, DatabaseUnreachable."""
    instant = now or datetime.now(UTC)
    with ctx.db.session() as session:
        locked = sorted({(each.tenant, each.device) for each in _forgotten(ctx, session, instant)})
        for tenant, device in locked:
            store.lock_certificates(session, tenant, device)  # whoever lets one in writes the list first
        again = _forgotten(ctx, session, instant)
        forgotten = [each for each in again if (each.tenant, each.device) in locked]
        if not forgotten:
            return 0
        held = {each.serial for each in forgotten if _may_come_back(ctx, each)}
        for hold in (False, True):
            serials = [each.serial for each in forgotten if (each.serial in held) is hold]
            issuing.relist(ctx, serials, hold=hold)
        for name in sorted({f"{each.tenant}/{each.device}" for each in forgotten}):
            of_it = {
                each.serial: "on hold" if each.serial in held else "revoked"
                for each in forgotten
                if f"{each.tenant}/{each.device}" == name
            }
            record(session, ENROLMENT, Action.CERTIFICATES_REVOKE, name, reason=WHY, after=of_it)
            log.warning("%s, which did not name certificates of %s: %s", WHY, name, of_it)
    return len(forgotten)


def _forgotten(ctx: Context, session: Session, now: datetime) -> list[Certificate]:
    marked = store.revoked_unexpired(session, now)
    listed = issuing.reasons_listed(ctx)
    return [each for each in marked if int(each.serial, 16) not in listed]


def _may_come_back(ctx: Context, each: Certificate) -> bool:
    address = Address(each.tenant, each.device)
    state = devices.state_of(ctx, ENROLMENT, address)
    if state is DeviceState.DECOMMISSIONED:
        return False
    with ctx.db.session() as session:
        newest = store.newest_certificate(session, each.tenant, each.device)
    return state is DeviceState.QUARANTINED or (newest is not None and newest.serial == each.serial)
