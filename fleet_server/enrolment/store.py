"""Queries of the enrolment slice: a session in, plain dataclasses out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col

from fleet_server.devices.rules import Place
from fleet_server.enrolment import tables
from fleet_server.enrolment.rules import TIMING_OUT, State

E, C = tables.Enrolment, tables.Claim


@dataclass(frozen=True)
class Enrolment:
    """One claim and what became of it. `device` is None while a free claim has not been used."""

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


@dataclass(frozen=True)
class Certificate:
    """`serial` is lower-case hex."""

    serial: str
    tenant: str
    device: str
    key_fingerprint: str
    issued_at: datetime
    not_after: datetime
    revoked_at: datetime | None = None


def insert_claim(session: Session, claim: NewClaim) -> Enrolment | None:
    """The claim and its enrolment, or None where the device's name is open in another."""
    session.execute(
        insert(C).values(
            id=claim.id,
            secret_hash=claim.secret_hash,
            bound=claim.device is not None,
            replaces=claim.replaces,
            created_by=claim.created_by,
            created_at=claim.created_at,
            latitude=claim.place.latitude,
            longitude=claim.place.longitude,
            district=claim.place.district,
        )
    )
    statement = (
        insert(E)
        .values(
            claim_id=claim.id,
            state=State.CLAIMED,
            tenant=claim.tenant,
            device=claim.device,
            site=claim.site,
            expires_at=claim.expires_at,
        )
        .on_conflict_do_nothing()
        .returning(col(E.id))
    )
    made = session.execute(statement).scalar_one_or_none()
    return None if made is None else find(session, made)


def secret_hash(session: Session, claim_id: str) -> bytes | None:
    found: bytes | None = session.execute(
        select(col(C.secret_hash)).where(col(C.id) == claim_id)
    ).scalar_one_or_none()
    return found


def find(session: Session, enrolment_id: int, *, lock: bool = False) -> Enrolment | None:
    return _one(session, col(E.id) == enrolment_id, lock)


def find_by_claim(session: Session, claim_id: str, *, lock: bool = False) -> Enrolment | None:
    return _one(session, col(E.claim_id) == claim_id, lock)


def listed(session: Session, states: tuple[State, ...], limit: int) -> list[Enrolment]:
    """The newest first, in any of the states (all where none is given)."""
    statement = _joined().order_by(col(E.id).desc()).limit(limit)
    if states:
        statement = statement.where(col(E.state).in_([str(state) for state in states]))
    return [_enrolment(*row) for row in session.execute(statement)]


def name_is_open(session: Session, tenant: str, device: str, but_claim: str) -> bool:
    """Is the name in another claim or request that is not over?"""
    open_states = [str(state) for state in (State.CLAIMED, State.PENDING, State.ACCEPTED)]
    statement = select(col(E.id)).where(
        col(E.tenant) == tenant,
        col(E.device) == device,
        col(E.state).in_(open_states),
        col(E.claim_id) != but_claim,
    )
    return session.execute(statement.limit(1)).first() is not None


def expire_due(session: Session, now: datetime) -> None:
    """Write down the time-outs that have happened."""
    waiting = [str(state) for state in TIMING_OUT]
    session.execute(
        update(E).where(col(E.state).in_(waiting), col(E.expires_at) <= now).values(state=str(State.EXPIRED))
    )


def open_request(
    session: Session,
    enrolment_id: int,
    device: str,
    csr: bytes,
    key_fingerprint: str,
    requested_at: datetime,
    expires_at: datetime,
) -> bool:
    """The device's request, now pending. False where its name is open in another enrolment."""
    try:
        with session.begin_nested():
            change(
                session,
                enrolment_id,
                state=str(State.PENDING),
                device=device,
                csr=csr,
                key_fingerprint=key_fingerprint,
                requested_at=requested_at,
                expires_at=expires_at,
            )
    except IntegrityError:
        return False
    return True


def change(session: Session, enrolment_id: int, **values: Any) -> None:
    """Set columns of one enrolment (`state`, `device`, `csr`, ...)."""
    session.execute(update(E).where(col(E.id) == enrolment_id).values(**values))


def insert_certificate(session: Session, made: Certificate) -> None:
    session.execute(insert(tables.Certificate).values(**_certificate_row(made)))


@dataclass(frozen=True)
class Finished:
    """A claim that was used, accepted and answered at once: everything that is on record of it."""

    claim: NewClaim
    csr: bytes = field(repr=False)
    chain_pem: str = field(repr=False)
    certificate: Certificate


def insert_finished(session: Session, finished: Sequence[Finished]) -> None:
    """Each with its claim, its enrolment (issued) and its certificate; many in three statements."""
    done = [(each.claim, each) for each in finished]
    session.execute(
        insert(C),
        [
            {
                "id": claim.id,
                "secret_hash": claim.secret_hash,
                "bound": True,
                "replaces": claim.replaces,
                "created_by": claim.created_by,
                "created_at": claim.created_at,
                "latitude": claim.place.latitude,
                "longitude": claim.place.longitude,
                "district": claim.place.district,
            }
            for claim, _ in done
        ],
    )
    session.execute(
        insert(E),
        [
            {
                "claim_id": claim.id,
                "state": str(State.ISSUED),
                "tenant": claim.tenant,
                "device": claim.device,
                "site": claim.site,
                "key_fingerprint": each.certificate.key_fingerprint,
                "csr": each.csr,
                "requested_at": claim.created_at,
                "expires_at": claim.expires_at,
                "decided_by": claim.created_by,
                "decided_at": claim.created_at,
                "chain_pem": each.chain_pem,
            }
            for claim, each in done
        ],
    )
    session.execute(insert(tables.Certificate), [_certificate_row(each.certificate) for each in finished])


def open_names(session: Session, tenant: str, devices: Sequence[str]) -> set[str]:
    """Those of the names that are in a claim or request that is not over."""
    open_states = [str(state) for state in (State.CLAIMED, State.PENDING, State.ACCEPTED)]
    statement = select(col(E.device)).where(
        col(E.tenant) == tenant, col(E.device).in_(devices), col(E.state).in_(open_states)
    )
    return {name for name in session.execute(statement).scalars() if name is not None}


def _certificate_row(made: Certificate) -> dict[str, Any]:
    return {
        "serial": made.serial,
        "tenant": made.tenant,
        "device": made.device,
        "key_fingerprint": made.key_fingerprint,
        "issued_at": made.issued_at,
        "not_after": made.not_after,
    }


def newest_certificate(session: Session, tenant: str, device: str) -> Certificate | None:
    k = tables.Certificate
    statement = select(k).where(col(k.tenant) == tenant, col(k.device) == device)
    statement = statement.order_by(col(k.issued_at).desc(), col(k.serial)).limit(1)
    found = session.execute(statement).scalar_one_or_none()
    if found is None:
        return None
    return Certificate(
        found.serial, found.tenant, found.device, found.key_fingerprint,
        found.issued_at, found.not_after, found.revoked_at,
    )  # fmt: skip


def lock_certificates(session: Session, tenant: str, device: str) -> None:
    """Until the transaction ends nobody else issues or revokes this device's certificates."""
    name = f"certificates of {tenant}/{device}"
    session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(name, 0))))


def unexpired_serials(session: Session, tenant: str, device: str, now: datetime) -> list[str]:
    """Serials of the device's certificates that open the door unless they are revoked, oldest first."""
    k = tables.Certificate
    statement = (
        select(col(k.serial))
        .where(col(k.tenant) == tenant, col(k.device) == device, col(k.not_after) > now)
        .order_by(col(k.issued_at), col(k.serial))
    )
    return list(session.execute(statement).scalars())


def count_issued(session: Session, tenant: str, device: str, since: datetime) -> int:
    k = tables.Certificate
    statement = select(func.count()).where(
        col(k.tenant) == tenant, col(k.device) == device, col(k.issued_at) > since
    )
    return int(session.execute(statement).scalar_one())


def mark_revoked(session: Session, serial: str, at: datetime | None) -> None:
    """at None: it is not revoked (any more). The first instant stays."""
    k = tables.Certificate
    statement = update(k).where(col(k.serial) == serial)
    if at is not None:
        statement = statement.where(col(k.revoked_at).is_(None))
    session.execute(statement.values(revoked_at=at))


def _joined() -> Any:
    return select(E, C).join(C, col(C.id) == col(E.claim_id))


def _one(session: Session, where: Any, lock: bool) -> Enrolment | None:
    statement = _joined().where(where)
    if lock:
        statement = statement.with_for_update(of=E)
    row = session.execute(statement.execution_options(populate_existing=True)).first()
    return None if row is None else _enrolment(*row)


def _enrolment(e: tables.Enrolment, c: tables.Claim) -> Enrolment:
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
    )
