"""What follows from a decision: the lamppost is registered, its certificate issued, a replaced one's revoked.

Every step can be repeated: after a power cut the device's next request takes it up where it stopped.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from sqlmodel import Session

from fleet_server.accept_policy import Way
from fleet_server.access.rules import ENROLMENT, Action, device_principal
from fleet_server.access.service import authorize
from fleet_server.audit.recording import record
from fleet_server.commands import service as commands
from fleet_server.context import Context
from fleet_server.devices import service as devices
from fleet_server.devices.rules import DeviceState
from fleet_server.enrolment import rules, shutting, store
from fleet_server.enrolment.certificate_rules import Reason
from fleet_server.enrolment.city_authority import city_authority, unavailable
from fleet_server.enrolment.errors import AuthorityUnavailable, BadRequest
from fleet_server.enrolment.rules import Event, State
from fleet_server.enrolment.store import Enrolment
from provisioning import requests
from provisioning.authority import Signer
from provisioning.errors import AuthorityError, RequestRefused
from wire_contract.topics import Address

log = logging.getLogger(__name__)

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Renewal:
    """The new chain (PEM), or why there is none: exactly one of the two is not empty.

    trust_pem: what the city trusts now, with a chain; a lamppost so learns of the authority that comes next.
    """

    chain_pem: str
    refused: str
    trust_pem: str = ""


def is_registered(ctx: Context, address: Address) -> bool:
    """Is there a lamppost of this name, in any state?"""
    return devices.state_of(ctx, ENROLMENT, address) is not None


def complete(ctx: Context, enrolment_id: int, now: datetime) -> Enrolment:
    """From accepted to issued; nothing where that has happened. Raises AuthorityUnavailable, BadRequest."""
    with ctx.db.session() as session:
        found = store.find(session, enrolment_id)
    if found is None or found.state is not State.ACCEPTED:
        assert found is not None, "an enrolment is never deleted"
        return found
    assert found.device is not None, "accepted without a name"
    assert found.csr is not None, "accepted without a request"
    address = Address(found.tenant, found.device)
    if found.way is Way.EXPIRED and devices.state_of(ctx, ENROLMENT, address) is not DeviceState.ACTIVE:
        return found  # shut out since it was accepted: it waits until a person has made it active
    devices.register(ctx, ENROLMENT, address, found.site, found.place)
    with ctx.db.session() as session:
        # who is replaced renews nothing meanwhile
        store.lock_certificates(session, address.tenant, address.device)
        current = store.find(session, enrolment_id, lock=True)
        assert current is not None
        if rules.step(current.state, Event.ISSUE) is not State.ISSUED:
            return current  # another process was first
        if found.replaces or found.known:  # before the new one is on record: a power cut here only repeats it
            shutting.shut_out(ctx, session, [address], now, hold=False, reason=Reason.SUPERSEDED)
            _forget_orders(session, address)
        chain_pem = _issue(ctx, found.csr, address)
        _record(session, address, chain_pem, now)
        store.change(session, enrolment_id, state=State.ISSUED, chain_pem=chain_pem)
        done = store.find(session, enrolment_id)
    log.info("certificate issued to %s", address)
    assert done is not None
    return done


def _forget_orders(session: Session, address: Address) -> None:
    """What was asked of the computer that stood there is not for its successor."""
    canceled = commands.end_all(session, ENROLMENT, address, "another computer stands in its place")
    if canceled:
        told = {"commands_canceled": canceled}
        record(session, ENROLMENT, Action.DEVICES_COMMAND, str(address), after=told)


def ca_certificates(ctx: Context) -> str:
    """The authority's trust bundle (root, issuing), PEM: what devices trust. Raises AuthorityUnavailable."""
    return city_authority(ctx).trust_bundle()


def signer_and_revoked(ctx: Context, certificate: x509.Certificate) -> tuple[Signer, bool]:
    """Who signed it, and is it on the city's revocation list? Raises AuthorityUnavailable."""
    authority = city_authority(ctx)
    return authority.signer(certificate), authority.is_revoked(certificate.serial_number)


def renew(
    ctx: Context, address: Address, csr_der: bytes, now: datetime | None = None, *, shown: str = ""
) -> Renewal:
    """A device's next certificate. That it is this device is proven by the topic it asked on (mTLS), or by a
    certificate (`shown`: its serial), which may have been revoked while we waited for the lock.

    Refused, with words for the device, unless the device is active, and when it asks too often. Raises
    DatabaseUnreachable only: the caller lets the device ask again.
    """
    authorize(device_principal(str(address)), Action.CERTIFICATES_RENEW, str(address))
    instant = now or datetime.now(UTC)
    with ctx.db.session() as session:
        store.lock_certificates(session, address.tenant, address.device)
        # asked for under the lock: whoever takes the certificates away has changed the state before
        state = devices.state_of(ctx, ENROLMENT, address)
        if state is not DeviceState.ACTIVE:
            return Renewal("", f"the lamppost is {state or 'unknown'}, not active")
        if shown and ((by := store.certificate(session, shown)) is None or by.revoked_at is not None):
            return Renewal("", "the certificate that it showed is revoked")
        if store.count_issued(session, address.tenant, address.device, instant - DAY) >= rules.ISSUED_A_DAY:
            return Renewal("", f"it has had {rules.ISSUED_A_DAY} certificates within a day: try tomorrow")
        try:
            chain_pem = _issue(ctx, csr_der, address)
        except (BadRequest, AuthorityUnavailable) as refused:
            return Renewal("", str(refused))
        _record(session, address, chain_pem, instant)
        record(
            session, device_principal(str(address)), Action.CERTIFICATES_RENEW, str(address),
            after={"serial": f"{x509.load_pem_x509_certificate(chain_pem.encode()).serial_number:x}"},
        )  # fmt: skip
    log.info("certificate of %s renewed", address)
    return Renewal(chain_pem, "", ca_certificates(ctx))


def _issue(ctx: Context, csr_der: bytes, address: Address) -> str:
    try:
        return city_authority(ctx).issue_device(csr_der, address)
    except RequestRefused as refused:
        raise BadRequest(f"{refused.what}.", remedy=refused.remedy) from refused
    except (AuthorityError, OSError) as error:
        raise unavailable(error) from error


def _record(session: Session, address: Address, chain_pem: str, now: datetime) -> None:
    store.insert_certificate(session, certificate(address, chain_pem, now))


def certificate(address: Address, chain_pem: str, now: datetime) -> store.Certificate:
    """What is kept of a certificate that was just issued."""
    leaf = x509.load_pem_x509_certificate(chain_pem.encode())
    key = requests.checked_key(leaf.public_key())
    return store.Certificate(
        serial=f"{leaf.serial_number:x}",
        tenant=address.tenant,
        device=address.device,
        key_fingerprint=requests.fingerprint(key),
        issued_at=now,
        not_after=leaf.not_valid_after_utc,
    )


def issue_all(ctx: Context, asked: Sequence[tuple[bytes, Address]]) -> list[str]:
    """A chain (PEM) for each request (DER), with the authority read once. Raises BadRequest (nothing was
    issued), AuthorityUnavailable."""
    authority = city_authority(ctx)
    try:
        return [authority.issue_device(csr_der, address) for csr_der, address in asked]
    except RequestRefused as refused:
        raise BadRequest(f"{refused.what}.", remedy=refused.remedy) from refused
    except AuthorityError as error:
        raise unavailable(error) from error
