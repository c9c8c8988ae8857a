"""What the store of enrolments takes and gives: plain dataclasses, and how rows become them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from fleet_server.accept_policy import Way
from fleet_server.devices.rules import Place
from fleet_server.enrolment.batch_rules import BatchState
from fleet_server.enrolment.rules import State


@dataclass(frozen=True)
class Enrolment:
    """One claim, or key, and what became of it. `device` is None while a free claim has not been used."""

    id: int
    claim_id: str
    state: State
    tenant: str
    device: str | None
    site: str
    bound: bool
    replaces: bool
    created_by: str
    created_at: datetime
    expires_at: datetime
    key_fingerprint: str
    requested_at: datetime | None
    decided_by: str
    decided_at: datetime | None
    reason: str
    csr: bytes | None = field(repr=False)
    chain_pem: str = field(repr=False)
    place: Place
    way: Way = Way.CLAIM
    batch: str | None = None
    not_before: datetime | None = None
    known: bool = False  # there was a lamppost of this name with another key
    old_serial: str = ""  # of the expired certificate whose key signed the request
    registered_key: str | None = None


@dataclass(frozen=True)
class NewClaim:
    id: str
    secret_hash: bytes = field(repr=False)
    tenant: str
    device: str | None
    site: str
    replaces: bool
    created_by: str
    created_at: datetime
    expires_at: datetime
    place: Place
    way: Way = Way.CLAIM
    batch: str | None = None
    registered_key: str | None = None
    not_before: datetime | None = None


@dataclass(frozen=True)
class Certificate:
    """serial: lower-case hex. revoked_at: or on hold since. revocation: why, RFC 5280's word; "": not
    revoked, or by an older version of this program, which did not write it down."""

    serial: str
    tenant: str
    device: str
    key_fingerprint: str
    issued_at: datetime
    not_after: datetime
    revoked_at: datetime | None = None
    revocation: str = ""


@dataclass(frozen=True)
class Finished:
    """A claim that was used, accepted and answered at once: everything that is on record of it."""

    claim: NewClaim
    csr: bytes = field(repr=False)
    chain_pem: str = field(repr=False)
    certificate: Certificate


@dataclass(frozen=True)
class Batch:
    """Claims issued in advance. unused, used: how many of them no lamppost has shown yet, or one has."""

    id: str
    tenant: str
    technician: str
    district: str
    size: int
    valid_from: datetime
    valid_until: datetime
    state: BatchState
    reason: str
    created_by: str
    created_at: datetime
    unused: int = 0
    used: int = 0


@dataclass(frozen=True)
class Alarm:
    """A claim was shown with a second key. `id` is 0 before it is stored."""

    id: int
    tenant: str
    claim_id: str
    device: str
    key_fingerprint: str
    at: datetime
    seen_by: str = ""
    seen_at: datetime | None = None


def claim_row(claim: NewClaim) -> dict[str, Any]:
    return {
        "id": claim.id,
        "secret_hash": claim.secret_hash,
        "tenant": claim.tenant,
        "bound": claim.device is not None,
        "replaces": claim.replaces,
        "created_by": claim.created_by,
        "created_at": claim.created_at,
        "latitude": claim.place.latitude,
        "longitude": claim.place.longitude,
        "district": claim.place.district,
        "way": str(claim.way),
        "batch": claim.batch,
        "registered_key": claim.registered_key,
        "not_before": claim.not_before,
    }


def certificate_row(made: Certificate) -> dict[str, Any]:
    return {
        "serial": made.serial,
        "tenant": made.tenant,
        "device": made.device,
        "key_fingerprint": made.key_fingerprint,
        "issued_at": made.issued_at,
        "not_after": made.not_after,
    }


def certificate_of(found: Any) -> Certificate | None:
    if found is None:
        return None
    return Certificate(
        found.serial, found.tenant, found.device, found.key_fingerprint,
        found.issued_at, found.not_after, found.revoked_at, found.revocation,
    )  # fmt: skip


def enrolment_of(e: Any, c: Any) -> Enrolment:
    return Enrolment(
        id=e.id,
        claim_id=e.claim_id,
        state=State(e.state),
        tenant=e.tenant,
        device=e.device,
        site=e.site,
        bound=c.bound,
        replaces=c.replaces,
        created_by=c.created_by,
        created_at=c.created_at,
        expires_at=e.expires_at,
        key_fingerprint=e.key_fingerprint,
        requested_at=e.requested_at,
        decided_by=e.decided_by,
        decided_at=e.decided_at,
        reason=e.reason,
        csr=e.csr,
        chain_pem=e.chain_pem,
        place=Place(c.latitude, c.longitude, c.district),
        way=Way(c.way),
        batch=c.batch,
        not_before=c.not_before,
        known=e.known,
        old_serial=e.old_serial,
        registered_key=c.registered_key,
    )


def batch_of(b: Any, counts: dict[tuple[str, bool], int]) -> Batch:
    return Batch(
        b.id, b.tenant, b.technician, b.district, b.size, b.valid_from, b.valid_until,
        BatchState(b.state), b.reason, b.created_by, b.created_at,
        counts.get((b.id, True), 0), counts.get((b.id, False), 0),
    )  # fmt: skip


def alarm_of(a: Any) -> Alarm:
    return Alarm(a.id, a.tenant, a.claim_id, a.device, a.key_fingerprint, a.at, a.seen_by, a.seen_at)
