"""A lamppost's next certificate over EST: by its certificate in TLS, or, when that ran out, by its key.

The first way is renewal over MQTT (`issuing.renew`); this is for when the broker cannot be reached, or
refuses.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from sqlmodel import Session

from fleet_server.accept_policy import Way
from fleet_server.access.rules import ENROLMENT, Action, device_principal
from fleet_server.access.service import authorize
from fleet_server.audit.recording import record
from fleet_server.context import Context
from fleet_server.devices import service as devices
from fleet_server.devices.rules import DeviceState
from fleet_server.enrolment import asking, issuing, rules, store
from fleet_server.enrolment.asking import Issued, Read, Waiting
from fleet_server.enrolment.errors import (
    BadRequest,
    CertificateRefused,
    NameTaken,
    RenewalRefused,
    StaleChallenge,
)
from fleet_server.enrolment.rules import Event, Refusal, State
from fleet_server.enrolment.store import Certificate
from provisioning import claims, proofs, requests
from provisioning.authority import Signer
from provisioning.errors import RequestRefused
from wire_contract.errors import InvalidName
from wire_contract.topics import Address

log = logging.getLogger(__name__)

_REVOKED = "This certificate is revoked, or no lamppost's."


def renew_with_certificate(
    ctx: Context, certificate_der: bytes, csr_der: bytes, now: datetime | None = None
) -> str:
    """The next chain (PEM) for whoever showed this certificate in its TLS handshake.

    Raises CertificateRefused, RenewalRefused.
    """
    certificate = x509.load_der_x509_certificate(certificate_der)
    held = _held(ctx, certificate, Signer.TRUSTED)
    if held.revoked:
        raise CertificateRefused(_REVOKED)
    made = issuing.renew(ctx, held.address, csr_der, now, shown=held.record.serial)
    if made.refused:
        raise RenewalRefused(f"{made.refused[0].upper()}{made.refused[1:].rstrip('.')}.")
    return made.chain_pem


def renew_expired(
    ctx: Context, proof_der: bytes, is_fresh: Callable[[str], bool], now: datetime | None = None
) -> Waiting | Issued:
    """What a device asks whose certificate ran out: a request of a new key, signed by the old one.

    `is_fresh` knows the challenge that the request has to carry. Raises BadRequest, StaleChallenge,
    CertificateRefused, RenewalRefused, NameTaken, and what `asking.ask` raises.
    """
    instant = now or datetime.now(UTC)
    try:
        proof = proofs.read_proof(proof_der)
    except RequestRefused as refused:
        raise BadRequest(f"{refused.what}.", remedy=refused.remedy) from refused
    # Of an authority that was retired meanwhile, too: its certificates have run out. The key proves who asks.
    held = _held(ctx, proof.certificate, Signer.TRUSTED, Signer.RETIRED)
    address, old = held.address, held.record
    authorize(device_principal(str(address)), Action.CERTIFICATES_RENEW, str(address))
    asked = asking.read(proof.content)
    if held.revoked and not _is_issued_for(ctx, held, asked):
        raise CertificateRefused(_REVOKED)
    if not is_fresh(requests.challenge(asked.request) or ""):
        raise StaleChallenge(
            "The request does not carry a fresh challenge.",
            remedy="Get one from /.well-known/est/csrattrs and sign again.",
        )
    state = devices.state_of(ctx, ENROLMENT, address)
    if state not in (DeviceState.ACTIVE, DeviceState.QUARANTINED):
        raise RenewalRefused(f"The lamppost is {state or 'unknown'}.", remedy="A new claim brings it back.")
    return asking.ask(ctx, _claim(ctx, address, old, asked, instant), asked, instant)


@dataclass(frozen=True)
class _Held:
    """A certificate that we issued: whose it is, and what is on record of it. revoked: or on hold."""

    address: Address
    record: Certificate
    revoked: bool


def _held(ctx: Context, certificate: x509.Certificate, *signers: Signer) -> _Held:
    """When it is the one that we issued. Raises CertificateRefused.

    An issuing authority's key may have been stolen: its signature under a serial that is known says nothing,
    the key and the last day on record do.
    """
    signer, revoked = issuing.signer_and_revoked(ctx, certificate)
    if signer not in signers:
        raise _wrongly_signed(signer)
    with ctx.db.session() as session:
        found = store.certificate(session, f"{certificate.serial_number:x}")
    if found is None:
        raise CertificateRefused(_REVOKED)
    if not _is_that_one(certificate, found):
        log.warning(
            "somebody shows a certificate of %s/%s with its serial %s that was not issued here: its key or"
            " its dates are others. Who signed it has an issuing authority's key: roll the authority over",
            *(found.tenant, found.device, found.serial),
        )
        raise CertificateRefused("This certificate is not the one that was issued with its serial number.")
    try:
        address = Address(found.tenant, found.device)
    except InvalidName as error:
        raise CertificateRefused("This certificate is no lamppost's.") from error
    return _Held(address, found, revoked or found.revoked_at is not None)


def _is_issued_for(ctx: Context, held: _Held, asked: Read) -> bool:
    """Was a good certificate issued for this very request? Whoever accepts one about a lamppost that has a
    newer certificate ends all that it had, also that by which it asks for the answer."""
    with ctx.db.session() as session:
        for each in store.renewals(session, held.address.tenant, held.address.device):
            this = each.old_serial == held.record.serial and each.key_fingerprint == asked.fingerprint
            if this and each.state is State.ISSUED:
                leaf = x509.load_pem_x509_certificate(each.chain_pem.encode())
                made = store.certificate(session, f"{leaf.serial_number:x}")
                return made is not None and made.revoked_at is None
    return False


def _wrongly_signed(signer: Signer) -> CertificateRefused:
    if signer is Signer.RETIRED:
        return CertificateRefused(
            "The authority that signed this certificate is retired.",
            remedy="Sign the request with its key (CMS) to ask for the next one, or bring a new claim.",
        )
    return CertificateRefused("This certificate is not from the city's authority.")


def _is_that_one(certificate: x509.Certificate, found: Certificate) -> bool:
    try:
        key = requests.checked_key(certificate.public_key())
    except (RequestRefused, ValueError, UnsupportedAlgorithm):
        return False
    same_key = requests.fingerprint(key) == found.key_fingerprint
    return same_key and certificate.not_valid_after_utc == found.not_after


def _claim(ctx: Context, address: Address, old: Certificate, asked: Read, now: datetime) -> str:
    """The claim that this request stands under: the one that it has opened before, or a new one."""
    with ctx.db.session() as session:
        store.lock_certificates(session, address.tenant, address.device)
        store.expire_due(session, now)
        before = store.renewals(session, address.tenant, address.device)
        for each in before:
            if each.key_fingerprint == asked.fingerprint and each.state not in (
                State.EXPIRED,
                State.WITHDRAWN,
            ):
                return each.claim_id
        for each in before:  # another key asked and was not decided: the key is proven, the newer one counts
            outcome = rules.step(each.state, Event.WITHDRAW)
            if not isinstance(outcome, Refusal) and outcome is not each.state:
                _check_not_newer(session, each.old_serial, old)
                store.change(session, each.id, state=str(outcome))
        return _new_claim(session, address, old, now)


def _check_not_newer(session: Session, asked_by: str, old: Certificate) -> None:
    """Whoever kept an older key does not take back what a newer one has asked. Raises RenewalRefused."""
    newer = store.certificate(session, asked_by)
    if newer is not None and newer.issued_at > old.issued_at:
        raise RenewalRefused(
            "A newer certificate of this lamppost has asked already.",
            remedy="A person decides about that one.",
        )


def _new_claim(session: Session, address: Address, old: Certificate, now: datetime) -> str:
    token = claims.new_token()  # its secret is told to nobody: the old key is the proof, each time
    claim = store.NewClaim(
        token.id, claims.secret_hash(token.secret), address.tenant, address.device, "", False,
        str(address), now, now + rules.PENDING_LIFE, devices.NOWHERE, Way.EXPIRED,
    )  # fmt: skip
    made = store.insert_claim(session, claim)
    if made is None:
        raise NameTaken(f"There is an open claim for {address}.", remedy="Use it, or have it withdrawn.")
    store.change(session, made.id, old_serial=old.serial)
    record(
        session, device_principal(str(address)), Action.CERTIFICATES_RENEW, str(address),
        reason="its certificate ran out", after={"old": old.serial, "claim": token.id},
    )  # fmt: skip
    log.info("%s asks for a certificate by the key of one that ran out", address)
    return token.id
