"""Queries of the access slice: a session in, plain dataclasses out."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import delete, func, update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col, select

from fleet_server.access import tables


@dataclass(frozen=True)
class Operator:
    """A person's account, without its secret."""

    id: int
    name: str
    roles: tuple[str, ...]
    disabled: bool
    created_at: datetime


@dataclass(frozen=True)
class Credential:
    operator: Operator
    password_hash: str = field(repr=False)


@dataclass(frozen=True)
class LiveSession:
    operator: Operator
    expires_at: datetime


@dataclass(frozen=True)
class Attempts:
    """Failed attempts so far, and when the last was."""

    failures: int
    last_at: datetime


def credential(session: Session, name: str) -> Credential | None:
    row = session.exec(select(tables.Operator).where(col(tables.Operator.name) == name)).first()
    return None if row is None else Credential(_operator(row), row.password_hash)


def operators(session: Session) -> list[Operator]:
    rows = session.exec(select(tables.Operator).order_by(col(tables.Operator.name)))
    return [_operator(row) for row in rows]


def count_operators(session: Session) -> int:
    return session.exec(select(func.count()).select_from(tables.Operator)).one()


def insert_operator(
    session: Session, name: str, password_hash: str, roles: tuple[str, ...], now: datetime
) -> Operator | None:
    """None where the name is taken, by a concurrent call too."""
    statement = (
        insert(tables.Operator)
        .values(name=name, password_hash=password_hash, roles=list(roles), created_at=now)
        .on_conflict_do_nothing(index_elements=["name"])
        .returning(col(tables.Operator.id))
    )
    made = session.execute(statement).scalar_one_or_none()
    return None if made is None else Operator(made, name, roles, False, now)


def set_password_hash(session: Session, operator_id: int, password_hash: str) -> None:
    where = col(tables.Operator.id) == operator_id
    session.execute(update(tables.Operator).where(where).values(password_hash=password_hash))


def set_disabled(session: Session, name: str, disabled: bool) -> Operator | None:
    """None where there is no such operator."""
    row = session.exec(select(tables.Operator).where(col(tables.Operator.name) == name)).first()
    if row is None:
        return None
    row.disabled = disabled
    session.add(row)
    return _operator(row)


def insert_session(
    session: Session, token_hash: bytes, operator_id: int, now: datetime, expires_at: datetime
) -> None:
    session.execute(
        insert(tables.OperatorSession).values(
            token_hash=token_hash, operator_id=operator_id, created_at=now, expires_at=expires_at
        )
    )


def find_session(session: Session, token_hash: bytes) -> LiveSession | None:
    found = session.exec(
        select(tables.OperatorSession, tables.Operator)
        .join(tables.Operator, col(tables.Operator.id) == col(tables.OperatorSession.operator_id))
        .where(col(tables.OperatorSession.token_hash) == token_hash)
    ).first()
    return None if found is None else LiveSession(_operator(found[1]), found[0].expires_at)


def move_session_expiry(session: Session, token_hash: bytes, expires_at: datetime) -> None:
    where = col(tables.OperatorSession.token_hash) == token_hash
    session.execute(update(tables.OperatorSession).where(where).values(expires_at=expires_at))


def delete_session(session: Session, token_hash: bytes) -> None:
    session.execute(
        delete(tables.OperatorSession).where(col(tables.OperatorSession.token_hash) == token_hash)
    )


def delete_sessions_of(session: Session, operator_id: int) -> None:
    session.execute(
        delete(tables.OperatorSession).where(col(tables.OperatorSession.operator_id) == operator_id)
    )


def delete_stale(session: Session, sessions_before: datetime, failures_before: datetime) -> None:
    """Forget sessions that expired, and attempts that are old."""
    session.execute(
        delete(tables.OperatorSession).where(col(tables.OperatorSession.expires_at) < sessions_before)
    )
    session.execute(delete(tables.SignInFailure).where(col(tables.SignInFailure.last_at) < failures_before))


def locked_attempts(session: Session, name: str, address: str, now: datetime) -> Attempts:
    """The attempts of this name and address, locked until the transaction ends: concurrent ones queue."""
    key = {"name": name, "address": address}
    session.execute(
        insert(tables.SignInFailure).values(**key, failures=0, last_at=now).on_conflict_do_nothing()
    )
    row = session.get_one(tables.SignInFailure, (name, address), with_for_update=True)
    return Attempts(row.failures, row.last_at)


def set_attempts(session: Session, name: str, address: str, attempts: Attempts) -> None:
    row = session.get_one(tables.SignInFailure, (name, address))
    row.failures, row.last_at = attempts.failures, attempts.last_at
    session.add(row)


def forget_attempts(session: Session, name: str, address: str) -> None:
    session.execute(
        delete(tables.SignInFailure).where(
            col(tables.SignInFailure.name) == name, col(tables.SignInFailure.address) == address
        )
    )


def _operator(row: tables.Operator) -> Operator:
    return Operator(row.id, row.name, tuple(row.roles), row.disabled, row.created_at)
