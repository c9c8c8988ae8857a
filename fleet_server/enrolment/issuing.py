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
from fleet_server.enrolment import rules, store
from fleet_server.enrolment.certificate_rules import Reason
from fleet_server.enrolment.errors import AuthorityUnavailable, BadRequest
from fleet_server.enrolment.rules import Event, State
from fleet_server.enrolment.store import Enrolment
from provisioning import requests
from provisioning.authority import Authority, Signer
from provisioning.errors import AuthorityError, RequestRefused
from provisioning.revocation import reason_of
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
        current = store.find(session, enrolment_id, lock=True)
        assert current is not None
        if rules.step(current.state, Event.ISSUE) is not State.ISSUED:
            return current  # another process was first
        if found.replaces or found.known:  # before the new one is on record: a power cut here only repeats it
            revoke_all(ctx, session, address, now, hold=False)
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
    return _authority(ctx).trust_bundle()


def signer_and_revoked(ctx: Context, certificate: x509.Certificate) -> tuple[Signer, bool]:
    """Who signed it, and is it on the city's revocation list? Raises AuthorityUnavailable."""
    authority = _authority(ctx)
    return authority.signer(certificate), authority.is_revoked(certificate.serial_number)


def renew(ctx: Context, address: Address, csr_der: bytes, now: datetime | None = None) -> Renewal:
    """A device's next certificate. That it is this device is proven by the topic it asked on (mTLS).

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
        return _authority(ctx).issue_device(csr_der, address)
    except RequestRefused as refused:
        raise BadRequest(f"{refused.what}.", remedy=refused.remedy) from refused
    except (AuthorityError, OSError) as error:
        raise _unavailable(error) from error


def _authority(ctx: Context) -> Authority:
    try:
        return Authority.load_issuing(ctx.authority_directory)
    except (AuthorityError, OSError) as error:
        raise _unavailable(error) from error


def _unavailable(error: Exception) -> AuthorityUnavailable:
    log.error("the certificate authority cannot be used: %s", error)
    return AuthorityUnavailable(
        "The certificate authority cannot sign now.", remedy="The server's log says why."
    )


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
    authority = _authority(ctx)
    try:
        return [authority.issue_device(csr_der, address) for csr_der, address in asked]
    except RequestRefused as refused:
        raise BadRequest(f"{refused.what}.", remedy=refused.remedy) from refused
    except AuthorityError as error:
        raise _unavailable(error) from error


def revoke_all(ctx: Context, session: Session, address: Address, now: datetime, *, hold: bool) -> None:
    """Shut out every certificate of the device, for good or until `release_held`. Can be repeated.

    Raises AuthorityUnavailable.
    """
    shut_out(ctx, session, [address], now, hold=hold)


def shut_out(
    ctx: Context, session: Session, addresses: Sequence[Address], now: datetime, *, hold: bool
) -> None:
    """As `revoke_all`, for many at once: the list is written once, and the broker reads it once."""
    if not hold:
        for address in addresses:
            store.mark_all_revoked(session, address.tenant, address.device, now)
    serials = _serials(session, addresses, now)
    if not serials:
        return
    try:
        fresh = _authority(ctx).revoke_all([int(each, 16) for each in serials], hold=hold)
    except OSError as error:
        raise _unavailable(error) from error
    for serial, address in serials.items():
        store.mark_revoked(session, serial, now)
        if int(serial, 16) in fresh:
            log.info("certificate %s of %s %s", serial, address, "on hold" if hold else "revoked")


def reasons_listed(ctx: Context) -> dict[int, str]:
    """Serial -> RFC 5280's word for why it is on a revocation list. Raises AuthorityUnavailable."""
    try:
        lists = _authority(ctx).revocation_lists()
    except (OSError, ValueError) as error:
        raise _unavailable(error) from error
    return {entry.serial_number: reason_of(entry).value for each in lists for entry in each}


def revoke_one(ctx: Context, serial: str, reason: Reason) -> bool:
    """For good; False where the list has it so already. Raises AuthorityUnavailable."""
    try:
        fresh = _authority(ctx).revoke_all([int(serial, 16)], reason=x509.ReasonFlags(str(reason)))
    except OSError as error:
        raise _unavailable(error) from error
    return bool(fresh)


def relist(ctx: Context, serials: Sequence[str], *, hold: bool) -> None:
    """On the list, for good or on hold. Raises AuthorityUnavailable."""
    try:
        _authority(ctx).revoke_all([int(each, 16) for each in serials], hold=hold)
    except OSError as error:
        raise _unavailable(error) from error


def let_in_again(ctx: Context, session: Session, addresses: Sequence[Address], now: datetime) -> None:
    """Let the certificates in again that are on hold; those that ran out meanwhile are good for a renewal
    by their key. Can be repeated. Raises AuthorityUnavailable."""
    serials = {
        serial: address
        for address in addresses
        for serial in store.shut_serials(session, address.tenant, address.device)
    }
    if not serials:
        return
    try:
        released = _authority(ctx).release_all([int(each, 16) for each in serials])
    except OSError as error:
        raise _unavailable(error) from error
    listed, unexpired = reasons_listed(ctx), _serials(session, addresses, now)
    for serial, address in serials.items():
        if int(serial, 16) in released:
            store.mark_revoked(session, serial, None)
            log.info("certificate %s of %s no longer on hold", serial, address)
        elif serial in unexpired and int(serial, 16) not in listed:  # a power cut came before the mark
            store.mark_revoked(session, serial, None)


def _serials(session: Session, addresses: Sequence[Address], now: datetime) -> dict[str, Address]:
    return {
        serial: address
        for address in addresses
        for serial in store.unexpired_serials(session, address.tenant, address.device, now)
    }
