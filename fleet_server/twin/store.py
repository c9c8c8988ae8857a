"""Queries of twins and tenant settings. Each takes a session and returns plain dataclasses."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Row, text
from sqlmodel import Session

from fleet_server.twin import rules
from fleet_server.twin.rules import Layer, Origin, Section, Sync
from wire_contract.topics import Address


@dataclass(frozen=True)
class Twin:
    """A row of `device_twin` with what its device reported. `sync`: how far the device follows."""

    device_id: int
    address: Address
    sync: Sync = field(default_factory=Sync)
    revision: int = 0
    tags: Section = field(default_factory=dict)
    tags_at: Mapping[str, str] = field(default_factory=dict)
    own: Section = field(default_factory=dict)
    own_at: Mapping[str, str] = field(default_factory=dict)
    origin: Mapping[str, Origin] = field(default_factory=dict)
    reported: Mapping[str, Any] = field(default_factory=dict)
    reported_version: int | None = None
    reported_at: Mapping[str, str] = field(default_factory=dict)
    acks: Mapping[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class TenantSettings:
    tenant: str
    revision: int = 0
    settings: Section = field(default_factory=dict)
    settings_at: Mapping[str, str] = field(default_factory=dict)


_TWIN = """
SELECT d.id AS device_id, d.tenant, d.name, d.reported, d.reported_version,
       coalesce(t.revision, 0) AS revision, coalesce(t.tags, '{}') AS tags,
       coalesce(t.tags_at, '{}') AS tags_at, coalesce(t.own, '{}') AS own, coalesce(t.own_at, '{}') AS own_at,
       coalesce(t.desired, '{}') AS desired, coalesce(t.origin, '{}') AS origin,
       coalesce(t.desired_version, 0) AS desired_version, coalesce(t.acknowledged, 0) AS acknowledged,
       t.acknowledged_desired, t.due_at IS NOT NULL AS due, coalesce(t.sendings, 0) AS sendings,
       coalesce(t.reported_at, '{}') AS reported_at, coalesce(t.acks, '{}') AS acks
FROM device d LEFT JOIN device_twin t ON t.device_id = d.id
"""


def found(session: Session, address: Address) -> Twin | None:
    query = text(_TWIN + " WHERE d.tenant = :tenant AND d.name = :name")
    row = session.execute(query, {"tenant": address.tenant, "name": address.device}).one_or_none()
    return None if row is None else _twin(row)


def locked(session: Session, address: Address) -> Twin | None:
    """The same, made where it is not there yet, and locked until the transaction ends."""
    where = {"tenant": address.tenant, "name": address.device}
    session.execute(
        text(
            "INSERT INTO device_twin (device_id, tenant) SELECT id, tenant FROM device"
            " WHERE tenant = :tenant AND name = :name ON CONFLICT DO NOTHING"
        ),
        where,
    )
    session.execute(
        text(
            "SELECT 1 FROM device_twin WHERE device_id ="
            " (SELECT id FROM device WHERE tenant = :tenant AND name = :name) FOR UPDATE"
        ),
        where,
    )
    return found(session, address)


def claim_stale(session: Session, limit: int) -> list[Twin]:
    """Twins whose inheritance may have changed, locked; others' work is left to them."""
    ids = session.execute(
        text("SELECT device_id FROM device_twin WHERE stale LIMIT :limit FOR UPDATE SKIP LOCKED"),
        {"limit": limit},
    ).scalars()
    query = text(_TWIN + " WHERE d.id = ANY(:ids) ORDER BY d.id")
    return [_twin(row) for row in session.execute(query, {"ids": list(ids)})]


def make_missing(session: Session, limit: int) -> int:
    """A twin for each device that has none, stale: it may inherit."""
    made: int = session.execute(
        text(
            "WITH made AS (INSERT INTO device_twin (device_id, tenant) SELECT id, tenant FROM device d"
            " WHERE NOT EXISTS (SELECT 1 FROM device_twin t WHERE t.device_id = d.id)"
            " ORDER BY id LIMIT :limit ON CONFLICT DO NOTHING RETURNING 1) SELECT count(*) FROM made"
        ),
        {"limit": limit},
    ).scalar_one()
    return made


def save(session: Session, twin: Twin) -> None:
    """Everything but what the device reported. What is due is due at once; no longer stale."""
    sync = twin.sync
    session.execute(
        text(
            "UPDATE device_twin SET revision = :revision, tags = CAST(:tags AS jsonb),"
            " tags_at = CAST(:tags_at AS jsonb), own = CAST(:own AS jsonb), own_at = CAST(:own_at AS jsonb),"
            " desired = CAST(:desired AS jsonb), origin = CAST(:origin AS jsonb),"
            " desired_version = :version, sendings = :sendings, stale = false,"
            " due_at = CASE WHEN NOT :due THEN NULL"
            " WHEN desired_version = :version THEN due_at ELSE now() END"
            " WHERE device_id = :device"
        ),
        {
            "device": twin.device_id,
            "revision": twin.revision,
            "tags": _json(twin.tags),
            "tags_at": _json(twin.tags_at),
            "own": _json(twin.own),
            "own_at": _json(twin.own_at),
            "desired": _json(sync.desired),
            "origin": _json({key: vars(origin) for key, origin in twin.origin.items()}),
            "version": sync.version,
            "sendings": sync.sendings,
            "due": sync.due,
        },
    )


def mark_stale(session: Session, device_id: int) -> None:
    """Its groups may be others now."""
    session.execute(text("UPDATE device_twin SET stale = true WHERE device_id = :id"), {"id": device_id})


def no_longer_stale(session: Session, device_ids: Sequence[int]) -> None:
    """Twins that inherit what they did before."""
    session.execute(
        text("UPDATE device_twin SET stale = false WHERE device_id = ANY(:ids)"), {"ids": list(device_ids)}
    )


def layers(session: Session, twins: Sequence[Twin]) -> dict[int, list[Layer]]:
    """Of each device, by id: what it inherits from its tenant and its groups, and its own section."""
    made = {twin.device_id: [Layer("device", str(twin.address), twin.own, twin.own_at)] for twin in twins}
    whole = {each.tenant: each for each in _tenants(session, sorted({t.address.tenant for t in twins}))}
    for twin in twins:
        tenant = whole.get(twin.address.tenant)
        if tenant is not None:
            layer = Layer("tenant", tenant.tenant, tenant.settings, tenant.settings_at)
            made[twin.device_id].append(layer)
    rows = session.execute(
        text(
            "SELECT m.device_id, g.name, g.settings, g.settings_at, g.priority FROM device_group_member m"
            " JOIN device_group g ON g.id = m.group_id WHERE m.device_id = ANY(:ids) AND g.settings <> '{}'"
        ),
        {"ids": list(made)},
    )
    for device_id, name, settings, at, priority in rows:
        made[device_id].append(Layer("group", name, settings, at, priority))
    return made


def tenant_settings(session: Session, tenant: str, *, lock: bool = False) -> TenantSettings:
    """Empty where nobody has set any."""
    if lock:
        session.execute(
            text("INSERT INTO tenant_setting (tenant) VALUES (:tenant) ON CONFLICT DO NOTHING"),
            {"tenant": tenant},
        )
        session.execute(
            text("SELECT 1 FROM tenant_setting WHERE tenant = :tenant FOR UPDATE"), {"tenant": tenant}
        )
    return next(iter(_tenants(session, [tenant])), TenantSettings(tenant))


def _tenants(session: Session, tenants: Sequence[str]) -> list[TenantSettings]:
    rows = session.execute(
        text(
            "SELECT tenant, revision, settings, settings_at FROM tenant_setting WHERE tenant = ANY(:tenants)"
        ),
        {"tenants": list(tenants)},
    )
    return [TenantSettings(*row) for row in rows]


def save_tenant_settings(session: Session, changed: TenantSettings) -> None:
    """Every twin of the tenant is then stale."""
    session.execute(
        text(
            "UPDATE tenant_setting SET revision = :revision, settings = CAST(:settings AS jsonb),"
            " settings_at = CAST(:at AS jsonb) WHERE tenant = :tenant"
        ),
        {
            "tenant": changed.tenant,
            "revision": changed.revision,
            "settings": _json(changed.settings),
            "at": _json(changed.settings_at),
        },
    )
    session.execute(
        text("UPDATE device_twin SET stale = true WHERE tenant = :tenant"), {"tenant": changed.tenant}
    )


def due(session: Session, limit: int) -> list[Twin]:
    """Of devices that are online and let in: what is to be sent now. Each is due again later, unless it
    answers before."""
    claimed = session.execute(
        text(
            "SELECT t.device_id FROM device_twin t JOIN device d ON d.id = t.device_id"
            " WHERE t.due_at <= now() AND NOT t.stale AND d.presence = 'online'"
            " AND d.state IN ('active', 'pending')"
            " ORDER BY t.due_at LIMIT :limit FOR UPDATE OF t SKIP LOCKED"
        ),
        {"limit": limit},
    ).scalars()
    query = text(_TWIN + " WHERE d.id = ANY(:ids) ORDER BY d.id")
    return [_twin(row) for row in session.execute(query, {"ids": list(claimed)})]


def lay_aside(session: Session, limit: int) -> None:
    """What is due to lampposts that are away, until they connect (`hearing.connected`): thousands would be
    looked at each second. One that connects in this instant is left to the next turn."""
    session.execute(
        text(
            "UPDATE device_twin SET due_at = 'infinity' WHERE device_id IN ("
            " SELECT t.device_id FROM device_twin t JOIN device d ON d.id = t.device_id"
            " WHERE t.due_at <= now() AND NOT t.stale AND d.presence <> 'online'"
            " LIMIT :limit FOR UPDATE OF t SKIP LOCKED FOR SHARE OF d SKIP LOCKED)"
        ),
        {"limit": limit},
    )


def note_sent(session: Session, twins: Sequence[Twin]) -> None:
    session.execute(
        text(
            "UPDATE device_twin t SET sendings = s.sendings, due_at = now() + s.pause * interval '1 second'"
            " FROM unnest(CAST(:ids AS int[]), CAST(:sendings AS int[]), CAST(:pauses AS float8[]))"
            " AS s(id, sendings, pause) WHERE t.device_id = s.id"
        ),
        {
            "ids": [twin.device_id for twin in twins],
            "sendings": [twin.sync.sendings for twin in twins],
            "pauses": [rules.resend_after_s(twin.sync.sendings) for twin in twins],
        },
    )


def refreshed(twin: Twin, found_layers: Sequence[Layer]) -> Twin:
    """With what it inherits now: a new version where that changes what is desired."""
    effective = rules.inherited(found_layers)
    desired = {key: value for key, (value, _) in effective.items()}
    origin = {key: each for key, (_, each) in effective.items()}
    if desired == twin.sync.desired and origin == twin.origin:
        return twin
    sync = twin.sync if desired == twin.sync.desired else rules.wished(twin.sync, desired)
    return replace(twin, sync=sync, origin=origin, revision=twin.revision + 1)


def _twin(row: Row[tuple[object, ...]]) -> Twin:
    fields = dict(row._mapping)
    address = Address(fields.pop("tenant"), fields.pop("name"))
    sync = Sync(
        fields.pop("desired"),
        fields.pop("desired_version"),
        fields.pop("acknowledged"),
        fields.pop("acknowledged_desired"),
        fields.pop("due"),
        fields.pop("sendings"),
    )
    origin = {key: _origin(told) for key, told in fields.pop("origin").items()}
    return Twin(address=address, sync=sync, origin=origin, **fields)


def _origin(told: dict[str, Any]) -> Origin:
    return Origin(told["source"], told["name"], told["at"], tuple(told["ties"]))


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False)
