"""Enrolment: people make claims and decide; `issuing.py` does what follows from a decision.

Instants are real time (a claim of five minutes is five minutes in the demo too); `now` is given by tests.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sqlmodel import Session

from fleet_server.access.rules import Action, Principal, claimant_principal
from fleet_server.access.service import authorize
from fleet_server.context import Context
from fleet_server.devices import service as devices
from fleet_server.devices.service import NOWHERE, Place
from fleet_server.enrolment import issuing, rules, store
from fleet_server.enrolment.errors import BadRequest, ClaimUnknown, NameTaken, of_device, of_person
from fleet_server.enrolment.issuing import Renewal, ca_certificates, renew
from fleet_server.enrolment.rules import Event, Refusal, State
from fleet_server.enrolment.store import Certificate, Enrolment
from fleet_server.errors import InvalidRequest, NotFound
from provisioning import claims, requests
from provisioning.errors import RequestRefused
from wire_contract.errors import InvalidName
from wire_contract.topics import Address

__all__ = [
    "Certificate",
    "Enrolment",
    "Issued",
    "MadeClaim",
    "Renewal",
    "State",
    "Waiting",
    "accept",
    "ca_certificates",
    "certificate_of",
    "get_enrolment",
    "list_enrolments",
    "make_claim",
    "reject",
    "renew",
    "request_certificate",
    "withdraw",
]

log = logging.getLogger(__name__)

LIST_LIMIT = 500


@dataclass(frozen=True)
class MadeClaim:
    """`token` is shown to the technician once and cannot be had again."""

    token: str = field(repr=False)
    enrolment: Enrolment


@dataclass(frozen=True)
class Waiting:
    """A person has to decide; ask again then."""

    enrolment: Enrolment
    retry_after_s: int


@dataclass(frozen=True)
class Issued:
    """The certificate and its issuer, PEM."""

    enrolment: Enrolment
    chain_pem: str


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
    Raises Forbidden, InvalidRequest, NameTaken.
    """
    authorize(principal, Action.CLAIMS_CREATE)
    instant = _real(now)
    tenant = tenant or ctx.config.tenant.name
    _checked_address(tenant, device)
    if not timedelta(0) < life <= rules.CLAIM_LIFE_LONGEST:
        raise InvalidRequest(f"A claim lives for at most {rules.CLAIM_LIFE_LONGEST.days} days.")
    if device is None and replaces:
        raise InvalidRequest("A claim that replaces a lamppost names it.")
    check_site(site)
    devices.checked_place(place)
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
    with ctx.db.session() as session:
        store.expire_due(session, instant)
        made = store.insert_claim(session, claim)
        if made is None:
            raise NameTaken(f"There is an open claim for {tenant}/{device}.", remedy="Withdraw it first.")
    log.info("claim %s for %s/%s made by %s", token.id, tenant, device or "(free)", principal.name)
    return MadeClaim(str(token), made)


def check_site(site: str) -> None:
    """Raises InvalidRequest."""
    if len(site) > 200 or not site.isprintable():
        raise InvalidRequest("A site is at most 200 printable characters.")


def list_enrolments(
    ctx: Context, principal: Principal, states: tuple[State, ...] = (), now: datetime | None = None
) -> list[Enrolment]:
    """The newest first, at most LIST_LIMIT. Raises Forbidden."""
    authorize(principal, Action.ENROLMENTS_READ)
    with ctx.db.session() as session:
        store.expire_due(session, _real(now))
        return store.listed(session, states, LIST_LIMIT)


def get_enrolment(ctx: Context, principal: Principal, enrolment_id: int) -> Enrolment:
    """Raises Forbidden, NotFound."""
    authorize(principal, Action.ENROLMENTS_READ)
    with ctx.db.session() as session:
        return _found(store.find(session, enrolment_id), enrolment_id)


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
    with ctx.db.session() as session:
        found = store.find_by_claim(session, claim_id)
    if found is None:
        raise NotFound(f"There is no claim {claim_id[:20]}.")
    return _decide(ctx, principal, found.id, Event.WITHDRAW, "", _real(now))


def request_certificate(
    ctx: Context, claim_id: str, secret: str, csr_der: bytes, now: datetime | None = None
) -> Waiting | Issued:
    """What a device with a claim asks, again and again until a person has decided.

    Raises ClaimUnknown, ClaimSpent, ClaimOver, BadRequest, NameTaken, AuthorityUnavailable.
    """
    instant = _real(now)
    _check_secret(ctx, claim_id, secret)
    authorize(claimant_principal(claim_id), Action.ENROLMENTS_REQUEST, claim_id)
    try:
        request = requests.read_request(csr_der)
        asked_name = requests.asked_common_name(request)
        fingerprint = requests.fingerprint(requests.checked_key(request.public_key()))
    except RequestRefused as refused:
        raise BadRequest(f"{refused.what}.", remedy=refused.remedy) from refused
    with ctx.db.session() as session:
        store.expire_due(session, instant)
        found = store.find_by_claim(session, claim_id, lock=True)
        assert found is not None, "a claim without its enrolment"
        event = Event.ASK if found.key_fingerprint in ("", fingerprint) else Event.ASK_OTHER_KEY
        outcome = rules.step(found.state, event)
        if not isinstance(outcome, Refusal) and found.state is State.CLAIMED:
            address = _asked_address(found, asked_name)
            _check_name(ctx, session, found, address, request)
            opened = store.open_request(
                session, found.id, address.device, csr_der, fingerprint, instant, instant + rules.PENDING_LIFE
            )
            if not opened:  # another claim was quicker
                raise NameTaken(f"The name {address} is taken.", remedy="Choose another.")
            log.info("%s asks with claim %s, key %s", address, claim_id, fingerprint)
        found = _found(store.find(session, found.id), found.id)
    if isinstance(outcome, Refusal):  # after the transaction: a time-out that was written down stays
        raise of_device(outcome)
    if found.state is State.ACCEPTED:
        found = issuing.complete(ctx, found.id, instant)
    if found.state is State.ISSUED:
        return Issued(found, found.chain_pem)
    return Waiting(found, rules.poll_after_s(found.requested_at or instant, instant))


def _decide(
    ctx: Context, principal: Principal, enrolment_id: int, event: Event, reason: str, now: datetime
) -> Enrolment:
    with ctx.db.session() as session:
        store.expire_due(session, now)
        found = _found(store.find(session, enrolment_id, lock=True), enrolment_id)
        outcome = rules.step(found.state, event)
        if not isinstance(outcome, Refusal):
            store.change(
                session, found.id, state=outcome, decided_by=principal.name, decided_at=now, reason=reason
            )
            found = _found(store.find(session, enrolment_id), enrolment_id)
    if isinstance(outcome, Refusal):
        raise of_person(outcome)
    log.info("enrolment %d of %s/%s: %s by %s", found.id, found.tenant, found.device, event, principal.name)
    return found


def _check_secret(ctx: Context, claim_id: str, secret: str) -> None:
    token = claims.parse_token(claim_id, secret)
    stored = None
    if token is not None:
        with ctx.db.session() as session:
            stored = store.secret_hash(session, token.id)
    if stored is None or not claims.secret_matches(secret, stored):
        raise ClaimUnknown("There is no such claim, or this is not its secret.")


def _asked_address(found: Enrolment, asked_name: str | None) -> Address:
    """The claim's name; where it is free, the one the request asks for as `tenant/device`."""
    if found.device is not None:
        return Address(found.tenant, found.device)
    if asked_name is None:
        raise BadRequest("The claim is for a free name: the request's common name must say which.")
    tenant, slash, device = asked_name.partition("/")
    if not slash or tenant != found.tenant:
        raise BadRequest(f"The claim is for a name in {found.tenant}: ask for {found.tenant}/NAME.")
    return _checked_address(tenant, device, BadRequest)


def _check_name(
    ctx: Context, session: Session, found: Enrolment, address: Address, request: requests.Request
) -> None:
    try:
        requests.check_asks_only_for(request, address)
        requests.check_name_fits(address)
    except RequestRefused as refused:
        raise BadRequest(f"{refused.what}.", remedy=refused.remedy) from refused
    taken = not found.bound and issuing.is_registered(ctx, address)
    if taken or store.name_is_open(session, address.tenant, address.device, found.claim_id):
        raise NameTaken(f"The name {address} is taken.", remedy="Choose another.")


def _checked_address(
    tenant: str, device: str | None, error: type[InvalidRequest] | type[BadRequest] = InvalidRequest
) -> Address:
    try:
        address = Address(tenant, device if device is not None else "any")
        requests.check_name_fits(address)
    except (InvalidName, RequestRefused) as wrong:
        raise error(f"{wrong}.") from wrong
    return address


def _found(enrolment: Enrolment | None, enrolment_id: int) -> Enrolment:
    if enrolment is None:
        raise NotFound(f"There is no enrolment {enrolment_id}.")
    return enrolment


def _real(now: datetime | None) -> datetime:
    return now or datetime.now(UTC)
