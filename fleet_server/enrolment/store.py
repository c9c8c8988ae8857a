"""Queries of the enrolment slice: a session in, plain dataclasses out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import case, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col

from fleet_server.accept_policy import Way
from fleet_server.enrolment import tables
from fleet_server.enrolment.batch_rules import BatchState
from fleet_server.enrolment.records import (
    Alarm,
    Batch,
    Certificate,
    Enrolment,
    Finished,
    NewClaim,
    alarm_of,
    batch_of,
    certificate_of,
    certificate_row,
    claim_row,
    enrolment_of,
)
from fleet_server.enrolment.rules import TIMING_OUT, State

__all__ = ["Alarm", "Batch", "Certificate", "Enrolment", "Finished", "NewClaim"]

E, C, B, A = tables.Enrolment, tables.Claim, tables.ClaimBatch, tables.ClaimAlarm
OPEN_STATES = [str(state) for state in (State.CLAIMED, State.PENDING, State.ACCEPTED)]


def insert_claim(session: Session, claim: NewClaim) -> Enrolment | None:
    """The claim and its enrolment, or None where the device's name is open in another."""
    session.execute(insert(C).values(**claim_row(claim)))
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


def insert_batch(session: Session, batch: Batch, claims: Sequence[NewClaim]) -> None:
    """The batch and its claims, none of which has a name yet."""
    row = asdict(batch) | {"state": str(batch.state)}
    session.execute(insert(B).values({k: v for k, v in row.items() if k not in ("unused", "used")}))
    session.execute(insert(C), [claim_row(claim) for claim in claims])
    made = [
        {
            "claim_id": claim.id,
            "state": str(State.CLAIMED),
            "tenant": claim.tenant,
            "device": None,
            "site": claim.site,
            "expires_at": claim.expires_at,
        }
        for claim in claims
    ]
    session.execute(insert(E), made)


def batches(session: Session, tenant: str | None, limit: int) -> list[Batch]:
    """The newest first; of one tenant, or of all (None)."""
    statement = select(B).order_by(col(B.created_at).desc(), col(B.id)).limit(limit)
    if tenant is not None:
        statement = statement.where(col(B.tenant) == tenant)
    found = list(session.execute(statement).scalars())
    counts = _batch_counts(session, [each.id for each in found])
    return [batch_of(each, counts) for each in found]


def batch(session: Session, batch_id: str, *, lock: bool = False) -> Batch | None:
    statement = select(B).where(col(B.id) == batch_id).execution_options(populate_existing=True)
    found = session.execute(statement.with_for_update() if lock else statement).scalar_one_or_none()
    return None if found is None else batch_of(found, _batch_counts(session, [batch_id]))


def change_batch(session: Session, batch_id: str, state: BatchState, reason: str) -> None:
    session.execute(update(B).where(col(B.id) == batch_id).values(state=str(state), reason=reason))


def in_batch(session: Session, batch_id: str) -> list[Enrolment]:
    """What became of its claims, locked."""
    statement = _joined().where(col(C.batch) == batch_id).order_by(col(E.id)).with_for_update(of=E)
    return [enrolment_of(*row) for row in session.execute(statement)]


def let_in_by_rule(session: Session, batch_id: str, mark: str) -> int:
    """How many of the batch were decided by somebody whose name begins with `mark`."""
    statement = select(func.count()).select_from(E).join(C, col(C.id) == col(E.claim_id))
    statement = statement.where(col(C.batch) == batch_id, col(E.decided_by).startswith(mark, autoescape=True))
    return int(session.execute(statement).scalar_one())


def claim_of_key(session: Session, key_fingerprint: str, name: str | None = None) -> str | None:
    """The claim that this registered key opens: for the name ("tenant/device") that is asked for, the open
    one, else the newest. Of two cities that know the key, the first: fingerprints are no secret."""
    is_open = col(E.state).in_(OPEN_STATES)
    named = (col(E.tenant) + "/" + func.coalesce(col(E.device), "")) == (name or "")
    statement = (
        select(col(C.id))
        .join(E, col(E.claim_id) == col(C.id))
        .where(col(C.registered_key) == key_fingerprint)
        .order_by(named.desc(), is_open.desc(), case((is_open, -col(E.id)), else_=col(E.id)).desc())
        .limit(1)
    )
    found: str | None = session.execute(statement).scalar_one_or_none()
    return found


def renewals(session: Session, tenant: str, device: str) -> list[Enrolment]:
    """This lamppost's requests that an expired certificate's key signed, the newest first, locked."""
    statement = _joined().where(
        col(E.tenant) == tenant, col(E.device) == device, col(C.way) == str(Way.EXPIRED)
    )
    statement = statement.order_by(col(E.id).desc()).limit(20).with_for_update(of=E)
    return [enrolment_of(*row) for row in session.execute(statement)]


def insert_alarm(session: Session, alarm: Alarm, most: int) -> bool:
    """False where it is known, or the claim has `most` alarms already."""
    count = select(func.count()).select_from(A).where(col(A.claim_id) == alarm.claim_id)
    if int(session.execute(count).scalar_one()) >= most:
        return False
    row = {k: v for k, v in asdict(alarm).items() if k != "id"}
    made = insert(A).values(row).on_conflict_do_nothing().returning(col(A.id))
    return session.execute(made).first() is not None


def alarms(session: Session, tenant: str | None, limit: int, *, seen: bool) -> list[Alarm]:
    """The newest first. seen: also those that somebody has looked at."""
    statement = select(A).order_by(col(A.id).desc()).limit(limit)
    if tenant is not None:
        statement = statement.where(col(A.tenant) == tenant)
    if not seen:
        statement = statement.where(col(A.seen_at).is_(None))
    return [alarm_of(each) for each in session.execute(statement).scalars()]


def see_alarm(session: Session, alarm_id: int, tenant: str | None, who: str, at: datetime) -> Alarm | None:
    statement = select(A).where(col(A.id) == alarm_id).with_for_update()
    if tenant is not None:
        statement = statement.where(col(A.tenant) == tenant)
    found = session.execute(statement).scalar_one_or_none()
    if found is None:
        return None
    if found.seen_at is None:
        found.seen_by, found.seen_at = who, at
        session.flush()
    return alarm_of(found)


def secret_hash(session: Session, claim_id: str) -> bytes | None:
    found: bytes | None = session.execute(
        select(col(C.secret_hash)).where(col(C.id) == claim_id)
    ).scalar_one_or_none()
    return found


def find(session: Session, enrolment_id: int, *, lock: bool = False) -> Enrolment | None:
    return _one(session, col(E.id) == enrolment_id, lock)


def find_by_claim(session: Session, claim_id: str, *, lock: bool = False) -> Enrolment | None:
    return _one(session, col(E.claim_id) == claim_id, lock)


def listed(
    session: Session,
    states: tuple[State, ...],
    limit: int,
    *,
    tenant: str | None = None,
    ways: tuple[Way, ...] = (),
) -> list[Enrolment]:
    """The newest first, in any of the states, of a tenant, by any of the ways (all where none is given)."""
    statement = _joined().order_by(col(E.id).desc()).limit(limit)
    if tenant is not None:
        statement = statement.where(col(E.tenant) == tenant)
    if ways:
        statement = statement.where(col(C.way).in_([str(way) for way in ways]))
    if states:
        statement = statement.where(col(E.state).in_([str(state) for state in states]))
    return [enrolment_of(*row) for row in session.execute(statement)]


def name_is_open(session: Session, tenant: str, device: str, but_claim: str) -> bool:
    """Is the name in another claim or request that is not over?"""
    statement = select(col(E.id)).where(
        col(E.tenant) == tenant,
        col(E.device) == device,
        col(E.state).in_(OPEN_STATES),
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
    *,
    known: bool = False,
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
                known=known,
            )
    except IntegrityError:
        return False
    return True


def change(session: Session, enrolment_id: int, **values: Any) -> None:
    """Set columns of one enrolment (`state`, `device`, `csr`, ...)."""
    session.execute(update(E).where(col(E.id) == enrolment_id).values(**values))


def insert_certificate(session: Session, made: Certificate) -> None:
    session.execute(insert(tables.Certificate).values(**certificate_row(made)))


def insert_finished(session: Session, finished: Sequence[Finished]) -> None:
    """Each with its claim, its enrolment (issued) and its certificate; many in three statements."""
    done = [(each.claim, each) for each in finished]
    session.execute(insert(C), [claim_row(claim) for claim, _ in done])
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
    session.execute(insert(tables.Certificate), [certificate_row(each.certificate) for each in finished])


def open_names(session: Session, tenant: str, devices: Sequence[str]) -> set[str]:
    """Those of the names that are in a claim or request that is not over."""
    statement = select(col(E.device)).where(
        col(E.tenant) == tenant, col(E.device).in_(devices), col(E.state).in_(OPEN_STATES)
    )
    return {name for name in session.execute(statement).scalars() if name is not None}


def newest_certificate(session: Session, tenant: str, device: str) -> Certificate | None:
    k = tables.Certificate
    statement = select(k).where(col(k.tenant) == tenant, col(k.device) == device)
    statement = statement.order_by(col(k.issued_at).desc(), col(k.serial)).limit(1)
    return certificate_of(session.execute(statement).scalar_one_or_none())


def certificates(session: Session, tenant: str, device: str) -> list[Certificate]:
    """The newest first."""
    k = tables.Certificate
    statement = select(k).where(col(k.tenant) == tenant, col(k.device) == device)
    found = session.execute(statement.order_by(col(k.issued_at).desc(), col(k.serial))).scalars()
    return [made for each in found if (made := certificate_of(each)) is not None]


def certificate(session: Session, serial: str) -> Certificate | None:
    k = tables.Certificate
    return certificate_of(session.execute(select(k).where(col(k.serial) == serial)).scalar_one_or_none())


def lock_certificates(session: Session, tenant: str, device: str) -> None:
    """Until the transaction ends nobody else issues or revokes this device's certificates."""
    name = f"certificates of {tenant}/{device}"
    session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(name, 0))))


def count_issued(session: Session, tenant: str, device: str, since: datetime) -> int:
    k = tables.Certificate
    statement = select(func.count()).where(
        col(k.tenant) == tenant, col(k.device) == device, col(k.issued_at) > since
    )
    return int(session.execute(statement).scalar_one())


def mark(session: Session, serials: Sequence[str], word: str, at: datetime | None) -> None:
    """Revoked or on hold, and why (RFC 5280's word); at None, word "": it is not (any more). The first
    instant stays."""
    k = tables.Certificate
    since = None if at is None else func.coalesce(col(k.revoked_at), at)
    statement = update(k).where(col(k.serial).in_(serials))
    session.execute(statement.values(revoked_at=since, revocation=word))


def _joined() -> Any:
    return select(E, C).join(C, col(C.id) == col(E.claim_id))


def _one(session: Session, where: Any, lock: bool) -> Enrolment | None:
    statement = _joined().where(where)
    if lock:
        statement = statement.with_for_update(of=E)
    row = session.execute(statement.execution_options(populate_existing=True)).first()
    return None if row is None else enrolment_of(*row)


def _batch_counts(session: Session, ids: Sequence[str]) -> dict[tuple[str, bool], int]:
    """(batch, unused) -> claims."""
    unused = col(E.state).in_([str(State.CLAIMED), str(State.SUSPENDED)])
    used = col(E.requested_at).is_not(None)
    statement = (
        select(col(C.batch), unused, func.count())
        .join(E, col(E.claim_id) == col(C.id))
        .where(col(C.batch).in_(ids), unused | used)
        .group_by(col(C.batch), unused)
    )
    return {(name, bool(open_)): n for name, open_, n in session.execute(statement) if name is not None}
