"""Queries of machines' tokens."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlmodel import Session

from fleet_server.access.approval_store import Request
from fleet_server.access.store import OPERATOR, Operator, operator_of, reading

_COLUMNS = """
    t.id, t.tenant, (SELECT name FROM operator WHERE id = t.operator_id) AS owner, t.name, t.roles, t.scopes,
    t.created_by, t.created_at, t.expires_at, t.last_used_at, t.revoked_at, t.revoked_by
"""


# By machines of one installation tokens are made, used and revoked; a clock that nobody keeps is so far off.
CLOCKS_DIFFER = timedelta(minutes=5)


@dataclass(frozen=True)
class ApiToken:
    """A machine's permission, without its secret. owner: the account whose roles bound it."""

    id: int
    tenant: str
    owner: str
    name: str
    roles: tuple[str, ...]
    scopes: tuple[str, ...]
    created_by: str
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None
    revoked_by: str


@dataclass(frozen=True)
class NewToken:
    tenant: str
    owner_id: int
    name: str
    roles: Iterable[str]
    scopes: Iterable[str]
    created_by: str
    created_at: datetime
    expires_at: datetime


def insert(session: Session, token_hash: bytes, new: NewToken) -> ApiToken:
    made = session.execute(
        text(
            "INSERT INTO api_token (tenant, operator_id, name, roles, scopes, token_hash, created_by,"
            " created_at, expires_at)"
            " VALUES (:tenant, :owner, :name, :roles, :scopes, :hash, :by, :at, :expires)"
            " RETURNING id"
        ),
        {
            "tenant": new.tenant, "owner": new.owner_id, "name": new.name,
            "roles": sorted(map(str, new.roles)),
            "scopes": sorted(map(str, new.scopes)), "hash": token_hash, "by": new.created_by,
            "at": new.created_at, "expires": new.expires_at,
        },
    ).scalar_one()  # fmt: skip
    found = get(session, made)
    assert found is not None
    return found


def get(session: Session, number: int, *, lock: bool = False) -> ApiToken | None:
    held = " FOR UPDATE OF t" if lock else ""
    row = session.execute(reading(_COLUMNS, f"FROM api_token t WHERE t.id = :id{held}"), {"id": number})
    return _token(row.first())


def listed(session: Session, tenant: str | None, after: int, limit: int) -> list[ApiToken]:
    """By number. tenant None: of all."""
    rows = session.execute(
        reading(
            _COLUMNS,
            "FROM api_token t"
            " WHERE t.id > :after AND (CAST(:tenant AS text) IS NULL OR t.tenant = :tenant)"
            " ORDER BY t.id LIMIT :limit",
        ),
        {"tenant": tenant, "after": after, "limit": limit},
    )
    return [each for row in rows if (each := _token(row)) is not None]


def find(session: Session, token_hash: bytes) -> tuple[ApiToken, Operator] | None:
    """The token and its owner as they are now."""
    row = session.execute(
        text("SELECT id, operator_id FROM api_token WHERE token_hash = :hash"), {"hash": token_hash}
    ).first()
    if row is None:
        return None
    found = get(session, row.id)
    assert found is not None
    owner = session.execute(
        reading(OPERATOR, "FROM operator o WHERE o.id = :id"),
        {"id": row.operator_id},
    )
    return found, operator_of(owner.one())


def used(session: Session, number: int, now: datetime) -> None:
    session.execute(
        text("UPDATE api_token SET last_used_at = :now WHERE id = :id"), {"now": now, "id": number}
    )


def revoke(session: Session, number: int, by: str, now: datetime) -> None:
    session.execute(
        text(
            "UPDATE api_token SET revoked_at = :now, revoked_by = :by WHERE id = :id AND revoked_at IS NULL"
        ),
        {"now": now, "by": by, "id": number},
    )


def makers(session: Session, request: Request) -> frozenset[str]:
    """Who else made a token that could have asked for this in the name of who asked."""
    rows = session.execute(
        text(
            "SELECT DISTINCT t.created_by FROM api_token t JOIN operator o ON o.id = t.operator_id"
            " WHERE t.created_by <> o.name AND o.name = :asked_by AND :action = ANY(t.scopes)"
            " AND t.tenant IN ('*', :tenant) AND t.created_at <= :latest AND t.expires_at > :earliest"
            " AND (t.revoked_at IS NULL OR t.revoked_at >= :earliest)"
        ),
        {
            "asked_by": request.asked_by, "action": request.action, "tenant": request.tenant,
            "earliest": request.asked_at - CLOCKS_DIFFER, "latest": request.asked_at + CLOCKS_DIFFER,
        },
    ).scalars()  # fmt: skip
    return frozenset(rows)


def _token(row: Any) -> ApiToken | None:
    if row is None:
        return None
    return ApiToken(
        row.id, row.tenant, row.owner, row.name, tuple(row.roles), tuple(row.scopes), row.created_by,
        row.created_at, row.expires_at, row.last_used_at, row.revoked_at, row.revoked_by,
    )  # fmt: skip
