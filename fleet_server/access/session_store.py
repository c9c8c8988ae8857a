"""Queries of sessions: who is signed in, from where, until when, acting in which tenant."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlmodel import Session

from fleet_server.access.store import OPERATOR, Operator, operator_of, reading


@dataclass(frozen=True)
class NewSession:
    """What a session begins with. via: "password", "oidc"; agent: what the browser calls itself.

    provider_session: what the OpenID provider calls its own session (`sid`), "" where it does not say.
    """

    tenant: str
    via: str
    address: str = ""
    agent: str = ""
    provider_session: str = ""


@dataclass(frozen=True)
class LiveSession:
    operator: Operator
    number: int
    tenant: str
    via: str
    began_at: datetime
    expires_at: datetime


@dataclass(frozen=True)
class ListedSession:
    """One of somebody's own sessions, as they see it."""

    number: int
    tenant: str
    via: str
    address: str
    agent: str
    began_at: datetime
    expires_at: datetime


def insert(
    session: Session,
    token_hash: bytes,
    operator_id: int,
    new: NewSession,
    now: datetime,
    expires_at: datetime,
) -> int:
    """Its number."""
    made: int = session.execute(
        text(
            "INSERT INTO operator_session"
            " (token_hash, operator_id, created_at, expires_at, tenant, via, address, agent,"
            " provider_session)"
            " VALUES (:hash, :operator, :now, :expires, :tenant, :via, :address, :agent, :provider)"
            " RETURNING number"
        ),
        {
            "hash": token_hash, "operator": operator_id, "now": now, "expires": expires_at,
            "tenant": new.tenant, "via": new.via, "address": new.address, "agent": new.agent,
            "provider": new.provider_session,
        },
    ).scalar_one()  # fmt: skip
    return made


def find(session: Session, token_hash: bytes) -> LiveSession | None:
    row = session.execute(
        reading(
            OPERATOR + ", s.number, s.tenant, s.via, s.created_at AS began_at, s.expires_at",
            "FROM operator_session s JOIN operator o ON o.id = s.operator_id WHERE s.token_hash = :hash",
        ),
        {"hash": token_hash},
    ).first()
    if row is None:
        return None
    return LiveSession(operator_of(row), row.number, row.tenant, row.via, row.began_at, row.expires_at)


def of_operator(session: Session, operator_id: int, now: datetime) -> list[ListedSession]:
    """Those that have not expired, the newest first."""
    rows = session.execute(
        text(
            "SELECT number, tenant, via, address, agent, created_at, expires_at FROM operator_session"
            " WHERE operator_id = :id AND expires_at > :now ORDER BY created_at DESC, number DESC"
        ),
        {"id": operator_id, "now": now},
    )
    return [ListedSession(*row) for row in rows]


def move_expiry(session: Session, token_hash: bytes, expires_at: datetime) -> None:
    session.execute(
        text("UPDATE operator_session SET expires_at = :at WHERE token_hash = :hash"),
        {"at": expires_at, "hash": token_hash},
    )


def set_tenant(session: Session, token_hash: bytes, tenant: str) -> None:
    session.execute(
        text("UPDATE operator_session SET tenant = :tenant WHERE token_hash = :hash"),
        {"tenant": tenant, "hash": token_hash},
    )


def replace_token(session: Session, old: bytes, new: bytes) -> bool:
    """The same session under another token: the old one is worth nothing from now on. False: no such one."""
    moved = session.execute(
        text("UPDATE operator_session SET token_hash = :new WHERE token_hash = :old RETURNING number"),
        {"new": new, "old": old},
    )
    return moved.first() is not None


def delete(session: Session, token_hash: bytes) -> None:
    session.execute(text("DELETE FROM operator_session WHERE token_hash = :hash"), {"hash": token_hash})


def delete_number(session: Session, operator_id: int, number: int) -> bool:
    """Was there such a session of this account?"""
    found = session.execute(
        text("DELETE FROM operator_session WHERE operator_id = :id AND number = :number RETURNING number"),
        {"id": operator_id, "number": number},
    ).first()
    return found is not None


def delete_within(session: Session, operator_id: int, tenant: str) -> None:
    """End the sessions of an account that act in `tenant`, and what waits to; "*": all of them."""
    given = {"id": operator_id, "tenant": tenant}
    for statement in (
        "DELETE FROM sign_in_ticket WHERE operator_id = :id AND :tenant IN ('*', wanted)",
        "DELETE FROM operator_session WHERE operator_id = :id AND :tenant IN ('*', tenant)",
    ):
        session.execute(text(statement), given)


def delete_by_provider(session: Session, operator_id: int | None, provider_session: str) -> list[int]:
    """End sessions that began at the OpenID provider; whose they were, once for each.

    Of an account (None: of anybody) and of one session over there ("": of any). One of the account's of which
    the provider never said to which of its own it belongs ends with each.
    """
    ended = session.execute(
        text(
            "DELETE FROM operator_session WHERE via = 'oidc'"
            " AND (CAST(:id AS integer) IS NULL OR operator_id = :id)"
            " AND (:provider IN ('', provider_session)"
            "      OR (provider_session = '' AND CAST(:id AS integer) IS NOT NULL))"
            " RETURNING operator_id"
        ),
        {"id": operator_id, "provider": provider_session},
    )
    return list(ended.scalars())


def delete_of(session: Session, operator_id: int, *, but: bytes = b"") -> int:
    """End every session of an account, and what waits for a second factor; `but` the one of this hash
    stays."""
    session.execute(text("DELETE FROM sign_in_ticket WHERE operator_id = :id"), {"id": operator_id})
    ended = session.execute(
        text("DELETE FROM operator_session WHERE operator_id = :id AND token_hash <> :but RETURNING number"),
        {"id": operator_id, "but": but},
    )
    return len(ended.all())
