"""Queries of the tenants slice: session in, plain dataclasses out."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlmodel import Session

from fleet_server.tenants.rules import NAMES


@dataclass(frozen=True)
class TenantRecord:
    """A tenant. named: somebody made it; else it is known by its lampposts alone. own: its own quotas, by
    name; None: the usual. active: lampposts that are not decommissioned."""

    name: str
    title: str
    created_at: datetime | None
    own: Mapping[str, int | None]
    active: int


_TENANTS = f"""
    SELECT n.name, coalesce(t.title, '') AS title, t.created_at, {", ".join(f"t.{name}" for name in NAMES)},
           (SELECT count(*) FROM device d WHERE d.tenant = n.name AND d.state <> 'decommissioned') AS active
    FROM (SELECT name FROM tenant UNION SELECT DISTINCT tenant FROM device) n LEFT JOIN tenant t USING (name)
    WHERE (CAST(:within AS text) IS NULL OR n.name = :within) ORDER BY n.name
"""  # noqa: S608 - made of constants
_ACTIVE = """
    SELECT count(*) FROM device WHERE tenant = :tenant AND state <> 'decommissioned'
          AND NOT name = ANY(:names)
"""


def listed(session: Session, within: str | None) -> list[TenantRecord]:
    """By name; of the tenant `within` alone, unless that is None."""
    return [_record(dict(row)) for row in session.execute(text(_TENANTS), {"within": within}).mappings()]


def _record(row: dict[str, Any]) -> TenantRecord:
    own = {name: row.pop(name) for name in NAMES}
    return TenantRecord(own=own, **row)


def own_quotas(session: Session, tenant: str) -> dict[str, int | None]:
    query = text(f"SELECT {', '.join(NAMES)} FROM tenant WHERE name = :tenant")  # noqa: S608 - constants
    row = session.execute(query, {"tenant": tenant}).mappings().one_or_none()
    return dict.fromkeys(NAMES) if row is None else dict(row)


def put(session: Session, name: str, title: str | None, quotas: Mapping[str, int | None]) -> None:
    """Make it, or change what is given of it."""
    changes = {**quotas} if title is None else {"title": title, **quotas}
    columns = ["name", *changes]
    values = ", ".join(f":{column}" for column in columns)
    update = ", ".join(f"{column} = excluded.{column}" for column in changes)
    session.execute(
        text(
            f"INSERT INTO tenant ({', '.join(columns)}) VALUES ({values}) ON CONFLICT (name)"  # noqa: S608
            f" DO {f'UPDATE SET {update}' if changes else 'NOTHING'}"
        ),
        {"name": name, **changes},
    )


def lock(session: Session, tenant: str) -> None:
    """Until the transaction ends nobody else counts the tenant's lampposts."""
    session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 15))"), {"name": tenant})


def active_but(session: Session, tenant: str, names: Collection[str]) -> int:
    """How many lampposts it has beside these, decommissioned ones left out."""
    return int(session.execute(text(_ACTIVE), {"tenant": tenant, "names": list(names)}).scalar_one())
