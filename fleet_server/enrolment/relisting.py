"""Puts on the revocation list what it does not name and our records say is shut out: before the broker
starts, when the authority's files have changed, and each minute by the worker. Two ways lead to that:

A backup of the authority was put back, and its list is older than the records. What was on hold, and what for
good, the lost list said. Now it is for good, but for two that a person can let in again (quarantine, then
activate): the certificates of a lamppost in quarantine, and a lamppost's newest. That one a power cut may
have left in our records alone, when it was let in.

The list could not be written (a full disk, a key that cannot be read) when a lamppost was shut out: its state
is told, and its certificates still open the door.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from sqlmodel import Session

from fleet_server.access.rules import ENROLMENT, Action
from fleet_server.audit.recording import record
from fleet_server.context import Context
from fleet_server.devices.rules import DeviceState
from fleet_server.enrolment import issuing, store
from fleet_server.enrolment.certificate_rules import HOLD
from fleet_server.enrolment.relisting_store import Shut, shut
from wire_contract.topics import Address

log = logging.getLogger(__name__)

OLDER = "the revocation list was older than our records"
NOT_NAMED = "the lamppost is shut out, and the revocation list did not name it"


def list_again(ctx: Context, now: datetime | None = None) -> int:
    """How many certificates were put on the list. Raises AuthorityUnavailable, DatabaseUnreachable."""
    instant = now or datetime.now(UTC)
    with ctx.db.session() as session:
        locked = {each.address for each in _forgotten(ctx, session, instant)}
        for address in sorted(locked, key=str):
            # whoever lets one in writes the list first
            store.lock_certificates(session, address.tenant, address.device)
        forgotten = [each for each in _forgotten(ctx, session, instant) if each.address in locked]
        if not forgotten:
            return 0
        held = {each.serial for each in forgotten if _may_come_back(each)}
        for hold in (False, True):
            serials = [each.serial for each in forgotten if (each.serial in held) is hold]
            issuing.relist(ctx, serials, hold=hold)
        for address in sorted({each.address for each in forgotten}, key=str):
            of_it = [each for each in forgotten if each.address == address]
            _write_down(session, address, of_it, held, instant)
    return len(forgotten)


def _write_down(session: Session, address: Address, of_it: list[Shut], held: set[str], now: datetime) -> None:
    for each in of_it:
        store.mark_revoked(session, each.serial, now)
    if of_it[0].state is DeviceState.DECOMMISSIONED:
        store.mark_all_revoked(session, address.tenant, address.device, now)
    told = {each.serial: "on hold" if each.serial in held else "revoked" for each in of_it}
    why = OLDER if any(each.marked for each in of_it) else NOT_NAMED
    record(session, ENROLMENT, Action.CERTIFICATES_REVOKE, str(address), reason=why, after=told)
    log.warning("%s: certificates of %s are put on it now: %s", why, address, told)


def _forgotten(ctx: Context, session: Session, now: datetime) -> list[Shut]:
    found = shut(session, now)
    listed = issuing.reasons_listed(ctx) if found else {}
    return [each for each in found if not _is_listed(each, listed.get(int(each.serial, 16)))]


def _is_listed(each: Shut, reason: str | None) -> bool:
    """As it has to be: what is over for good is not on hold."""
    return reason is not None and (reason != HOLD or each.state is not DeviceState.DECOMMISSIONED)


def _may_come_back(each: Shut) -> bool:
    if each.state is DeviceState.DECOMMISSIONED:
        return False
    return each.state is DeviceState.QUARANTINED or each.newest
