"""/api/v1/indices, districts, calibrations; a lamppost's index, corrected series and calibrations."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field, TypeAdapter

from fleet_server.access.asker import Asker, Ctx
from fleet_server.air import service
from fleet_server.air.service import EU_EAQI, US_AQI, Calibration
from fleet_server.bodies import JsonBody
from fleet_server.devices.routes import DeviceAddress
from fleet_server.devices.rules import Freshness
from fleet_server.etags import answered_by_content
from fleet_server.paging import MOST_CHARACTERS, Pages, instant, micros
from fleet_server.spans import span

router = APIRouter(prefix="/api/v1", tags=["air"])

PAGE_MOST = 1_000
IndexId = Annotated[str, Query(description="which index, with its version", examples=[US_AQI, EU_EAQI])]
From = Annotated[datetime | None, Query(alias="from", description="default: a day before `to`")]
To = Annotated[datetime | None, Query(description="default: now, by the street clock")]


Cursor = Annotated[str | None, Query(max_length=MOST_CHARACTERS, description="of the page before")]


class IndexView(BaseModel):
    """An index of the hour that begins at `time`; of the running hour as it is so far."""

    device: str = Field(examples=["city/lamp-01"])
    index_id: str = Field(examples=[US_AQI])
    time: datetime
    value: int
    level: int = Field(description="1 (best) to 6: the same places in the palette for every index")
    category: str = Field(examples=["Moderate"])
    driver: str = Field(examples=["pm2_5"], description="the pollutant that decided")
    concentration: float = Field(description="of the driver, corrected, in ug/m3, as the table was asked")
    correction: str = Field(examples=["barkjohn2022@1"], description='"calibration" or a correction\'s id')
    through: datetime = Field(description="end of the newest minute that went in")


_SERIES = TypeAdapter(list[IndexView])


class NewestIndexView(IndexView):
    age_s: float
    freshness: Freshness


class IndexPage(BaseModel):
    """`next`: give it as `cursor` for the next page; null on the last one. `next_after`: as `after`."""

    indices: list[NewestIndexView]
    next_after: int | None
    next: str | None


class DistrictView(BaseModel):
    """The median of `n` lampposts; the driver is that of the worst of them."""

    tenant: str
    district: str
    index_id: str
    time: datetime
    value: int
    level: int
    category: str
    driver: str
    n: int


_DISTRICTS = TypeAdapter(list[DistrictView])


class CorrectedPoint(BaseModel):
    """complete: enough of the hour was measured for it to count for an index; of minutes always true."""

    time: datetime
    pollutant: str
    sensor_unit: int
    raw: float
    value: float
    correction: str
    humidity: float | None
    complete: bool


class CorrectedSeries(BaseModel):
    """Means of `step_s` seconds in ug/m3, by time and pollutant. `next`: as `cursor` for the next page."""

    device: str
    begins: datetime
    ends: datetime
    step_s: int
    points: list[CorrectedPoint]
    next: str | None


class CalibrationView(BaseModel):
    """corrected = slope * raw + offset + humidity * RH, from the first full hour after `valid_from` on."""

    id: int
    sensor_unit: int
    kind: str
    channel: str
    slope: float
    offset: float
    humidity: float
    valid_from: datetime
    source: str
    created_by: str
    created_at: datetime


class NewCalibration(JsonBody):
    """sensor_unit: needed where the lamppost has more than one with the channel."""

    channel: str = Field("pm2_5", examples=["pm2_5", "pm10"])
    slope: float = 1.0
    offset: float = Field(0.0, description="ug/m3")
    humidity: float = Field(0.0, description="ug/m3 for each percent of relative humidity")
    valid_from: datetime | None = Field(None, description="default: now")
    source: str = Field("", examples=["two weeks beside station PT01021"])
    sensor_unit: int | None = None


@router.get("/indices", response_model=IndexPage)
def indices(
    request: Request,
    ctx: Ctx,
    asker: Asker,
    index: IndexId = US_AQI,
    after: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int, Query(ge=1, le=PAGE_MOST)] = 500,
    cursor: Cursor = None,
) -> Response:
    """The newest index of each lamppost, in pages by the lamppost's id."""
    pages = Pages(request, cursor, int)
    start = after if pages.key is None else pages.key[0]
    found = service.indices(ctx, asker, index_id=index, after=start, limit=limit)
    made = [
        NewestIndexView(**_index(each.record), age_s=each.age_s, freshness=each.freshness) for each in found
    ]
    more = found[-1].record.device_id if len(found) == limit else None
    page = IndexPage(indices=made, next_after=more, next=pages.next(None if more is None else (more,)))
    return answered_by_content(request, page.model_dump_json().encode(), pages.headers)


@router.get("/districts", response_model=list[DistrictView])
def districts(
    request: Request,
    ctx: Ctx,
    asker: Asker,
    index: IndexId = US_AQI,
    limit: Annotated[int, Query(ge=1, le=PAGE_MOST)] = PAGE_MOST,
    cursor: Cursor = None,
) -> Response:
    """The newest index of each district, by name; the Link header leads to the next page."""
    pages = Pages(request, cursor, str, str)
    found = service.districts(ctx, asker, index_id=index, after=pages.key, limit=limit + 1)
    last = found[limit - 1] if len(found) > limit else None
    pages.next(None if last is None else (last.tenant, last.district))
    shown = [DistrictView.model_validate(each, from_attributes=True) for each in found[:limit]]
    return answered_by_content(request, _DISTRICTS.dump_json(shown), pages.headers)


@router.get("/devices/{tenant}/{name}/index", response_model=list[IndexView])
def index_series(
    request: Request,
    ctx: Ctx,
    asker: Asker,
    address: DeviceAddress,
    index: IndexId = US_AQI,
    begins: From = None,
    to: To = None,
    limit: Annotated[int, Query(ge=1, le=service.MAX_POINTS)] = service.MAX_POINTS,
    cursor: Cursor = None,
) -> Response:
    """A lamppost's index, hour by hour; the Link header leads to the next page."""
    pages = Pages(request, cursor, int, int)
    begins, to = span(ctx, begins, to)
    if pages.key is not None:
        begins, to = instant(pages.key[0]), instant(pages.key[1])
    found = service.index_series(ctx, asker, address, index, begins, to, limit=limit + 1)
    pages.next((micros(found[limit].time), micros(to)) if len(found) > limit else None)
    body = _SERIES.dump_json([IndexView(**_index(each)) for each in found[:limit]])
    return answered_by_content(request, body, pages.headers)


@router.get("/devices/{tenant}/{name}/corrected", response_model=CorrectedSeries)
def corrected_series(
    request: Request,
    ctx: Ctx,
    asker: Asker,
    address: DeviceAddress,
    begins: From = None,
    to: To = None,
    limit: Annotated[int, Query(ge=1, le=service.MAX_POINTS)] = service.MAX_POINTS,
    cursor: Cursor = None,
) -> Response:
    """What its sensors said against what was made of it: minutes for up to twelve hours, else hours."""
    pages = Pages(request, cursor, int, int, int, str)
    begins, to = span(ctx, begins, to)
    after = None
    if pages.key is not None:
        begins, to = instant(pages.key[0]), instant(pages.key[1])
        after = (instant(pages.key[2]), pages.key[3])
    seen = service.corrected_series(ctx, asker, address, begins, to, after=after, limit=limit)
    rest = None
    if seen.next_after is not None:
        time, pollutant = seen.next_after
        rest = (micros(begins), micros(to), micros(time), pollutant)
    page = CorrectedSeries(
        device=str(seen.address),
        begins=seen.begins,
        ends=seen.ends,
        step_s=seen.step_s,
        points=[CorrectedPoint.model_validate(each, from_attributes=True) for each in seen.points],
        next=pages.next(rest),
    )
    return answered_by_content(request, page.model_dump_json().encode(), pages.headers)


@router.get("/devices/{tenant}/{name}/calibrations")
def calibrations(ctx: Ctx, asker: Asker, address: DeviceAddress) -> list[CalibrationView]:
    """Of its sensor units, past and present."""
    return [_calibration(each) for each in service.calibrations(ctx, asker, address)]


@router.post("/devices/{tenant}/{name}/calibrations", status_code=201)
def set_calibration(ctx: Ctx, asker: Asker, address: DeviceAddress, body: NewCalibration) -> CalibrationView:
    """Enter one (slope, offset or humidity, at least). The past is computed anew, back to `valid_from`."""
    service.check_told(body.model_fields_set)
    entry = Calibration(body.slope, body.offset, body.humidity, source=body.source, channel=body.channel)
    return _calibration(
        service.set_calibration(ctx, asker, address, entry, body.valid_from, body.sensor_unit)
    )


@router.delete("/calibrations/{calibration_id}", status_code=204)
def remove_calibration(ctx: Ctx, asker: Asker, calibration_id: int) -> None:
    """Take a mistaken one away; its past is computed anew."""
    service.remove_calibration(ctx, asker, calibration_id)


def _index(found: service.IndexRecord) -> dict[str, Any]:
    return {
        "device": str(found.address),
        "index_id": found.index_id,
        "time": found.time,
        "value": found.value,
        "level": found.level,
        "category": found.category,
        "driver": found.driver,
        "concentration": found.concentration,
        "correction": found.correction,
        "through": found.through,
    }


def _calibration(found: service.CalibrationRecord) -> CalibrationView:
    entry = found.calibration
    return CalibrationView(
        id=found.id,
        sensor_unit=found.sensor_unit,
        kind=found.kind,
        channel=entry.channel,
        slope=entry.slope,
        offset=entry.offset,
        humidity=entry.humidity,
        valid_from=found.valid_from,
        source=entry.source,
        created_by=found.created_by,
        created_at=found.created_at,
    )
