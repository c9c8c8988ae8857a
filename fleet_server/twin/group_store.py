"""Queries of groups and their members. Each takes a session and returns plain dataclasses.

Who fits which query is found in `fitting.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlmodel import Session

from wire_contract.settings import Value
from wire_contract.topics import Address


@dataclass(frozen=True)
class Group:
    """`query`: None where its members are listed. `members`: how many, as found last."""

    id: int
    tenant: str
    name: str
    title: str
    query: str | None
    priority: int
    revision: int
    created_at: datetime
    slow_since: datetime | None
    members: int
    settings: Mapping[str, Value] = field(default_factory=dict)
    settings_at: Mapping[str, str] = field(default_factory=dict)


_GROUPS = """
SELECT g.id, g.tenant, g.name, g.title, g.query, g.priority, g.revision, g.created_at, g.slow_since,
       (SELECT count(*) FROM device_group_member m WHERE m.group_id = g.id) AS members,
       g.settings, g.settings_at
FROM device_group g
"""


def groups(session: Session, tenant: str) -> list[Group]:
    query = text(_GROUPS + " WHERE g.tenant = :tenant ORDER BY g.name")
    return [Group(**row._mapping) for row in session.execute(query, {"tenant": tenant})]


def count(session: Session, tenant: str) -> int:
    query = text("SELECT count(*) FROM device_group WHERE tenant = :tenant")
    return int(session.execute(query, {"tenant": tenant}).scalar_one())


def group(session: Session, tenant: str, name: str, *, lock: bool = False) -> Group | None:
    query = _GROUPS + " WHERE g.tenant = :tenant AND g.name = :name" + (" FOR UPDATE OF g" if lock else "")
    row = session.execute(text(query), {"tenant": tenant, "name": name}).one_or_none()
    return None if row is None else Group(**row._mapping)


def dynamic_group(session: Session, after: int) -> Group | None:
    """The next one after this id, of whatever tenant."""
    query = text(_GROUPS + " WHERE g.query IS NOT NULL AND g.id > :after ORDER BY g.id LIMIT 1")
    row = session.execute(query, {"after": after}).one_or_none()
    return None if row is None else Group(**row._mapping)


def create(session: Session, tenant: str, name: str, title: str, query: str | None, priority: int) -> bool:
    """False where there is one of this name."""
    made = session.execute(
        text(
            "INSERT INTO device_group (tenant, name, title, query, priority)"
            " VALUES (:tenant, :name, :title, :query, :priority) ON CONFLICT DO NOTHING RETURNING id"
        ),
        {"tenant": tenant, "name": name, "title": title, "query": query, "priority": priority},
    )
    return made.one_or_none() is not None


def save(session: Session, changed: Group) -> None:
    """Its members' twins are then stale. Another query may be a quick one."""
    session.execute(
        text(
            "UPDATE device_group SET title = :title, query = :query, priority = :priority,"
            " slow_since = CASE WHEN query = :query THEN slow_since END,"
            " revision = :revision, settings = CAST(:settings AS jsonb), settings_at = CAST(:at AS jsonb)"
            " WHERE id = :id"
        ),
        {
            "id": changed.id,
            "title": changed.title,
            "query": changed.query,
            "priority": changed.priority,
            "revision": changed.revision,
            "settings": json.dumps(changed.settings, ensure_ascii=False),
            "at": json.dumps(changed.settings_at),
        },
    )
    _stale_members(session, changed.id)


def delete(session: Session, group_id: int) -> None:
    _stale_members(session, group_id)
    session.execute(text("DELETE FROM device_group WHERE id = :id"), {"id": group_id})


def _stale_members(session: Session, group_id: int) -> None:
    session.execute(
        text(
            "UPDATE device_twin SET stale = true WHERE device_id IN"
            " (SELECT device_id FROM device_group_member WHERE group_id = :id)"
        ),
        {"id": group_id},
    )


def members(session: Session, group_id: int, after: int, limit: int) -> list[tuple[int, Address]]:
    """By the device's id."""
    rows = session.execute(
        text(
            "SELECT d.id, d.tenant, d.name FROM device_group_member m JOIN device d ON d.id = m.device_id"
            " WHERE m.group_id = :id AND d.id > :after ORDER BY d.id LIMIT :limit"
        ),
        {"id": group_id, "after": after, "limit": limit},
    )
    return [(row.id, Address(row.tenant, row.name)) for row in rows]


def unknown(session: Session, tenant: str, names: Sequence[str]) -> list[str]:
    """Of these names, those that no device of the tenant has."""
    rows = session.execute(
        text("SELECT name FROM device WHERE tenant = :tenant AND name = ANY(:names)"),
        {"tenant": tenant, "names": list(names)},
    )
    return sorted(set(names) - set(rows.scalars()))


def change_members(session: Session, of: Group, add: Sequence[str], remove: Sequence[str]) -> tuple[int, int]:
    """How many came, how many went. Whose membership changed is stale."""
    given = {"id": of.id, "tenant": of.tenant, "add": list(add), "remove": list(remove)}
    went = session.execute(
        text(
            "DELETE FROM device_group_member m USING device d WHERE m.group_id = :id AND d.id = m.device_id"
            " AND d.tenant = :tenant AND d.name = ANY(:remove) RETURNING m.device_id"
        ),
        given,
    ).scalars()
    gone = list(went)
    came = session.execute(
        text(
            "INSERT INTO device_group_member (group_id, device_id, tenant)"
            " SELECT :id, d.id, d.tenant FROM device d WHERE d.tenant = :tenant AND d.name = ANY(:add)"
            " ON CONFLICT DO NOTHING RETURNING device_id"
        ),
        given,
    ).scalars()
    new = list(came)
    mark_stale(session, [*gone, *new])
    return len(new), len(gone)


def mark_stale(session: Session, device_ids: Sequence[int]) -> None:
    session.execute(
        text("UPDATE device_twin SET stale = true WHERE device_id = ANY(:ids)"), {"ids": list(device_ids)}
    )


def dynamic_of(session: Session, device_ids: Sequence[int]) -> list[Group]:
    """Of the tenants of these devices, without those that are slow."""
    query = text(
        f"{_GROUPS} WHERE g.query IS NOT NULL AND g.slow_since IS NULL AND g.tenant IN"  # noqa: S608
        " (SELECT DISTINCT tenant FROM device WHERE id = ANY(:ids)) ORDER BY g.tenant, g.id"
    )
    return [Group(**row._mapping) for row in session.execute(query, {"ids": list(device_ids)})]


def note_slow(session: Session, group_id: int, *, slow: bool) -> None:
    session.execute(
        text(
            "UPDATE device_group SET slow_since = CASE WHEN :slow THEN coalesce(slow_since, now()) END"
            " WHERE id = :id AND (slow_since IS NULL) = :slow"
        ),
        {"id": group_id, "slow": slow},
    )


def summary(of: Group) -> dict[str, Any]:
    """For the audit log, beside the line: a title may name somebody."""
    return {"title": of.title, "query": of.query, "priority": of.priority}
