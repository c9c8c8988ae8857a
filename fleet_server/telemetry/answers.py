"""What the telemetry's HTTP answers look like, and how the service's values become them."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import Any

from pydantic import BaseModel, Field

from fleet_server.devices.rules import Freshness
from fleet_server.telemetry import service
from fleet_server.telemetry.rules import Resolution

NEXT = "give it as `cursor` for the next page (the Link header has the address); null on the last one"


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
    """value is null where the sensor gave none. age_s: when the answer was made.

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
    """`next_after`: as `next`, for the parameter `after`."""

    readings: list[LatestView]
    next_after: int | None
    next: str | None = Field(description=NEXT)


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
    """`next_from`: as `next`, for the parameter `from`."""

    series: SeriesView
    resolution: Resolution
    begins: datetime
    ends: datetime
    points: list[PointView]
    next_from: datetime | None
    next: str | None = Field(description=NEXT)


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
    next: str | None = Field(description=NEXT)


class ChannelColumns(BaseModel):
    """A channel's values at the chart's times, null (and n 0) where it has none. low, high: of the believed.

    mean: of the n believed readings; a raw one as it is, and n tells whether it is believed.
    """

    series: int
    channel: str = Field(examples=["pm2_5"])
    unit: str = Field(examples=["ug/m3"])
    mean: list[float | None]
    low: list[float | None]
    high: list[float | None]
    n: list[int]
    flagged: list[int]


class UnitChart(BaseModel):
    """A sensor unit's channels together. resolution: what the points were made of.

    step_s: how many seconds a point stands for; null for raw samples.
    """

    sensor_unit: int
    device: str = Field(examples=["city/lamp-01"])
    kind: str
    site: str
    serial: str
    resolution: Resolution
    step_s: int | None
    begins: datetime
    ends: datetime
    times: list[datetime]
    channels: list[ChannelColumns]


class LamppostCharts(BaseModel):
    device: str = Field(examples=["city/lamp-01"])
    units: list[UnitChart]


class DistrictPointView(BaseModel):
    """mean: of the lampposts' own means; low, high: of any believed reading of `n`."""

    time: datetime
    lampposts: int
    n: int
    mean: float
    low: float
    high: float


class DistrictSeries(BaseModel):
    tenant: str
    district: str
    channel: str
    unit: str
    points: list[DistrictPointView]


class Districts(BaseModel):
    """By tenant, district, channel and unit; a page may begin and end within one of them."""

    resolution: Resolution
    begins: datetime
    ends: datetime
    districts: list[DistrictSeries]
    next: str | None = Field(description=NEXT)


class CompletenessDay(BaseModel):
    """A sensor unit's day (UTC). expected, received: instants; share: of what was expected, 1 at most.

    flagged_share: of all readings, those suspect, failed or missing. shed: instants that the whole lamppost
    says it shed. expected is null where there are too few samples to tell how often the unit measures.
    """

    sensor_unit: int
    device: str = Field(examples=["city/lamp-01"])
    kind: str
    site: str
    serial: str
    day: datetime
    cadence_s: float | None
    expected: float | None
    received: int
    share: float | None
    readings: int
    flagged_share: float | None
    shed: int


class Completeness(BaseModel):
    begins: datetime
    ends: datetime
    days: list[CompletenessDay]
    next: str | None = Field(description=NEXT)


@lru_cache(maxsize=65_536)  # as many as the store keeps
def series_view(info: service.SeriesInfo) -> SeriesView:
    return SeriesView.model_construct(
        id=info.id,
        device=str(info.address),
        sensor_unit=info.sensor_unit,
        kind=info.kind,
        site=info.site,
        serial=info.serial,
        channel=info.channel,
        unit=info.unit,
    )


def latest_view(seen: service.LatestView) -> LatestView:
    """Not checked again: there are thousands on a page."""
    reading = seen.reading
    return LatestView.model_construct(
        series=series_view(reading.series),
        time=reading.time,
        value=reading.value,
        flag=reading.flag,
        age_s=seen.age_s,
        freshness=seen.freshness,
    )


def unit_chart(seen: service.UnitView) -> UnitChart:
    return UnitChart(
        sensor_unit=seen.unit.id,
        device=str(seen.unit.address),
        kind=seen.unit.kind,
        site=seen.unit.site,
        serial=seen.unit.serial,
        resolution=seen.resolution,
        step_s=seen.step_s,
        begins=seen.begins,
        ends=seen.ends,
        times=list(seen.chart.times),
        channels=[
            ChannelColumns(
                series=each.series.id,
                channel=each.series.channel,
                unit=each.series.unit,
                mean=each.mean,
                low=each.low,
                high=each.high,
                n=each.n,
                flagged=each.flagged,
            )
            for each in seen.chart.channels
        ],
    )


def completeness_day(seen: service.DayView) -> dict[str, Any]:
    r = seen.record
    return {
        "sensor_unit": r.unit,
        "device": str(r.address),
        "kind": r.kind,
        "site": r.site,
        "serial": r.serial,
        "day": r.day,
        "cadence_s": r.cadence_s,
        "expected": seen.expected,
        "received": r.received,
        "share": seen.share,
        "readings": r.readings,
        "flagged_share": seen.flagged_share,
        "shed": r.shed,
    }
