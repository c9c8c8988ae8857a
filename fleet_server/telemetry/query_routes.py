"""/api/v1/telemetry/units, devices, districts, completeness; and how telemetry's routes read a question."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from fleet_server.access.asker import Asker, Ctx
from fleet_server.context import Context
from fleet_server.devices.routes import DeviceAddress
from fleet_server.errors import InvalidRequest
from fleet_server.etags import answered, entity_tag, unchanged
from fleet_server.paging import MOST_CHARACTERS, BadCursor, Pages, instant, micros
from fleet_server.spans import span
from fleet_server.telemetry import service
from fleet_server.telemetry.answers import (
    Completeness,
    CompletenessDay,
    DistrictPointView,
    Districts,
    DistrictSeries,
    LamppostCharts,
    UnitChart,
    completeness_day,
    unit_chart,
)
from fleet_server.telemetry.rules import Resolution
from fleet_server.telemetry.steps import floored
from wire_contract.errors import InvalidName
from wire_contract.topics import Address

router = APIRouter(prefix="/telemetry")

MINUTE_S = 60
From = Annotated[datetime | None, Query(alias="from", description="default: a day before `to`")]
Week = Annotated[datetime | None, Query(alias="from", description="default: six days before `to`")]
To = Annotated[datetime | None, Query(description="default: now, by the street clock")]
Cursor = Annotated[
    str | None, Query(max_length=MOST_CHARACTERS, description="`next` of the page before; leave out to begin")
]
Width = Annotated[
    int,
    Query(
        ge=service.FEWEST_POINTS,
        le=service.MOST_POINTS,
        description="pixels: the most points",
    ),
]
Device = Annotated[str | None, Query(examples=["city/lamp-01"], max_length=128)]
Channels = Annotated[
    list[Annotated[str, Query(max_length=64)]] | None,
    Query(max_length=64, description="repeat for more; default: all"),
]


def until(ctx: Context, to: datetime | None) -> datetime:
    """The end that is asked for; by default the running minute's, so that one answer serves for a minute."""
    return to if to is not None else floored(ctx.clock.now(), MINUTE_S, up=True)


def address_of(text: str) -> Address:
    """Raises InvalidRequest."""
    try:
        return Address.parse(text)
    except InvalidName as wrong:
        raise InvalidRequest(f"device: {wrong}") from None


def resolution_of(text: str) -> Resolution:
    """Out of a cursor. Raises BadCursor."""
    try:
        return Resolution(text)
    except ValueError:
        raise BadCursor("This is no cursor.") from None


@router.get("/units/{unit_id}", response_model=UnitChart)
def unit(
    request: Request,
    ctx: Ctx,
    asker: Asker,
    unit_id: int,
    begins: From = None,
    to: To = None,
    width: Width = 1_000,
) -> Response:
    """All channels of one sensor unit, as finely as `width` points allow: the server picks the resolution."""
    begins, to = span(ctx, begins, until(ctx, to))
    tag = entity_tag(request, begins, to, service.version(ctx, asker, unit_id=unit_id))
    same = unchanged(request, tag)
    if same is not None:
        return same
    return answered(tag, unit_chart(service.unit(ctx, asker, unit_id, begins, to, width=width)), {})


@router.get("/devices/{tenant}/{name}", response_model=LamppostCharts)
def lamppost(
    request: Request,
    ctx: Ctx,
    asker: Asker,
    address: DeviceAddress,
    begins: From = None,
    to: To = None,
    width: Width = 1_000,
) -> Response:
    """As /telemetry/units, of every sensor unit of a lamppost, replaced ones included, all in one step."""
    begins, to = span(ctx, begins, until(ctx, to))
    tag = entity_tag(request, begins, to, service.version(ctx, asker, address=address))
    same = unchanged(request, tag)
    if same is not None:
        return same
    seen = service.lamppost(ctx, asker, address, begins, to, width=width)
    return answered(tag, LamppostCharts(device=str(address), units=[unit_chart(each) for each in seen]), {})


@router.get("/districts", response_model=Districts)
def districts(
    request: Request,
    ctx: Ctx,
    asker: Asker,
    begins: From = None,
    to: To = None,
    channel: Channels = None,
    district: Annotated[str | None, Query(max_length=64)] = None,
    tenant: Annotated[str | None, Query(max_length=64)] = None,
    resolution: Resolution = Resolution.AUTO,
    limit: Annotated[int, Query(ge=1, le=service.MAX_DISTRICT_POINTS)] = service.MAX_DISTRICT_POINTS,
    cursor: Cursor = None,
) -> Response:
    """Means of districts. `auto`: minutes up to six hours, hours up to 62 days, else days."""
    pages = Pages(request, cursor, int, int, str, str, str, str, str, int)
    begins, to = span(ctx, begins, until(ctx, to))
    after = None
    if pages.key is not None:
        begins, to, resolution = instant(pages.key[0]), instant(pages.key[1]), resolution_of(pages.key[2])
        after = (service.Group(*pages.key[3:7]), instant(pages.key[7]))
    tag = entity_tag(request, begins, to, service.districts_version(ctx, asker))
    same = unchanged(request, tag)
    if same is not None:
        return same
    wanted = service.Wanted(tuple(channel or ()), tenant, district)
    seen = service.districts(ctx, asker, wanted, begins, to, resolution, after=after, limit=limit)
    rest = None
    if seen.next_after is not None:
        group, at = seen.next_after
        rest = (micros(begins), micros(to), seen.resolution.value, *group, micros(at))
    page = Districts.model_construct(
        resolution=seen.resolution,
        begins=seen.begins,
        ends=seen.ends,
        districts=[
            DistrictSeries.model_construct(
                **each.group._asdict(),
                points=[DistrictPointView.model_construct(**point._asdict()) for point in each.points],
            )
            for each in seen.groups
        ],
        next=pages.next(rest),
    )
    return answered(tag, page, pages.headers)


@router.get("/completeness", response_model=Completeness)
def completeness(
    request: Request,
    ctx: Ctx,
    asker: Asker,
    device: Device = None,
    begins: Week = None,
    to: To = None,
    limit: Annotated[int, Query(ge=1, le=service.MAX_DAYS)] = 1_000,
    cursor: Cursor = None,
) -> Response:
    """Expected against received, by sensor unit and whole day (UTC); of one lamppost or of the fleet."""
    pages = Pages(request, cursor, int, int, int, int)
    address = None if device is None else address_of(device)
    to = until(ctx, to)
    after = None
    if pages.key is not None:
        begins, to = instant(pages.key[0]), instant(pages.key[1])
        after = (pages.key[2] & 0x7FFF_FFFF, instant(pages.key[3]))
    tag = entity_tag(request, begins, to, service.version(ctx, asker, address=address))
    same = unchanged(request, tag)
    if same is not None:
        return same
    seen = service.completeness(ctx, asker, address, begins, to, after=after, limit=limit)
    rest = None
    if seen.next_after is not None:
        unit_id, day = seen.next_after
        rest = (micros(seen.begins), micros(to), unit_id, micros(day))
    page = Completeness(
        begins=seen.begins,
        ends=seen.ends,
        days=[CompletenessDay(**completeness_day(each)) for each in seen.days],
        next=pages.next(rest),
    )
    return answered(tag, page, pages.headers)
