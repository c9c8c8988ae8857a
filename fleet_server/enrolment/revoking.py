"""A lamppost's certificates one by one: what each is good for, and revoking one for good.

The list is written first, then our record and the audit log. It can be repeated.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlmodel import Session

from fleet_server.access.rules import ENROLMENT, Action, Principal
from fleet_server.access.service import authorize
from fleet_server.audit.recording import record
from fleet_server.context import Context
from fleet_server.devices import service as devices
from fleet_server.enrolment import shutting, store
from fleet_server.enrolment.certificate_rules import Reason, Standing, standing, what_follows, why
from fleet_server.enrolment.store import Certificate
from fleet_server.errors import NotFound
from fleet_server.masking import in_log
from fleet_server.origin import origin
from wire_contract.topics import Address

__all__ = ["Known", "Reason", "Revoked", "Standing", "certificates", "revoke"]

log = logging.getLogger(__name__)

_SERIAL = re.compile(r"[0-9a-f]{1,40}")


@dataclass(frozen=True)
class Known:
    """A certificate as people see it. reason: why it is revoked or on hold, RFC 5280's word; "" else."""

    certificate: Certificate
    standing: Standing
    reason: str


@dataclass(frozen=True)
class Revoked:
    """changed: False where it was revoked before. follows: what it means, in words."""

    known: Known
    changed: bool
    follows: str


def certificates(
    ctx: Context, principal: Principal, address: Address, now: datetime | None = None
) -> list[Known]:
    """Every certificate that the lamppost was given, the newest first. Raises Forbidden, NotFound,
    AuthorityUnavailable."""
    authorize(principal, Action.CERTIFICATES_READ, str(address))
    if devices.state_of(ctx, ENROLMENT, address) is None:
        raise NotFound(f"There is no device {address}.")
    listed = shutting.reasons_listed(ctx)
    with ctx.db.session(principal.tenant) as session:
        return _known(session, address, listed, now or datetime.now(UTC))


def revoke(
    ctx: Context,
    principal: Principal,
    address: Address,
    serial: str,
    reason: Reason,
    now: datetime | None = None,
) -> Revoked:
    """Revoke one for good, also one on hold or one that ran out, whose key could ask for the next one. The
    lamppost's state stays. Raises Forbidden, NotFound, AuthorityUnavailable."""
    authorize(principal, Action.CERTIFICATES_REVOKE, str(address))
    instant = now or datetime.now(UTC)
    with ctx.db.session(principal.tenant) as session:
        store.lock_certificates(session, address.tenant, address.device)
        found = _found(session, address, serial)
        before = _one(session, address, found.serial, shutting.reasons_listed(ctx), instant)
        changed = shutting.end(ctx, session, found, reason, instant)
        listed = shutting.reasons_listed(ctx)
        known = _one(session, address, found.serial, listed, instant)
        others = [
            each.standing
            for each in _known(session, address, listed, instant)
            if each.certificate.serial != found.serial
        ]
        if changed:
            record(
                session, principal, Action.CERTIFICATES_REVOKE, str(address), reason=_told(reason),
                before={"state": before.standing},
                after={"state": known.standing, "serial": found.serial, "good": others.count(Standing.GOOD)},
            )  # fmt: skip
    if changed:
        log.info("certificate %s of %s revoked (%s) by %s", found.serial, address, reason, in_log(principal))
    return Revoked(known, changed, what_follows(str(address), others, changed=changed))


def _told(reason: Reason) -> str:
    """RFC 5280's word, and what who asked says beside it."""
    return ": ".join(each for each in (str(reason), origin().reason) if each)


def _found(session: Session, address: Address, serial: str) -> Certificate:
    given = serial.replace(":", "").lower().lstrip("0")
    found = store.certificate(session, given) if _SERIAL.fullmatch(given) else None
    if found is None or (found.tenant, found.device) != (address.tenant, address.device):
        raise NotFound(
            f"{address} has no certificate {serial[:64]!r}.",
            remedy=f"See: lamppost fleet certificates list {address.device}",
        )
    return found


def _known(session: Session, address: Address, listed: Mapping[int, str], now: datetime) -> list[Known]:
    found = store.certificates(session, address.tenant, address.device)
    return [_standing(each, listed, now) for each in found]


def _one(session: Session, address: Address, serial: str, listed: Mapping[int, str], now: datetime) -> Known:
    return next(each for each in _known(session, address, listed, now) if each.certificate.serial == serial)


def _standing(each: Certificate, listed: Mapping[int, str], now: datetime) -> Known:
    on_list = listed.get(int(each.serial, 16))
    recorded = None if each.revoked_at is None else each.revocation or on_list or str(Reason.UNSPECIFIED)
    reason = why(listed=on_list, recorded=recorded, not_after=each.not_after, now=now)
    return Known(each, standing(reason, each.not_after, now), reason or "")
