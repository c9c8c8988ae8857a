"""/api/v1/telemetry: what is, what was, what is missing. /api/v1/dead-letters: what could not be stored."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from fleet_server.access.asker import Asker, Ctx
from fleet_server.devices.rules import Freshness
from fleet_server.errors import InvalidRequest
from fleet_server.telemetry import service
from fleet_server.telemetry.ingest.replay import ReplayOutcome
from fleet_server.telemetry.rules import GAP_FACTOR, Resolution
from wire_contract.errors import InvalidName
from wire_contract.topics import Address

router = APIRouter(prefix="/api/v1", tags=["telemetry"])

From = Annotated[datetime | None, Query(alias="from", description="default: a day before `to`")]
To = Annotated[datetime | None, Query(description="default: now, by the street clock")]


class SeriesView(BaseModel):
    """One channel of one sensor unit."""

    id: int
    device: str = Field(examples=["city/lamp-01"])
    sensor_unit: int
    kind: str
    site: str
    serial: str
    channel: str = Field(examples=["pm2_5"])
    unit: str = Field(examples=["ug/m3"])


class LatestView(BaseModel):
    """value is null where the sensor gave none.

    flag: 0 and 2 not checked, 1 good, 9 missing, 14 good with its time corrected; 3 suspect or 4 failed,
    and by which test: 5 or 10 range, 6 or 11 spike, 7 or 12 rate of change, 8 or 13 flat line.
    """

    series: SeriesView
    time: datetime
    value: float | None
    flag: int
    age_s: float
    freshness: Freshness


class LatestPage(BaseModel):
    """`next_after`: give it as `after` for the next page; null on the last one."""

    readings: list[LatestView]
    next_after: int | None


class PointView(BaseModel):
    """value: a raw reading, or the mean of a bucket's n believed ones; flagged: those that are not."""

    time: datetime
    value: float | None
    low: float | None
    high: float | None
    n: int
    flagged: int
    flag: int | None = Field(description="of a raw reading only; the numbers are explained at LatestView")


class SeriesPoints(BaseModel):
    """`next_from`: give it as `from` to go on; null when this is all."""

    series: SeriesView
    resolution: Resolution
    begins: datetime
    ends: datetime
    points: list[PointView]
    next_from: datetime | None


class GapView(BaseModel):
    """reason: "silence", or why the lamppost shed what it had (then samples_lost: how many instants)."""

    begins: datetime
    ends: datetime
    reason: str
    samples_lost: int | None


class Gaps(BaseModel):
    """cadence_s: the usual distance of samples; null where there are too few to tell."""

    series: SeriesView
    begins: datetime
    ends: datetime
    cadence_s: float | None
    gaps: list[GapView]


class DeadLetterView(BaseModel):
    """A message that could not be stored. `class` and `sequence`: its place in the lamppost's spool."""

    id: int
    device: str | None
    topic: str
    class_: int | None = Field(serialization_alias="class")
    sequence: int | None
    reason: str
    detail: str
    payload_bytes: int
    received_at: datetime
    attempts: int
    replayed_at: datetime | None


class DeadLetterPage(BaseModel):
    """Newest first. `next_before`: give it as `before` for the next page; null on the last one."""

    letters: list[DeadLetterView]
    next_before: int | None


class ReplayView(BaseModel):
    """stored, or refused again for `reason`; samples: rows that are new."""

    outcome: ReplayOutcome
    reason: str
    detail: str
    samples: int


@router.get("/telemetry/latest")
def latest(
    ctx: Ctx,
    asker: Asker,
    device: Annotated[str | None, Query(examples=["city/lamp-01"], max_length=128)] = None,
    channel: Annotated[str | None, Query(examples=["pm2_5"], max_length=64)] = None,
    after: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int, Query(ge=1, le=5_000)] = 1_000,
) -> LatestPage:
    """The newest reading of each series; of one device, of one channel, or of all."""
    address = None if device is None else _address(device)
    found = service.latest(ctx, asker, address, channel=channel, after_series=after, limit=limit)
    readings = [
        LatestView(
            series=_series(each.reading.series),
            time=each.reading.time,
            value=each.reading.value,
            flag=each.reading.flag,
            age_s=each.age_s,
            freshness=each.freshness,
        )
        for each in found
    ]
    return LatestPage(readings=readings, next_after=readings[-1].series.id if len(found) == limit else None)


@router.get("/telemetry/series/{series_id}")
def series(
    ctx: Ctx,
    asker: Asker,
    series_id: int,
    begins: From = None,
    to: To = None,
    resolution: Resolution = Resolution.AUTO,
    limit: Annotated[int, Query(ge=1, le=service.MAX_POINTS)] = service.MAX_POINTS,
) -> SeriesPoints:
    """A series over a span. `auto` takes the finest resolution with at most 2,000 points."""
    seen = service.series(ctx, asker, series_id, begins, to, resolution, limit=limit)
    return SeriesPoints(
        series=_series(seen.series),
        resolution=seen.resolution,
        begins=seen.begins,
        ends=seen.ends,
        points=[PointView.model_validate(point, from_attributes=True) for point in seen.points],
        next_from=seen.next_begins,
    )


@router.get("/telemetry/gaps/{series_id}")
def gaps(
    ctx: Ctx,
    asker: Asker,
    series_id: int,
    begins: From = None,
    to: To = None,
    factor: Annotated[float, Query(ge=1, le=1_000)] = GAP_FACTOR,
) -> Gaps:
    """Where samples are missing: longer than `factor` usual distances, and what the lamppost says it shed."""
    seen = service.gaps(ctx, asker, series_id, begins, to, factor=factor)
    return Gaps(
        series=_series(seen.series),
        begins=seen.begins,
        ends=seen.ends,
        cadence_s=seen.cadence_s,
        gaps=[GapView.model_validate(gap, from_attributes=True) for gap in seen.gaps],
    )


@router.get("/dead-letters")
def dead_letters(
    ctx: Ctx,
    asker: Asker,
    before: Annotated[int | None, Query(ge=1)] = None,
    reason: Annotated[str | None, Query(max_length=64)] = None,
    waiting: bool = True,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
) -> DeadLetterPage:
    """Messages that could not be stored; with waiting=false, those that were replayed as well."""
    found = service.dead_letters(ctx, asker, before_id=before, reason=reason, waiting=waiting, limit=limit)
    letters = [DeadLetterView.model_validate(each, from_attributes=True) for each in found]
    return DeadLetterPage(letters=letters, next_before=letters[-1].id if len(letters) == limit else None)


@router.post("/dead-letters/{letter_id}/replay")
def replay(ctx: Ctx, asker: Asker, letter_id: int) -> ReplayView:
    """Try one again, after a fix. 409 where it was replayed before."""
    return ReplayView.model_validate(service.replay(ctx, asker, letter_id), from_attributes=True)


def _address(text: str) -> Address:
    try:
        return Address.parse(text)
    except InvalidName as wrong:
        raise InvalidRequest(f"device: {wrong}") from None


def _series(info: service.SeriesInfo) -> SeriesView:
    return SeriesView(
        id=info.id,
        device=str(info.address),
        sensor_unit=info.sensor_unit,
        kind=info.kind,
        site=info.site,
        serial=info.serial,
        channel=info.channel,
        unit=info.unit,
    )
