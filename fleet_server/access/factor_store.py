"""Queries of second factors, recovery codes, and tickets of people who still owe one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import text
from sqlmodel import Session


@dataclass(frozen=True)
class Factor:
    """sealed: the key, encrypted. confirmed: it has shown a right code once. last_step: the newest used."""

    sealed: bytes = field(repr=False)
    confirmed: bool
    last_step: int


@dataclass(frozen=True)
class Ticket:
    operator_id: int
    wanted: str
    expires_at: datetime
    failures: int


def locked(session: Session, operator_id: int) -> Factor | None:
    """Locked until the transaction ends: one code sent twice at once is used once."""
    row = session.execute(
        text(
            "SELECT sealed, confirmed_at IS NOT NULL AS confirmed, last_step FROM second_factor"
            " WHERE operator_id = :id FOR UPDATE"
        ),
        {"id": operator_id},
    ).first()
    return None if row is None else Factor(bytes(row.sealed), row.confirmed, row.last_step)


def put(session: Session, operator_id: int, sealed: bytes, now: datetime) -> bool:
    """A new one, not confirmed. False, and nothing done, where a confirmed one is there."""
    made = session.execute(
        text(
            "INSERT INTO second_factor (operator_id, sealed, created_at) VALUES (:id, :sealed, :now)"
            " ON CONFLICT (operator_id) DO UPDATE SET sealed = EXCLUDED.sealed,"
            " created_at = EXCLUDED.created_at"
            " WHERE second_factor.confirmed_at IS NULL RETURNING operator_id"
        ),
        {"id": operator_id, "sealed": sealed, "now": now},
    )
    return made.first() is not None


def confirm(session: Session, operator_id: int, step: int, now: datetime) -> None:
    session.execute(
        text("UPDATE second_factor SET confirmed_at = :now, last_step = :step WHERE operator_id = :id"),
        {"now": now, "step": step, "id": operator_id},
    )


def use_step(session: Session, operator_id: int, step: int) -> None:
    session.execute(
        text("UPDATE second_factor SET last_step = :step WHERE operator_id = :id"),
        {"step": step, "id": operator_id},
    )


def remove(session: Session, operator_id: int) -> bool:
    """The factor and its recovery codes. Was there one?"""
    session.execute(text("DELETE FROM recovery_code WHERE operator_id = :id"), {"id": operator_id})
    gone = session.execute(
        text("DELETE FROM second_factor WHERE operator_id = :id RETURNING operator_id"), {"id": operator_id}
    )
    return gone.first() is not None


def put_codes(session: Session, operator_id: int, hashes: Iterable[bytes]) -> None:
    """In place of those before."""
    session.execute(text("DELETE FROM recovery_code WHERE operator_id = :id"), {"id": operator_id})
    for each in hashes:
        session.execute(
            text("INSERT INTO recovery_code (operator_id, code_hash) VALUES (:id, :hash)"),
            {"id": operator_id, "hash": each},
        )


def use_code(session: Session, operator_id: int, code_hash: bytes, now: datetime) -> bool:
    """True once for each code."""
    used = session.execute(
        text(
            "UPDATE recovery_code SET used_at = :now"
            " WHERE operator_id = :id AND code_hash = :hash AND used_at IS NULL RETURNING operator_id"
        ),
        {"now": now, "id": operator_id, "hash": code_hash},
    )
    return used.first() is not None


def put_ticket(
    session: Session, ticket_hash: bytes, operator_id: int, wanted: str, expires_at: datetime
) -> None:
    session.execute(
        text(
            "INSERT INTO sign_in_ticket (ticket_hash, operator_id, wanted, expires_at)"
            " VALUES (:hash, :id, :wanted, :expires)"
        ),
        {"hash": ticket_hash, "id": operator_id, "wanted": wanted, "expires": expires_at},
    )


def locked_ticket(session: Session, ticket_hash: bytes) -> Ticket | None:
    """Its account is locked first, as whoever changes an account does: else each might wait for the other."""
    session.execute(
        text(
            "SELECT FROM operator WHERE id ="
            " (SELECT operator_id FROM sign_in_ticket WHERE ticket_hash = :hash) FOR NO KEY UPDATE"
        ),
        {"hash": ticket_hash},
    )
    row = session.execute(
        text(
            "SELECT operator_id, wanted, expires_at, failures FROM sign_in_ticket"
            " WHERE ticket_hash = :hash FOR UPDATE"
        ),
        {"hash": ticket_hash},
    ).first()
    return None if row is None else Ticket(*row)


def fail_ticket(session: Session, ticket_hash: bytes) -> None:
    session.execute(
        text("UPDATE sign_in_ticket SET failures = failures + 1 WHERE ticket_hash = :hash"),
        {"hash": ticket_hash},
    )


def drop_ticket(session: Session, ticket_hash: bytes) -> None:
    session.execute(text("DELETE FROM sign_in_ticket WHERE ticket_hash = :hash"), {"hash": ticket_hash})
