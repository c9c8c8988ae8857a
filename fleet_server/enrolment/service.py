"""Enrolment: people make claims and decide; `issuing.py` does what follows from a decision.

Instants are real time (a claim of five minutes is five minutes in the demo too); `now` is given by tests.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sqlmodel import Session

from fleet_server.accept_policy import Way
from fleet_server.access.rules import ENROLMENT, Action, Principal
from fleet_server.access.service import authorize, need_there
from fleet_server.audit.recording import record
from fleet_server.context import Context
from fleet_server.devices import service as devices
from fleet_server.devices.rules import DeviceState
from fleet_server.devices.service import NOWHERE, Place
from fleet_server.enrolment import batches, issuing, registered_keys, revoking, rules, store
from fleet_server.enrolment.asking import (
    Issued,
    Waiting,
    checked_address,
    request_certificate,
    request_with_key,
)
from fleet_server.enrolment.errors import NameTaken, NotNow, of_person
from fleet_server.enrolment.issuing import Renewal, ca_certificates, renew
from fleet_server.enrolment.rules import Event, Refusal, State
from fleet_server.enrolment.standing import change_state
from fleet_server.enrolment.store import Certificate, Enrolment
from fleet_server.enrolment.whose import check_site, only_of, tenant_of
from fleet_server.errors import InvalidRequest, NotFound
from fleet_server.masking import in_log, masked
from provisioning import claims
from wire_contract.topics import Address

__all__ = [
    "Certificate",
    "DeviceState",
    "Enrolment",
    "Issued",
    "MadeClaim",
    "Renewal",
    "State",
    "Waiting",
    "accept",
    "batches",
    "ca_certificates",
    "certificate_of",
    "change_state",
    "get_enrolment",
    "list_enrolments",
    "make_claim",
    "registered_keys",
    "reject",
    "renew",
    "request_certificate",
    "request_with_key",
    "revoking",
    "tenant_of",
    "withdraw",
]

log = logging.getLogger(__name__)

LIST_LIMIT = 500
_NAMES = ("created_by", "decided_by")


@dataclass(frozen=True)
class MadeClaim:
    """`token` is shown to the technician once and cannot be had again."""

    token: str = field(repr=False)
    enrolment: Enrolment


def make_claim(
    ctx: Context,
    principal: Principal,
    device: str | None = None,
    site: str = "",
    *,
    place: Place = NOWHERE,
    tenant: str | None = None,
    life: timedelta = rules.CLAIM_LIFE,
    replaces: bool = False,
    now: datetime | None = None,
) -> MadeClaim:
    """A claim for one device name, or for whatever free name the device asks for.

    place: where it will stand, which its registration takes over. replaces: the device takes the name of a
    lamppost that exists; that one's certificates are revoked when the new one is accepted.
    Raises Forbidden, InvalidRequest, NameTaken, NotFound (no such tenant).
    """
    tenant = tenant or tenant_of(ctx, principal)
    authorize(principal, Action.CLAIMS_CREATE, tenant=tenant)
    instant = _real(now)
    checked_address(tenant, device)
    if not timedelta(0) < life <= rules.CLAIM_LIFE_LONGEST:
        raise InvalidRequest(f"A claim lives for at most {rules.CLAIM_LIFE_LONGEST.days} days.")
    if device is None and replaces:
        raise InvalidRequest("A claim that replaces a lamppost names it.")
    check_site(site)
    devices.checked_place(place)
    need_there(ctx, principal, tenant)
    if device is not None and not replaces and issuing.is_registered(ctx, Address(tenant, device)):
        raise NameTaken(
            f"There is a lamppost {tenant}/{device}.",
            remedy="Choose another, or say it is replaced.",
        )
    token = claims.new_token()
    claim = store.NewClaim(
        token.id, claims.secret_hash(token.secret), tenant, device, site, replaces, principal.name,
        instant, instant + life, place,
    )  # fmt: skip
    with ctx.db.session(principal.tenant) as session:
        store.expire_due(session, instant)
        made = store.insert_claim(session, claim)
        if made is None:
            raise NameTaken(f"There is an open claim for {tenant}/{device}.", remedy="Withdraw it first.")
        record(
            session, principal, Action.CLAIMS_CREATE, f"{tenant}/{device or '*'}",
            after={"claim": token.id, "replaces": replaces, "expires": claim.expires_at.isoformat()},
        )  # fmt: skip
    log.info("claim %s for %s/%s made by %s", token.id, tenant, device or "(free)", in_log(principal))
    return MadeClaim(str(token), made)


def list_enrolments(
    ctx: Context,
    principal: Principal,
    states: tuple[State, ...] = (),
    now: datetime | None = None,
    *,
    ways: tuple[Way, ...] = (),
) -> list[Enrolment]:
    """The newest first, at most LIST_LIMIT. Raises Forbidden."""
    authorize(principal, Action.ENROLMENTS_READ)
    with ctx.db.session(principal.tenant) as session:
        store.expire_due(session, _real(now))
        found = store.listed(session, states, LIST_LIMIT, tenant=only_of(principal), ways=ways)
    return [masked(principal, each, *_NAMES) for each in found]


def get_enrolment(ctx: Context, principal: Principal, enrolment_id: int) -> Enrolment:
    """Raises Forbidden, NotFound."""
    authorize(principal, Action.ENROLMENTS_READ)
    with ctx.db.session(principal.tenant) as session:
        found = _found(principal, store.find(session, enrolment_id), enrolment_id)
    return masked(principal, found, *_NAMES)


def certificate_of(ctx: Context, principal: Principal, address: Address) -> Certificate | None:
    """The newest certificate that the lamppost was given, revoked or not; None where there is none."""
    authorize(principal, Action.DEVICES_READ, str(address))
    with ctx.db.session() as session:
        return store.newest_certificate(session, address.tenant, address.device)


def accept(ctx: Context, principal: Principal, enrolment_id: int, now: datetime | None = None) -> Enrolment:
    """A person has compared the fingerprint: register the lamppost and issue its certificate.

    Raises Forbidden, NotFound, NotNow; AuthorityUnavailable: the decision stands, and the certificate is
    issued when the device asks the next time.
    """
    authorize(principal, Action.ENROLMENTS_DECIDE, str(enrolment_id))
    _decide(ctx, principal, enrolment_id, Event.ACCEPT, "", _real(now))
    return issuing.complete(ctx, enrolment_id, _real(now))


def reject(
    ctx: Context, principal: Principal, enrolment_id: int, reason: str = "", now: datetime | None = None
) -> Enrolment:
    """Refuse the request for good. Raises Forbidden, NotFound, NotNow."""
    authorize(principal, Action.ENROLMENTS_DECIDE, str(enrolment_id))
    return _decide(ctx, principal, enrolment_id, Event.REJECT, reason[:500], _real(now))


def withdraw(ctx: Context, principal: Principal, claim_id: str, now: datetime | None = None) -> Enrolment:
    """Take a claim back before it is accepted. Raises Forbidden, NotFound, NotNow."""
    authorize(principal, Action.CLAIMS_WITHDRAW, claim_id)
    with ctx.db.session(principal.tenant) as session:
        found = store.find_by_claim(session, claim_id)
    if found is None or only_of(principal) not in (None, found.tenant):
        raise NotFound(f"There is no claim {claim_id[:20]}.")
    return _decide(ctx, principal, found.id, Event.WITHDRAW, "", _real(now))


def _decide(
    ctx: Context, principal: Principal, enrolment_id: int, event: Event, reason: str, now: datetime
) -> Enrolment:
    with ctx.db.session(principal.tenant) as session:
        store.expire_due(session, now)
        found = _found(principal, store.find(session, enrolment_id, lock=True), enrolment_id)
        outcome = rules.step(found.state, event)
        if not isinstance(outcome, Refusal):
            if event is Event.ACCEPT:
                _check_may_be_renewed(ctx, session, found)
            store.change(
                session, found.id, state=outcome, decided_by=principal.name, decided_at=now, reason=reason
            )
            record(
                session, principal,
                Action.CLAIMS_WITHDRAW if event is Event.WITHDRAW else Action.ENROLMENTS_DECIDE,
                f"{found.tenant}/{found.device or '*'}", reason=reason,
                before={"state": str(found.state)},
                after={"state": str(outcome), "enrolment": found.id, "key": found.key_fingerprint},
            )  # fmt: skip
            found = _found(principal, store.find(session, enrolment_id), enrolment_id)
    if isinstance(outcome, Refusal):
        raise of_person(outcome)
    whose = f"{found.tenant}/{found.device}"
    log.info("enrolment %d of %s: %s by %s", found.id, whose, event, in_log(principal))
    return found


def _check_may_be_renewed(ctx: Context, session: Session, found: Enrolment) -> None:
    """An expired certificate's lamppost that was shut out meanwhile comes back by another decision; what its
    key has asked is worth nothing once that certificate is revoked. Raises NotNow."""
    if found.way is not Way.EXPIRED or found.device is None:
        return
    state = devices.state_of(ctx, ENROLMENT, Address(found.tenant, found.device))
    if state is not DeviceState.ACTIVE:
        raise NotNow(
            f"Nothing was changed: {found.tenant}/{found.device} is {state}.", remedy="Activate it first."
        )
    old = store.certificate(session, found.old_serial)
    if old is None or old.revoked_at is not None:
        raise NotNow(
            "Nothing was changed: the certificate whose key has signed this request was revoked since.",
            remedy="Reject it. The lamppost comes back by a new claim.",
        )


def _found(principal: Principal, enrolment: Enrolment | None, enrolment_id: int) -> Enrolment:
    if enrolment is None or only_of(principal) not in (None, enrolment.tenant):
        raise NotFound(f"There is no enrolment {enrolment_id}.")
    return enrolment


def _real(now: datetime | None) -> datetime:
    return now or datetime.now(UTC)
