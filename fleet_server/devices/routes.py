"""/api/v1/devices: who is in the street, whether they answer, what is wrong with them, what they measure."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from fleet_server.access.asker import Asker, Ctx
from fleet_server.bodies import JsonBody
from fleet_server.devices import service
from fleet_server.devices.rules import DeviceState, Freshness, PresenceState
from fleet_server.errors import InvalidRequest, NotFound
from wire_contract.errors import InvalidName
from wire_contract.topics import Address

router = APIRouter(prefix="/api/v1/devices", tags=["devices"])

PAGE_MOST = 1_000


class DeviceView(BaseModel):
    """A lamppost. Times are of the street clock; age_s and freshness are of its newest sample."""

    id: int
    tenant: str
    name: str
    state: DeviceState
    site: str
    created_at: datetime
    presence: PresenceState
    presence_at: datetime | None
    last_seen_at: datetime | None
    newest_sample_at: datetime | None
    age_s: float | None
    freshness: Freshness
    agent_version: str
    clock_ok: bool | None
    settings: dict[str, str]
    backlog: dict[str, int] = Field(description="batches that wait in its spool, by class")
    reported: dict[str, str | int | float | bool | None] = Field(description="its twin: key to value")
    conditions: int = Field(description="how many conditions hold now")
    latitude: float | None = Field(description="degrees, WGS 84, as people declared it")
    longitude: float | None
    district: str
    cell: str = Field(description="the public cell (geohash) that it tells of itself; empty for none")


class PlaceChange(JsonBody):
    """What is given is changed: latitude and longitude together, null for both takes them away."""

    latitude: float | None = Field(None, description="degrees, WGS 84", examples=[41.1496])
    longitude: float | None = Field(None, description="degrees, WGS 84", examples=[-8.6109])
    district: str | None = Field(None, description='"" takes it away', examples=["Harbour"])


class DevicePage(BaseModel):
    """`next_after`: give it as `after` for the next page; null on the last one."""

    devices: list[DeviceView]
    next_after: int | None


class SeriesView(BaseModel):
    """One channel: ask /api/v1/telemetry/series/{id} for its values."""

    id: int
    slot: int
    channel: str
    unit: str
    exponent: int = Field(description="its resolution, as a power of ten")


class SensorUnitView(BaseModel):
    id: int
    kind: str
    serial: str
    site: str
    declared_at: datetime
    series: list[SeriesView]


class ConditionView(BaseModel):
    """Something wrong with the lamppost, and what to do about it. It holds while cleared_at is null."""

    code: str
    subject: str
    severity: str
    detail: str
    remedy: str
    source: str
    raised_at: datetime
    cleared_at: datetime | None


def address_of(tenant: str, name: str) -> Address:
    """The path's address. Raises NotFound for one that no device can have."""
    try:
        return Address(tenant, name)
    except InvalidName:
        raise NotFound(f"There is no device {tenant[:64]}/{name[:64]}.") from None


DeviceAddress = Annotated[Address, Depends(address_of)]


@router.get("")
def list_devices(
    ctx: Ctx,
    asker: Asker,
    after: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int, Query(ge=1, le=PAGE_MOST)] = 200,
) -> DevicePage:
    """Every lamppost, in pages by id."""
    found = service.list_devices(ctx, asker, after_id=after, limit=limit)
    full = len(found) == limit
    return DevicePage(
        devices=[view(each) for each in found], next_after=found[-1].record.id if full else None
    )


@router.get("/{tenant}/{name}")
def get_device(ctx: Ctx, asker: Asker, address: DeviceAddress) -> DeviceView:
    """One lamppost."""
    return view(service.get_device(ctx, asker, address))


@router.patch("/{tenant}/{name}")
def change_place(ctx: Ctx, asker: Asker, address: DeviceAddress, body: PlaceChange) -> DeviceView:
    """Say where a lamppost stands."""
    at: tuple[float, float] | Literal["keep", "none"] = "keep"
    if body.model_fields_set & {"latitude", "longitude"}:
        if body.latitude is not None and body.longitude is not None:
            at = (body.latitude, body.longitude)
        elif body.latitude is None and body.longitude is None:
            at = "none"
        else:
            raise InvalidRequest("A place has a latitude and a longitude, or neither.")
    return view(service.change_place(ctx, asker, address, at=at, district=body.district))


@router.get("/{tenant}/{name}/sensors")
def sensors(ctx: Ctx, asker: Asker, address: DeviceAddress) -> list[SensorUnitView]:
    """Its sensor units, those that were replaced included, each with its series."""
    found = service.sensors(ctx, asker, address)
    return [SensorUnitView.model_validate(each, from_attributes=True) for each in found]


@router.get("/{tenant}/{name}/conditions")
def conditions(
    ctx: Ctx,
    asker: Asker,
    address: DeviceAddress,
    current: bool = True,
    limit: Annotated[int, Query(ge=1, le=PAGE_MOST)] = 100,
) -> list[ConditionView]:
    """What is wrong with it now; with current=false, what ever was. Newest first."""
    found = service.conditions(ctx, asker, address, current=current, limit=limit)
    return [ConditionView.model_validate(each, from_attributes=True) for each in found]


def view(seen: service.DeviceView) -> DeviceView:
    r = seen.record
    return DeviceView(
        id=r.id,
        tenant=r.address.tenant,
        name=r.address.device,
        state=r.state,
        site=r.site,
        created_at=r.created_at,
        presence=r.presence,
        presence_at=r.presence_at,
        last_seen_at=r.last_seen_at,
        newest_sample_at=r.newest_sample_at,
        age_s=seen.age_s,
        freshness=seen.freshness,
        agent_version=r.agent_version,
        clock_ok=r.clock_ok,
        settings=r.settings,
        backlog=r.backlog,
        reported=r.reported,
        conditions=r.conditions,
        latitude=r.latitude,
        longitude=r.longitude,
        district=r.district,
        cell=r.cell,
    )
