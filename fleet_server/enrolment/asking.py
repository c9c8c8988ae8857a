"""The device's side of enrolment: it asks with a claim, or a key that was registered, until it is let in.

Instants are real time; `now` is given by tests.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlmodel import Session

from fleet_server import accept_policy
from fleet_server.accept_policy import Asked, Way
from fleet_server.access.rules import ENROLMENT, Action, Principal, claimant_principal
from fleet_server.access.service import authorize
from fleet_server.audit.recording import record
from fleet_server.context import Context
from fleet_server.devices import service as devices
from fleet_server.devices.rules import DeviceState
from fleet_server.enrolment import issuing, rules, store, telling
from fleet_server.enrolment.batch_rules import BatchEvent, BatchState
from fleet_server.enrolment.batch_rules import step as batch_step
from fleet_server.enrolment.errors import BadRequest, ClaimEarly, ClaimUnknown, NameTaken, of_device
from fleet_server.enrolment.rules import Event, Refusal, State
from fleet_server.enrolment.store import Alarm, Enrolment
from fleet_server.errors import InvalidRequest
from fleet_server.masking import POLICY, in_log
from provisioning import claims, requests
from provisioning.errors import RequestRefused
from wire_contract.errors import InvalidName
from wire_contract.topics import Address

log = logging.getLogger(__name__)

DAY_S = 86_400


@dataclass(frozen=True)
class Waiting:
    """Somebody has to decide; ask again then."""

    enrolment: Enrolment
    retry_after_s: int


@dataclass(frozen=True)
class Issued:
    """The certificate and its issuer, PEM."""

    enrolment: Enrolment
    chain_pem: str


@dataclass(frozen=True)
class Read:
    """A certificate request that was read and checked."""

    request: requests.Request
    der: bytes
    asked_name: str | None
    fingerprint: str


def request_certificate(
    ctx: Context, claim_id: str, secret: str, csr_der: bytes, now: datetime | None = None
) -> Waiting | Issued:
    """What a device with a claim asks, again and again until it is decided.

    Raises ClaimUnknown, ClaimSpent, ClaimOver, ClaimEarly, BadRequest, NameTaken, AuthorityUnavailable.
    """
    _check_secret(ctx, claim_id, secret)
    return ask(ctx, claim_id, read(csr_der), now or datetime.now(UTC))


def request_with_key(ctx: Context, csr_der: bytes, now: datetime | None = None) -> Waiting | Issued:
    """What a device asks whose public key was registered: the request's own signature is its proof.

    Raises ClaimUnknown where the key is not registered, and as `request_certificate`.
    """
    asked = read(csr_der)
    with ctx.db.session() as session:
        claim_id = store.claim_of_key(session, asked.fingerprint, asked.asked_name)
    if claim_id is None:
        raise ClaimUnknown(
            "This key is not registered.", remedy="Show a claim: HTTP Basic with its id and its secret."
        )
    return ask(ctx, claim_id, asked, now or datetime.now(UTC))


def read(csr_der: bytes) -> Read:
    """Raises BadRequest."""
    try:
        request = requests.read_request(csr_der)
        fingerprint = requests.fingerprint(requests.checked_key(request.public_key()))
        return Read(request, csr_der, requests.asked_common_name(request), fingerprint)
    except RequestRefused as refused:
        raise BadRequest(f"{refused.what}.", remedy=refused.remedy) from refused


def ask(ctx: Context, claim_id: str, asked: Read, now: datetime) -> Waiting | Issued:
    """Take the request of whoever has proven to hold the claim. Raises as `request_certificate`."""
    authorize(claimant_principal(claim_id), Action.ENROLMENTS_REQUEST, claim_id)
    with ctx.db.session() as session:
        store.expire_due(session, now)
        found = _locked(session, claim_id)
        event = Event.ASK if found.key_fingerprint in ("", asked.fingerprint) else Event.ASK_OTHER_KEY
        outcome = rules.step(found.state, event)
        if not isinstance(outcome, Refusal) and found.state is State.CLAIMED:
            _open(ctx, session, found, asked, now)
        if outcome is Refusal.CLAIM_USED:
            _alarm(session, found, asked.fingerprint, now)
        again = store.find(session, found.id)
        assert again is not None, "an enrolment is never deleted"
        found = again
        if found.state is State.PENDING and _let_in_by_rule(ctx, session, found, now):
            found = store.find(session, found.id) or found
    if isinstance(outcome, Refusal):  # after the transaction: a time-out or alarm that was written down stays
        raise of_device(outcome)
    if found.state is State.ACCEPTED:
        found = issuing.complete(ctx, found.id, now)
    if found.state is State.ISSUED:
        return Issued(found, found.chain_pem)
    return Waiting(found, rules.poll_after_s(found.requested_at or now, now))


def _locked(session: Session, claim_id: str) -> Enrolment:
    """The batch first, then what is in it: as whoever suspends or revokes a batch locks them."""
    found = store.find_by_claim(session, claim_id)
    assert found is not None, "a claim without its enrolment"
    if found.batch is not None:
        store.batch(session, found.batch, lock=True)
    found = store.find_by_claim(session, claim_id, lock=True)
    assert found is not None, "an enrolment is never deleted"
    return found


def _open(ctx: Context, session: Session, found: Enrolment, asked: Read, now: datetime) -> None:
    if found.not_before is not None and now < found.not_before:
        raise ClaimEarly(f"This claim can be used from {found.not_before:%Y-%m-%d %H:%M} UTC on.")
    address = asked_address(found, asked.asked_name)
    _check_name(session, found, address, asked.request)
    known = _is_another(ctx, session, found, address, asked.fingerprint)
    opened = store.open_request(
        session, found.id, address.device, asked.der, asked.fingerprint, now, now + rules.PENDING_LIFE,
        known=known,
    )  # fmt: skip
    if not opened:  # another claim was quicker
        raise NameTaken(f"The name {address} is taken.", remedy="Choose another.")
    log.info("%s asks with claim %s, key %s", address, found.claim_id, asked.fingerprint)
    record(
        session, claimant_principal(found.claim_id), Action.ENROLMENTS_REQUEST, str(address),
        after={"state": "pending", "way": str(found.way), "key": asked.fingerprint, "known": known},
    )  # fmt: skip


def _is_another(ctx: Context, session: Session, found: Enrolment, address: Address, fingerprint: str) -> bool:
    """There is such a lamppost, and this is not proven to be it: neither its newest certificate's key, nor,
    where that ran out, a new key that the newest one has signed for. Nor is one that was shut out."""
    state = devices.state_of(ctx, ENROLMENT, address)
    if state is None:
        return False
    newest = store.newest_certificate(session, address.tenant, address.device)
    if found.way is Way.EXPIRED:
        return newest is None or newest.serial != found.old_serial
    if newest is None or newest.revoked_at is not None or state is not DeviceState.ACTIVE:
        return True
    return newest.key_fingerprint != fingerprint


def _alarm(session: Session, found: Enrolment, fingerprint: str, now: datetime) -> None:
    """A claim was shown with a second key: told, and its batch is suspended."""
    alarm = Alarm(0, found.tenant, found.claim_id, found.device or "", fingerprint, now)
    if not store.insert_alarm(session, alarm, rules.ALARMS_OF_A_CLAIM):
        return
    log.warning(
        "claim %s of %s/%s was used twice: by key %s, and now by %s",
        *(found.claim_id, found.tenant, found.device, found.key_fingerprint, fingerprint),
    )
    telling.tell(session, alarm, now, active=True)
    record(
        session, claimant_principal(found.claim_id), Action.ENROLMENTS_REQUEST,
        f"{found.tenant}/{found.device or '?'}", reason="this claim was used with another key",
        before={"key": found.key_fingerprint}, after={"key": fingerprint, "alarm": True},
    )  # fmt: skip
    if found.batch is not None:
        reason = f"claim {found.claim_id} was used twice"
        change_batch(session, ENROLMENT, found.batch, BatchEvent.ALARM, reason)


def change_batch(
    session: Session, principal: Principal, batch_id: str, event: BatchEvent, reason: str
) -> bool:
    """Take a batch and its claims one step on; False where it is refused."""
    batch = store.batch(session, batch_id, lock=True)
    assert batch is not None, "a batch is never deleted"
    following = batch_step(batch.state, event)
    if following is None:
        return False
    if following is batch.state:
        return True
    store.change_batch(session, batch_id, following, reason)
    of_claim = {
        BatchState.SUSPENDED: Event.SUSPEND,
        BatchState.OPEN: Event.RESUME,
        BatchState.REVOKED: Event.WITHDRAW,
    }[following]
    for each in store.in_batch(session, batch_id):
        outcome = rules.step(each.state, of_claim)
        if isinstance(outcome, State) and outcome is not each.state:
            store.change(session, each.id, state=str(outcome))
    log.info("batch %s: %s by %s", batch_id, following, in_log(principal))  # a reason may name people
    record(
        session, principal, Action.CLAIMS_BATCH, batch_id, reason=reason, tenant=batch.tenant,
        before={"state": str(batch.state)}, after={"state": str(following)},
    )  # fmt: skip
    return True


def _let_in_by_rule(ctx: Context, session: Session, found: Enrolment, now: datetime) -> bool:
    assert found.device is not None, "pending without a name"
    address = Address(found.tenant, found.device)
    rule = accept_policy.accepting(ctx.config.enrolment.accept, _asked(ctx, session, found, address, now))
    outcome = rules.step(found.state, Event.ACCEPT)
    if rule is None or isinstance(outcome, Refusal):
        return False
    store.change(session, found.id, state=str(outcome), decided_by=f"{POLICY}{rule}", decided_at=now)
    record(
        session, ENROLMENT, Action.ENROLMENTS_DECIDE, str(address), reason=f"{POLICY}{rule}",
        before={"state": str(found.state)},
        after={"state": str(outcome), "enrolment": found.id, "key": found.key_fingerprint},
    )  # fmt: skip
    log.info("%s is let in by the rule %r", address, str(rule))
    return True


def _asked(ctx: Context, session: Session, found: Enrolment, address: Address, now: datetime) -> Asked:
    match found.way:
        case Way.BATCH if found.batch is not None:
            batch = store.batch(session, found.batch)  # locked: claims of one batch are counted in a row
            assert batch is not None, "a batch is never deleted"
            return Asked(
                Way.BATCH,
                found.known,
                batch.district,
                batch_open=batch.state is BatchState.OPEN,
                let_in=store.let_in_by_rule(session, found.batch, POLICY),
            )
        case Way.EXPIRED:
            old = store.certificate(session, found.old_serial)
            newest = store.newest_certificate(session, address.tenant, address.device)
            assert old is not None, "an expired certificate that was not issued here"
            return Asked(
                Way.EXPIRED,
                found.known,
                active=devices.state_of(ctx, ENROLMENT, address) is DeviceState.ACTIVE,
                newest=newest is not None and newest.serial == old.serial and old.revoked_at is None,
                expired_days=(now - old.not_after).total_seconds() / DAY_S,
            )
        case _:
            return Asked(found.way, found.known)


def _check_secret(ctx: Context, claim_id: str, secret: str) -> None:
    token = claims.parse_token(claim_id, secret)
    stored = None
    if token is not None:
        with ctx.db.session() as session:
            stored = store.secret_hash(session, token.id)
    if stored is None or not claims.secret_matches(secret, stored):
        raise ClaimUnknown("There is no such claim, or this is not its secret.")


def asked_address(found: Enrolment, asked_name: str | None) -> Address:
    """The claim's name; where it is free, the one the request asks for as `tenant/device`."""
    if found.device is not None:
        return Address(found.tenant, found.device)
    if asked_name is None:
        raise BadRequest("The claim is for a free name: the request's common name must say which.")
    tenant, slash, device = asked_name.partition("/")
    if not slash or tenant != found.tenant:
        raise BadRequest(f"The claim is for a name in {found.tenant}: ask for {found.tenant}/NAME.")
    return checked_address(tenant, device, BadRequest)


def _check_name(session: Session, found: Enrolment, address: Address, request: requests.Request) -> None:
    try:
        requests.check_asks_only_for(request, address)
        requests.check_name_fits(address)
    except RequestRefused as refused:
        raise BadRequest(f"{refused.what}.", remedy=refused.remedy) from refused
    if store.name_is_open(session, address.tenant, address.device, found.claim_id):
        raise NameTaken(f"The name {address} is taken.", remedy="Choose another.")


def checked_address(
    tenant: str, device: str | None, error: type[InvalidRequest] | type[BadRequest] = InvalidRequest
) -> Address:
    """device None: any. Raises `error`."""
    try:
        address = Address(tenant, device if device is not None else "any")
        requests.check_name_fits(address)
    except (InvalidName, RequestRefused) as wrong:
        raise error(f"{wrong}.") from wrong
    return address
