"""Queries of accounts, their grants and attempts to sign in: a session in, plain dataclasses out.

Sessions: `session_store.py`; second factors: `factor_store.py`; machines' tokens: `token_store.py`; requests
for a second person: `approval_store.py`; the OpenID provider's people: `oidc_store.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import TextClause, text
from sqlmodel import Session

from fleet_server.access.grants import Grant, Source

_TENANT_NAMES = "SELECT name FROM tenant UNION SELECT tenant FROM device UNION SELECT tenant FROM claim"

# An account as every query reads it, of `operator o`.
OPERATOR = """
    o.id, o.name, o.disabled, o.created_at, o.password_hash IS NOT NULL AS has_password,
    o.must_change_password,
    EXISTS (SELECT FROM second_factor f
            WHERE f.operator_id = o.id AND f.confirmed_at IS NOT NULL) AS has_factor,
    COALESCE((SELECT json_agg(json_build_array(g.tenant, g.roles, g.source) ORDER BY g.tenant, g.source)
              FROM operator_grant g WHERE g.operator_id = o.id), '[]') AS grants
"""


def reading(columns: str, rest: str) -> TextClause:
    """`SELECT columns rest`: both are this program's own text, never what somebody sent."""
    return text(" ".join(("SELECT", columns, rest)))


@dataclass(frozen=True)
class Operator:
    """A person's account, without its secrets. No password: signs in elsewhere, or is a machine's.

    must_change: somebody else chose the password; until it is another, signing in with it opens nothing.
    """

    id: int
    name: str
    grants: tuple[Grant, ...]
    disabled: bool
    created_at: datetime
    has_password: bool
    has_factor: bool
    must_change: bool = False


@dataclass(frozen=True)
class Credential:
    operator: Operator
    password_hash: str | None = field(repr=False)


@dataclass(frozen=True)
class Attempts:
    """Failed attempts so far, and when the last was."""

    failures: int
    last_at: datetime


def operator_of(row: Any) -> Operator:
    """Of a row with OPERATOR's columns."""
    grants = tuple(Grant(tenant, tuple(roles), source) for tenant, roles, source in row.grants)
    return Operator(
        row.id, row.name, grants, row.disabled, row.created_at, row.has_password, row.has_factor,
        row.must_change_password,
    )  # fmt: skip


def credential(session: Session, name: str) -> Credential | None:
    row = session.execute(
        reading(OPERATOR + ", o.password_hash", "FROM operator o WHERE o.name = :name"),
        {"name": name},
    ).first()
    return None if row is None else Credential(operator_of(row), row.password_hash)


def operator(session: Session, name: str, *, lock: bool = False) -> Operator | None:
    """lock: until the transaction ends, so that two changes of one account queue."""
    if lock:
        session.execute(text("SELECT FROM operator WHERE name = :name FOR UPDATE"), {"name": name})
    row = session.execute(
        reading(OPERATOR, "FROM operator o WHERE o.name = :name"),
        {"name": name},
    ).first()
    return None if row is None else operator_of(row)


def operator_by_id(session: Session, operator_id: int) -> Operator:
    row = session.execute(reading(OPERATOR, "FROM operator o WHERE o.id = :id"), {"id": operator_id})
    return operator_of(row.one())


def operators(session: Session, tenant: str | None = None) -> list[Operator]:
    """By name. tenant: only those with a grant in it; None: all."""
    where = (
        "" if tenant is None else "WHERE o.id IN (SELECT operator_id FROM operator_grant WHERE tenant = :t)"
    )
    rows = session.execute(reading(OPERATOR, f"FROM operator o {where} ORDER BY o.name"), {"t": tenant})
    return [operator_of(row) for row in rows]


def tenant_names(session: Session) -> set[str]:
    """Of every tenant that somebody named, or that has lampposts or claims for some."""
    return set(session.execute(text(_TENANT_NAMES)).scalars())


def count_operators(session: Session) -> int:
    counted: int = session.execute(text("SELECT count(*) FROM operator")).scalar_one()
    return counted


def insert_operator(
    session: Session,
    name: str,
    password_hash: str | None,
    grants: Iterable[Grant],
    now: datetime,
    *,
    must_change: bool = False,
) -> Operator | None:
    """None where the name is taken, by a concurrent call too."""
    made = session.execute(
        text(
            "INSERT INTO operator (name, password_hash, created_at, must_change_password)"
            " VALUES (:name, :hash, :now, :must) ON CONFLICT (name) DO NOTHING RETURNING id"
        ),
        {"name": name, "hash": password_hash, "now": now, "must": must_change},
    ).scalar_one_or_none()
    if made is None:
        return None
    for each in grants:
        set_grant(session, made, each)
    return operator_by_id(session, made)


def set_grant(session: Session, operator_id: int, grant: Grant) -> None:
    """Write it over what this source had given there; without roles it goes."""
    where = {"id": operator_id, "tenant": grant.tenant, "source": grant.source}
    if not grant.roles:
        session.execute(
            text(
                "DELETE FROM operator_grant WHERE operator_id = :id AND tenant = :tenant AND source = :source"
            ),
            where,
        )
        return
    session.execute(
        text(
            "INSERT INTO operator_grant (operator_id, tenant, source, roles)"
            " VALUES (:id, :tenant, :source, :roles)"
            " ON CONFLICT (operator_id, tenant, source) DO UPDATE SET roles = EXCLUDED.roles"
        ),
        where | {"roles": sorted(set(map(str, grant.roles)))},
    )


def replace_grants(session: Session, operator_id: int, source: Source, grants: Sequence[Grant]) -> None:
    """Everything that this source gave becomes `grants`."""
    session.execute(
        text("DELETE FROM operator_grant WHERE operator_id = :id AND source = :source"),
        {"id": operator_id, "source": source},
    )
    for each in grants:
        set_grant(session, operator_id, each)


def still_has(session: Session, operator_id: int, password_hash: str | None) -> bool:
    """Is this hash the account's just now, and the account let in? Locked until the transaction ends: who
    changes either comes before this, or ends what begins here."""
    found = session.execute(
        text(
            "SELECT FROM operator WHERE id = :id AND password_hash = :hash AND NOT disabled FOR NO KEY UPDATE"
        ),
        {"id": operator_id, "hash": password_hash},
    )
    return found.first() is not None


def renew_hash(session: Session, operator_id: int, password_hash: str) -> None:
    """The same password, hashed with today's parameters."""
    session.execute(
        text("UPDATE operator SET password_hash = :hash WHERE id = :id"),
        {"hash": password_hash, "id": operator_id},
    )


def set_password_hash(session: Session, operator_id: int, password_hash: str, *, must_change: bool) -> None:
    session.execute(
        text("UPDATE operator SET password_hash = :hash, must_change_password = :must WHERE id = :id"),
        {"hash": password_hash, "must": must_change, "id": operator_id},
    )


def set_disabled(session: Session, operator_id: int, disabled: bool) -> None:
    session.execute(
        text("UPDATE operator SET disabled = :disabled WHERE id = :id"),
        {"disabled": disabled, "id": operator_id},
    )


def delete_stale(session: Session, now: datetime, failures_before: datetime) -> None:
    """Forget sessions, tickets and flows that have expired, and attempts that are old."""
    session.execute(text("DELETE FROM operator_session WHERE expires_at < :now"), {"now": now})
    session.execute(text("DELETE FROM sign_in_ticket WHERE expires_at < :now"), {"now": now})
    session.execute(text("DELETE FROM sign_in_flow WHERE expires_at < :now"), {"now": now})
    session.execute(text("DELETE FROM sign_in_failure WHERE last_at < :before"), {"before": failures_before})


def locked_attempts(session: Session, name: str, address: str, now: datetime) -> Attempts:
    """The attempts of this name and address, locked until the transaction ends: concurrent ones queue."""
    key = {"name": name, "address": address}
    session.execute(
        text(
            "INSERT INTO sign_in_failure (name, address, failures, last_at)"
            " VALUES (:name, :address, 0, :now) ON CONFLICT DO NOTHING"
        ),
        key | {"now": now},
    )
    row = session.execute(
        text(
            "SELECT failures, last_at FROM sign_in_failure"
            " WHERE name = :name AND address = :address FOR UPDATE"
        ),
        key,
    ).one()
    return Attempts(row.failures, row.last_at)


def set_attempts(session: Session, name: str, address: str, attempts: Attempts) -> None:
    session.execute(
        text(
            "UPDATE sign_in_failure SET failures = :failures, last_at = :last_at"
            " WHERE name = :name AND address = :address"
        ),
        {"name": name, "address": address, "failures": attempts.failures, "last_at": attempts.last_at},
    )


def forget_attempts(session: Session, name: str, address: str) -> None:
    session.execute(
        text("DELETE FROM sign_in_failure WHERE name = :name AND address = :address"),
        {"name": name, "address": address},
    )


def forgive_one(session: Session, name: str, address: str) -> None:
    """The attempt that was counted in advance was right."""
    session.execute(
        text(
            "UPDATE sign_in_failure SET failures = greatest(failures - 1, 0)"
            " WHERE name = :name AND address = :address"
        ),
        {"name": name, "address": address},
    )
