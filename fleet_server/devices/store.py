"""Queries of the devices slice. Each takes a session and returns plain dataclasses."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, text, tuple_, update
from sqlmodel import Session, col, select

from fleet_server.devices.rules import DeviceState, Place, PresenceState
from fleet_server.devices.tables import Device, DeviceCondition, SensorUnit, Series
from wire_contract.topics import Address


@dataclass(frozen=True)
class DeviceRecord:
    """A row of `device`, with the instant of its newest sample and how many conditions hold."""

    id: int
    address: Address
    state: DeviceState
    site: str
    created_at: datetime
    presence: PresenceState
    presence_at: datetime | None
    last_seen_at: datetime | None
    agent_version: str
    clock_ok: bool | None
    settings: dict[str, str]
    backlog: dict[str, int]
    reported: dict[str, Any]
    newest_sample_at: datetime | None
    conditions: int
    worst: str | None  # the severest of them: error, warning, info
    latitude: float | None  # degrees, WGS 84, as people declared it
    longitude: float | None
    district: str
    cell: str  # the geohash that the device tells; "" for none


@dataclass(frozen=True)
class ConditionRecord:
    code: str
    subject: str
    severity: str
    detail: str
    remedy: str
    source: str
    raised_at: datetime
    cleared_at: datetime | None


@dataclass(frozen=True)
class SeriesRecord:
    id: int
    slot: int
    channel: str
    unit: str
    exponent: int


@dataclass(frozen=True)
class SensorUnitRecord:
    id: int
    kind: str
    serial: str
    site: str
    declared_at: datetime
    series: tuple[SeriesRecord, ...]


_DEVICES = """
SELECT d.id, d.tenant, d.name, d.state, d.site, d.created_at, d.presence, d.presence_at, d.last_seen_at,
       d.agent_version, d.clock_ok, d.settings, d.backlog, d.reported,
       d.latitude, d.longitude, d.district, d.cell,
       (SELECT max(l.time) FROM sensor_unit u JOIN series s ON s.sensor_unit_id = u.id
        JOIN latest l ON l.series_id = s.id WHERE u.device_id = d.id) AS newest_sample_at,
       (SELECT count(*) FROM device_condition c
        WHERE c.device_id = d.id AND c.cleared_at IS NULL) AS conditions,
       (SELECT c.severity FROM device_condition c WHERE c.device_id = d.id AND c.cleared_at IS NULL
        ORDER BY array_position(ARRAY['error', 'warning', 'info'], c.severity) LIMIT 1) AS worst
FROM device d
"""


def register(session: Session, address: Address, site: str, place: Place) -> int:
    """Make the device active, new or known; returns its id. What is empty leaves a known one's as it is."""
    found: int = session.execute(
        text(
            "INSERT INTO device AS d (tenant, name, state, site, latitude, longitude, district)"
            " VALUES (:tenant, :name, :state, :site, :latitude, :longitude, :district)"
            " ON CONFLICT (tenant, name) DO UPDATE SET state = excluded.state,"
            " site = coalesce(nullif(excluded.site, ''), d.site),"
            " latitude = coalesce(excluded.latitude, d.latitude),"  # both or neither
            " longitude = coalesce(excluded.longitude, d.longitude),"
            " district = coalesce(nullif(excluded.district, ''), d.district) RETURNING id"
        ),
        {
            "tenant": address.tenant,
            "name": address.device,
            "state": DeviceState.ACTIVE,
            "site": site,
            "latitude": place.latitude,
            "longitude": place.longitude,
            "district": place.district,
        },
    ).scalar_one()
    return found


@dataclass(frozen=True)
class Newcomer:
    """Who is to be registered, and as what."""

    address: Address
    site: str
    place: Place


def register_new(session: Session, newcomers: Sequence[Newcomer]) -> set[Address]:
    """Make those active that nobody knows yet, in one statement. Returns who they are; the rest stay as
    they are."""
    made = session.execute(
        text(
            "INSERT INTO device (tenant, name, state, site, latitude, longitude, district)"
            " SELECT tenant, name, :state, site, latitude, longitude, district FROM unnest("
            " CAST(:tenants AS text[]), CAST(:names AS text[]), CAST(:sites AS text[]),"
            " CAST(:latitudes AS float8[]), CAST(:longitudes AS float8[]), CAST(:districts AS text[]))"
            " AS new(tenant, name, site, latitude, longitude, district)"
            " ON CONFLICT DO NOTHING RETURNING tenant, name"
        ),
        {
            "state": DeviceState.ACTIVE,
            "tenants": [each.address.tenant for each in newcomers],
            "names": [each.address.device for each in newcomers],
            "sites": [each.site for each in newcomers],
            "latitudes": [each.place.latitude for each in newcomers],
            "longitudes": [each.place.longitude for each in newcomers],
            "districts": [each.place.district for each in newcomers],
        },
    )
    return {Address(tenant, name) for tenant, name in made}


def state_of(session: Session, address: Address) -> DeviceState | None:
    query = select(Device.state).where(Device.tenant == address.tenant, Device.name == address.device)
    state = session.exec(query).one_or_none()
    return None if state is None else DeviceState(state)


def lock_states(session: Session, addresses: Collection[Address]) -> dict[Address, DeviceState]:
    """The states of those that there are, which nobody else changes until the transaction ends; what refers
    to a device may come meanwhile. Locked by id, as the ingest does, so that neither waits for the other."""
    wanted = [(address.tenant, address.device) for address in addresses]
    query = select(Device.tenant, Device.name, Device.state)
    query = query.where(tuple_(Device.tenant, Device.name).in_(wanted)).order_by(col(Device.id))
    rows = session.exec(query.with_for_update(key_share=True))
    return {Address(tenant, name): DeviceState(state) for tenant, name, state in rows}


def change_state(session: Session, address: Address, state: DeviceState) -> None:
    query = update(Device).where(col(Device.tenant) == address.tenant, col(Device.name) == address.device)
    session.execute(query.values(state=state))


def say_when(session: Session, now: datetime) -> None:
    """The street's instant for what is changed in this transaction: from when on a place holds."""
    session.execute(text("SELECT set_config('lamppost.now', :now, true)"), {"now": now.isoformat()})


def place_of(session: Session, address: Address) -> Place | None:
    """Its declared place, locked until the transaction ends; None where there is no such device."""
    query = select(Device.latitude, Device.longitude, Device.district)
    query = query.where(Device.tenant == address.tenant, Device.name == address.device)
    row = session.exec(query.with_for_update()).one_or_none()
    return None if row is None else Place(*row)


def change_place(session: Session, address: Address, place: Place) -> None:
    session.execute(
        text(
            "UPDATE device SET latitude = :latitude, longitude = :longitude, district = :district"
            " WHERE tenant = :tenant AND name = :name"
        ),
        {
            "tenant": address.tenant,
            "name": address.device,
            "latitude": place.latitude,
            "longitude": place.longitude,
            "district": place.district,
        },
    )


def listed(session: Session, after_id: int, limit: int, within: str | None) -> list[DeviceRecord]:
    """Devices (of the tenant `within`; None: of all) in the order of their ids."""
    query = text(
        _DEVICES + " WHERE d.id > :after AND (CAST(:within AS text) IS NULL OR d.tenant = :within)"
        " ORDER BY d.id LIMIT :limit"
    )
    values = {"after": after_id, "limit": limit, "within": within}
    return [_device(row) for row in session.execute(query, values)]


def own(session: Session, ids: Collection[int], within: str | None) -> set[int]:
    query = select(Device.id).where(col(Device.id).in_(ids))
    return set(session.exec(query if within is None else query.where(Device.tenant == within)))


def found(session: Session, address: Address) -> DeviceRecord | None:
    query = text(_DEVICES + " WHERE d.tenant = :tenant AND d.name = :name")
    row = session.execute(query, {"tenant": address.tenant, "name": address.device}).one_or_none()
    return None if row is None else _device(row)


def _device(row: Row[tuple[object, ...]]) -> DeviceRecord:
    fields = dict(row._mapping)
    address = Address(fields.pop("tenant"), fields.pop("name"))
    state, presence = DeviceState(fields.pop("state")), PresenceState(fields.pop("presence"))
    return DeviceRecord(address=address, state=state, presence=presence, **fields)


def sensors(session: Session, device_id: int) -> list[SensorUnitRecord]:
    """The device's sensor units, oldest first, each with its series by slot."""
    units = session.exec(
        select(SensorUnit).where(SensorUnit.device_id == device_id).order_by(col(SensorUnit.id))
    ).all()
    series = _series(session, [unit.id for unit in units])
    return [
        SensorUnitRecord(
            unit.id, unit.kind, unit.serial, unit.site, unit.declared_at, tuple(series.get(unit.id, ()))
        )
        for unit in units
    ]


def _series(session: Session, unit_ids: Sequence[int]) -> dict[int, list[SeriesRecord]]:
    by_unit: dict[int, list[SeriesRecord]] = {}
    query = select(Series).where(col(Series.sensor_unit_id).in_(unit_ids)).order_by(col(Series.slot))
    for s in session.exec(query):
        record = SeriesRecord(s.id, s.slot, s.channel, s.unit, s.exponent)
        by_unit.setdefault(s.sensor_unit_id, []).append(record)
    return by_unit


def conditions(session: Session, device_id: int, *, current: bool, limit: int) -> list[ConditionRecord]:
    """What holds now, or with current = False what held as well; newest first."""
    query = select(DeviceCondition).where(DeviceCondition.device_id == device_id)
    if current:
        query = query.where(col(DeviceCondition.cleared_at).is_(None))
    query = query.order_by(col(DeviceCondition.raised_at).desc(), col(DeviceCondition.id).desc()).limit(limit)
    return [
        ConditionRecord(
            c.code, c.subject, c.severity, c.detail, c.remedy, c.source, c.raised_at, c.cleared_at
        )
        for c in session.exec(query)
    ]
