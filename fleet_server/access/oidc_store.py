"""Queries of people who sign in through the OpenID provider, and of those who are on their way there."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import text
from sqlmodel import Session

from fleet_server.access.store import OPERATOR, Operator, operator_of, reading


@dataclass(frozen=True)
class Flow:
    """What is remembered of somebody who was sent to the provider. wanted: the page to show afterwards."""

    binding_hash: bytes = field(repr=False)
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)
    wanted: str
    expires_at: datetime


def put_flow(session: Session, state_hash: bytes, flow: Flow) -> None:
    session.execute(
        text(
            "INSERT INTO sign_in_flow (state_hash, binding_hash, nonce, verifier, wanted, expires_at)"
            " VALUES (:state, :binding, :nonce, :verifier, :wanted, :expires)"
        ),
        {
            "state": state_hash,
            "binding": flow.binding_hash,
            "nonce": flow.nonce,
            "verifier": flow.verifier,
            "wanted": flow.wanted,
            "expires": flow.expires_at,
        },
    )


def take_flow(session: Session, state_hash: bytes) -> Flow | None:
    """Once: it is gone afterwards, for concurrent answers too."""
    row = session.execute(
        text(
            "DELETE FROM sign_in_flow WHERE state_hash = :state"
            " RETURNING binding_hash, nonce, verifier, wanted, expires_at"
        ),
        {"state": state_hash},
    ).first()
    return None if row is None else Flow(bytes(row[0]), *row[1:])


def forget_flows(session: Session, now: datetime) -> None:
    session.execute(text("DELETE FROM sign_in_flow WHERE expires_at < :now"), {"now": now})


def use_logout(session: Session, token_hash: bytes, expires_at: datetime) -> bool:
    """True once for each logout token."""
    used = session.execute(
        text(
            "INSERT INTO provider_logout (token_hash, expires_at) VALUES (:hash, :expires)"
            " ON CONFLICT DO NOTHING RETURNING token_hash"
        ),
        {"hash": token_hash, "expires": expires_at},
    )
    return used.first() is not None


def forget_logouts(session: Session, now: datetime) -> None:
    session.execute(text("DELETE FROM provider_logout WHERE expires_at < :now"), {"now": now})


def find(session: Session, issuer: str, subject: str) -> Operator | None:
    row = session.execute(
        reading(
            OPERATOR,
            "FROM operator_identity i JOIN operator o ON o.id = i.operator_id"
            " WHERE i.issuer = :issuer AND i.subject = :subject FOR UPDATE OF o",
        ),
        {"issuer": issuer, "subject": subject},
    ).first()
    return None if row is None else operator_of(row)


def link(session: Session, issuer: str, subject: str, operator_id: int, now: datetime) -> bool:
    """False where a concurrent first sign-in of the same person was quicker."""
    made = session.execute(
        text(
            "INSERT INTO operator_identity (issuer, subject, operator_id, linked_at)"
            " VALUES (:issuer, :subject, :id, :now) ON CONFLICT DO NOTHING RETURNING operator_id"
        ),
        {"issuer": issuer, "subject": subject, "id": operator_id, "now": now},
    )
    return made.first() is not None
