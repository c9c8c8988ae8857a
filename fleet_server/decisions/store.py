"""Queries of the decisions slice. Each takes a session and returns plain dataclasses."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlmodel import Session, col, select

from fleet_server.access.rules import WORKER
from fleet_server.decisions.rules import Severity, Standing, State, What, standing
from fleet_server.decisions.tables import Incident, IncidentEvent
from wire_contract.topics import Address


@dataclass(frozen=True)
class IncidentRecord:
    """A row of `incident`. devices: lampposts that are, or were, in it; late: known only when it was over.

    version: give it back with a change, so that nobody overwrites what another did meanwhile.
    """

    id: int
    tenant: str
    kind: str
    state: State
    severity: Severity
    title: str
    district: str
    opened_at: datetime
    first_verdict_at: datetime
    last_verdict_at: datetime
    closed_at: datetime | None
    close_reason: str
    closed_by: str
    acknowledged_by: str
    acknowledged_at: datetime | None
    silenced_until: datetime | None
    merged_into: int | None
    late: bool
    devices: int
    peak_score: float
    version: int


@dataclass(frozen=True)
class MemberRecord:
    """A lamppost's part in an incident. fault: what it says of its sensor, where it was taken out."""

    device_id: int
    address: Address
    site: str
    district: str
    standing: Standing
    fault: str
    first_at: datetime
    last_at: datetime
    peak_score: float
    peak_level: int
    verdicts: int


@dataclass(frozen=True)
class EventRecord:
    """A line of the history. by: a person, `console:NAME`, or the worker."""

    id: int
    at: datetime
    by: str
    what: What
    text: str
    told: bool


@dataclass(frozen=True)
class VerdictRecord:
    """What a lamppost said of a sensor unit of its. incident_id: what it is evidence of, if of anything."""

    id: int
    device: Address
    sensor_unit: int
    sensor_kind: str
    time: datetime
    kind: str
    score: float
    confidence: float
    reason: str
    model: str
    input_hash: str  # hexadecimal, empty where there is none
    received_at: datetime | None
    history: bool
    incident_id: int | None


_VERDICTS = """
SELECT v.id, d.tenant, d.name, v.sensor_unit, coalesce(u.kind, '') AS sensor_kind, v.time, v.kind, v.score,
       v.confidence, v.reason, v.model, encode(v.input_hash, 'hex') AS input_hash, v.received_at, v.history,
       e.incident_id
FROM verdict v JOIN device d ON d.id = v.device_id LEFT JOIN sensor_unit u ON u.id = v.sensor_unit
LEFT JOIN incident_verdict e ON e.verdict_id = v.id
"""


def listed(
    session: Session, tenant: str, state: State | None, late: bool | None, after: int | None, limit: int
) -> list[IncidentRecord]:
    """Newest first, those with an id below `after`. state None: all but those that were merged."""
    query = select(Incident).where(Incident.tenant == tenant)
    query = query.where(Incident.state != State.MERGED if state is None else Incident.state == state)
    if late is not None:
        query = query.where(Incident.late == late)
    if after is not None:
        query = query.where(Incident.id < after)
    return [_record(row) for row in session.exec(query.order_by(col(Incident.id).desc()).limit(limit))]


def own(session: Session, ids: Collection[int], within: str | None) -> set[int]:
    query = select(Incident.id).where(col(Incident.id).in_(ids))
    return set(session.exec(query if within is None else query.where(Incident.tenant == within)))


def count_open(session: Session, tenant: str) -> int:
    query = text("SELECT count(*) FROM incident WHERE state = 'open' AND tenant = :tenant")
    return int(session.execute(query, {"tenant": tenant}).scalar_one())


def found(session: Session, tenant: str, incident_id: int, *, lock: bool = False) -> IncidentRecord | None:
    """lock: until the transaction ends nobody else changes it."""
    query = select(Incident).where(Incident.tenant == tenant, Incident.id == incident_id)
    row = session.exec(query.with_for_update() if lock else query).one_or_none()
    return None if row is None else _record(row)


def change(session: Session, incident_id: int, **columns: Any) -> None:
    """Set columns, and count the version on."""
    row = session.get_one(Incident, incident_id)
    for name, value in columns.items():
        setattr(row, name, value)
    row.version += 1
    session.add(row)
    session.flush()


def add_event(session: Session, incident_id: int, at: datetime, by: str, what: What, words: str) -> None:
    """What a person did: nobody has to be told."""
    session.add(IncidentEvent(incident_id=incident_id, at=at, by=by, what=what, text=words, told=False))
    session.flush()


def notify(session: Session, channel: str, incident_id: int) -> None:
    """Tell whoever listens, at the commit."""
    message = json.dumps({"devices": [], "incidents": [incident_id]})
    session.execute(text("SELECT pg_notify(:channel, :message)"), {"channel": channel, "message": message})


def members(session: Session, incident_id: int) -> list[MemberRecord]:
    """By who came first. A lamppost with several sensor units has the standing of the most alarming."""
    query = text(
        "SELECT m.*, d.tenant, d.name, d.site, d.district FROM incident_member m"
        " JOIN device d ON d.id = m.device_id WHERE m.incident_id = :incident ORDER BY m.first_at, d.name"
    )
    by_device: dict[int, MemberRecord] = {}
    for row in session.execute(query, {"incident": incident_id}):
        made = _member(dict(row._mapping))
        seen = by_device.get(made.device_id)
        by_device[made.device_id] = made if seen is None else _both(seen, made)
    return list(by_device.values())


def events(session: Session, incident_id: int, limit: int) -> list[EventRecord]:
    """Newest first. Where there are more than `limit`, the worker's lines give way to what people did."""
    query = select(IncidentEvent).where(IncidentEvent.incident_id == incident_id)
    kept = query.order_by(col(IncidentEvent.by) == WORKER.name, col(IncidentEvent.id).desc()).limit(limit)
    rows = sorted(session.exec(kept), key=lambda e: e.id, reverse=True)
    return [EventRecord(e.id, e.at, e.by, What(e.what), e.text, e.told) for e in rows]


def evidence(session: Session, incident_id: int, before: int | None, limit: int) -> list[VerdictRecord]:
    """The verdicts of an incident, newest first by id."""
    query = text(
        _VERDICTS + " WHERE e.incident_id = :incident AND (CAST(:before AS bigint) IS NULL OR v.id < :before)"
        " ORDER BY v.id DESC LIMIT :limit"
    )
    values = {"incident": incident_id, "before": before, "limit": limit}
    return [_verdict(dict(row._mapping)) for row in session.execute(query, values)]


def verdicts(
    session: Session, address: Address, begins: datetime, ends: datetime, before: int | None, limit: int
) -> list[VerdictRecord] | None:
    """What a lamppost said from `begins` up to `ends`, newest first by id; None where there is no such."""
    known = text("SELECT id FROM device WHERE tenant = :tenant AND name = :name")
    device = session.execute(known, {"tenant": address.tenant, "name": address.device}).scalar_one_or_none()
    if device is None:
        return None
    query = text(
        _VERDICTS + " WHERE v.device_id = :device AND v.time >= :begins AND v.time < :ends"
        " AND (CAST(:before AS bigint) IS NULL OR v.id < :before) ORDER BY v.id DESC LIMIT :limit"
    )
    values = {"device": device, "begins": begins, "ends": ends, "before": before, "limit": limit}
    return [_verdict(dict(row._mapping)) for row in session.execute(query, values)]


def _record(row: Incident) -> IncidentRecord:
    fields = {name: getattr(row, name) for name in IncidentRecord.__dataclass_fields__}
    return IncidentRecord(**fields | {"state": State(row.state), "severity": Severity(row.severity)})


def _member(row: dict[str, Any]) -> MemberRecord:
    last, over, fault = (_ms(row[name]) for name in ("last_at", "over_at", "fault_at"))
    assert last is not None
    stands = standing(last, over, fault)
    return MemberRecord(
        row["device_id"],
        Address(row["tenant"], row["name"]),
        row["site"],
        row["district"],
        stands,
        row["fault"] if stands is Standing.OUT else "",
        row["first_at"],
        row["last_at"],
        row["peak_score"],
        row["peak_level"],
        row["verdicts"],
    )


def _both(a: MemberRecord, b: MemberRecord) -> MemberRecord:
    order: Sequence[Standing] = (Standing.IN, Standing.OVER, Standing.OUT)
    worse = min(a, b, key=lambda member: order.index(member.standing))
    return MemberRecord(
        a.device_id,
        a.address,
        a.site,
        a.district,
        worse.standing,
        worse.fault,
        min(a.first_at, b.first_at),
        max(a.last_at, b.last_at),
        max(a.peak_score, b.peak_score),
        max(a.peak_level, b.peak_level),
        a.verdicts + b.verdicts,
    )


def _verdict(row: dict[str, Any]) -> VerdictRecord:
    return VerdictRecord(device=Address(row.pop("tenant"), row.pop("name")), **row)


def _ms(at: datetime | None) -> int | None:
    return None if at is None else round(at.timestamp() * 1000)
