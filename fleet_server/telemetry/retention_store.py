"""Queries of retention: session in, plain dataclasses out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import CursorResult, text
from sqlmodel import Session


@dataclass(frozen=True)
class KindRule:
    """Sensors of `kind` are of class `name`."""

    tenant: str
    kind: str
    name: str


@dataclass(frozen=True)
class TenantDays:
    """A tenant's samples of class `name` go after `days`."""

    tenant: str
    name: str
    days: int


@dataclass(frozen=True)
class Removal:
    """`rows` of `what` (a table; of `tenant` alone, unless it is "") before `kept_from` were removed."""

    at: datetime
    what: str
    tenant: str
    rows: int
    partitions: int
    kept_from: datetime


_WITHIN = "(CAST(:within AS text) IS NULL OR tenant = :within)"


def kinds(session: Session, within: str | None) -> list[KindRule]:
    """Of the tenant `within`; None: of all."""
    query = text(f"SELECT tenant, kind, class FROM retention_rule WHERE {_WITHIN} ORDER BY tenant, kind")  # noqa: S608
    return [KindRule(*row) for row in session.execute(query, {"within": within})]


def tenants(session: Session, within: str | None) -> list[TenantDays]:
    query = text(
        f"SELECT tenant, class, keep_days FROM tenant_retention WHERE {_WITHIN}"  # noqa: S608 - a constant
        " ORDER BY tenant, class"
    )
    return [TenantDays(*row) for row in session.execute(query, {"within": within})]


def removals(session: Session, limit: int, within: str | None) -> list[Removal]:
    query = text(
        f"SELECT at, what, tenant, rows, partitions, kept_from FROM retention_log WHERE {_WITHIN}"  # noqa: S608
        " ORDER BY id DESC LIMIT :limit"
    )
    return [Removal(*row) for row in session.execute(query, {"limit": limit, "within": within})]


def kept_from(session: Session, what: str) -> datetime | None:
    query = text("SELECT max(kept_from) FROM retention_log WHERE what = :what AND tenant = ''")
    found: datetime | None = session.execute(query, {"what": what}).scalar()
    return found


def class_of(session: Session, tenant: str, kind: str) -> str | None:
    """The class that a rule gives to a kind; None: there is no rule."""
    query = text("SELECT class FROM retention_rule WHERE tenant = :tenant AND kind = :kind")
    found: str | None = session.execute(query, {"tenant": tenant, "kind": kind}).scalar()
    return found


def days_of(session: Session, tenant: str, name: str) -> int | None:
    """The tenant's own days of a class; None: it has none."""
    query = text("SELECT keep_days FROM tenant_retention WHERE tenant = :tenant AND class = :class")
    found: int | None = session.execute(query, {"tenant": tenant, "class": name}).scalar()
    return found


def set_kind(session: Session, rule: KindRule) -> int:
    """Returns how many sensors of the kind there are that keep another class."""
    values = {"tenant": rule.tenant, "kind": rule.kind, "class": rule.name}
    session.execute(
        text(
            "INSERT INTO retention_rule (tenant, kind, class) VALUES (:tenant, :kind, :class)"
            " ON CONFLICT (tenant, kind) DO UPDATE SET class = excluded.class"
        ),
        values,
    )
    query = text(
        "SELECT count(*) FROM sensor_unit u JOIN device d ON d.id = u.device_id"
        " WHERE d.tenant = :tenant AND u.kind = :kind AND u.retention <> :class"
    )
    return int(session.execute(query, values).scalar_one())


def set_days(session: Session, rule: TenantDays) -> None:
    session.execute(
        text(
            "INSERT INTO tenant_retention (tenant, class, keep_days) VALUES (:tenant, :class, :days)"
            " ON CONFLICT (tenant, class) DO UPDATE SET keep_days = excluded.keep_days"
        ),
        {"tenant": rule.tenant, "class": rule.name, "days": rule.days},
    )


def clear_kind(session: Session, tenant: str, kind: str) -> bool:
    statement = text("DELETE FROM retention_rule WHERE tenant = :tenant AND kind = :kind")
    return _count(session.execute(statement, {"tenant": tenant, "kind": kind})) > 0


def clear_days(session: Session, tenant: str, name: str) -> bool:
    statement = text("DELETE FROM tenant_retention WHERE tenant = :tenant AND class = :class")
    return _count(session.execute(statement, {"tenant": tenant, "class": name})) > 0


def _count(result: Any) -> int:
    return cast(CursorResult[Any], result).rowcount
