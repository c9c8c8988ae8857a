"""Queries of groups and their members. Each takes a session and returns plain dataclasses."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlmodel import Session

from fleet_server.twin.query import parsed
from fleet_server.twin.query_sql import compiled
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
    members: int
    settings: Mapping[str, Value] = field(default_factory=dict)
    settings_at: Mapping[str, str] = field(default_factory=dict)


_GROUPS = """
SELECT g.id, g.tenant, g.name, g.title, g.query, g.priority, g.revision, g.created_at,
       (SELECT count(*) FROM device_group_member m WHERE m.group_id = g.id) AS members,
       g.settings, g.settings_at
FROM device_group g
"""
_DEVICES = "device d LEFT JOIN device_twin t ON t.device_id = d.id"


def groups(session: Session, tenant: str) -> list[Group]:
    query = text(_GROUPS + " WHERE g.tenant = :tenant ORDER BY g.name")
    return [Group(**row._mapping) for row in session.execute(query, {"tenant": tenant})]


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
    """Its members' twins are then stale."""
    session.execute(
        text(
            "UPDATE device_group SET title = :title, query = :query, priority = :priority,"
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
    _mark(session, [*gone, *new])
    return len(new), len(gone)


def _mark(session: Session, device_ids: Sequence[int]) -> None:
    session.execute(
        text("UPDATE device_twin SET stale = true WHERE device_id = ANY(:ids)"), {"ids": list(device_ids)}
    )


def fitting(session: Session, tenant: str, query: str, limit: int) -> tuple[int, list[Address]]:
    """How many devices a query fits, and the first of them by name. Raises BadQuery."""
    condition, parameters = compiled(parsed(query))
    where = f"FROM {_DEVICES} WHERE d.tenant = :tenant AND {condition}"
    given = {**parameters, "tenant": tenant, "limit": limit}
    count: int = session.execute(text(f"SELECT count(*) {where}"), given).scalar_one()
    listed = text(f"SELECT d.tenant, d.name {where} ORDER BY d.name LIMIT :limit")
    return count, [Address(row.tenant, row.name) for row in session.execute(listed, given)]


def regroup(session: Session, of: Group, device_ids: Sequence[int] | None = None) -> int:
    """Bring a dynamic group's members to what its query says, of all devices or of these. How many."""
    assert of.query is not None
    condition, parameters = compiled(parsed(of.query))
    among = "" if device_ids is None else " AND d.id = ANY(:ids)"
    fits = f"SELECT d.id FROM {_DEVICES} WHERE d.tenant = :tenant AND {condition}{among}"  # noqa: S608
    members_among = "" if device_ids is None else " AND m.device_id = ANY(:ids)"
    given = {**parameters, "tenant": of.tenant, "group": of.id, "ids": list(device_ids or ())}
    bring = (
        f"WITH fits AS MATERIALIZED ({fits}),"  # noqa: S608
        " gone AS (DELETE FROM device_group_member m WHERE m.group_id = :group"
        f" {members_among} AND NOT EXISTS (SELECT 1 FROM fits f WHERE f.id = m.device_id)"
        " RETURNING m.device_id),"
        " came AS (INSERT INTO device_group_member (group_id, device_id, tenant)"
        " SELECT :group, id, :tenant FROM fits ON CONFLICT DO NOTHING RETURNING device_id)"
        " SELECT device_id FROM gone UNION SELECT device_id FROM came"
    )
    changed = session.execute(text(bring), given).scalars()
    ids = list(changed)
    if ids:
        _mark(session, ids)
    return len(ids)


def place(session: Session, device_ids: Sequence[int]) -> None:
    """Put these devices into the dynamic groups that they fit, and out of the others."""
    for each in _dynamic_of(session, device_ids):
        regroup(session, each, device_ids)


def _dynamic_of(session: Session, device_ids: Sequence[int]) -> list[Group]:
    query = text(
        f"{_GROUPS} WHERE g.query IS NOT NULL AND g.tenant IN"  # noqa: S608
        " (SELECT DISTINCT tenant FROM device WHERE id = ANY(:ids)) ORDER BY g.id"
    )
    return [Group(**row._mapping) for row in session.execute(query, {"ids": list(device_ids)})]


def summary(of: Group) -> dict[str, Any]:
    """For the audit log, beside the line: a title may name somebody."""
    return {"title": of.title, "query": of.query, "priority": of.priority}
