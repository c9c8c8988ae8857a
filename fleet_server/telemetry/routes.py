"""/api/v1/telemetry: what is, what was, what is missing. /api/v1/dead-letters: what could not be stored."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from fleet_server.access.asker import Asker, Ctx
from fleet_server.etags import answered, answered_by_content, entity_tag, unchanged
from fleet_server.paging import Pages, instant, micros
from fleet_server.spans import span
from fleet_server.telemetry import export_routes, query_routes, service
from fleet_server.telemetry.answers import (
    NEXT,
    Gaps,
    GapView,
    LatestPage,
    PointView,
    SeriesPoints,
    latest_view,
    series_view,
)
from fleet_server.telemetry.ingest.replay import ReplayOutcome
from fleet_server.telemetry.query_routes import Cursor, From, To, address_of, resolution_of, until
from fleet_server.telemetry.rules import GAP_FACTOR, Resolution

router = APIRouter(prefix="/api/v1", tags=["telemetry"])
router.include_router(query_routes.router)
router.include_router(export_routes.router)

MOST_READINGS = 10_000  # one page's: a city of five hundred posts in one look


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
    """Newest first. `next_before`: as `next`, for the parameter `before`."""

    letters: list[DeadLetterView]
    next_before: int | None
    next: str | None = Field(description=NEXT)


class ReplayView(BaseModel):
    """stored, or refused again for `reason`; samples: rows that are new."""

    outcome: ReplayOutcome
    reason: str
    detail: str
    samples: int


@router.get("/telemetry/latest", response_model=LatestPage)
def latest(
    request: Request,
    ctx: Ctx,
    asker: Asker,
    device: Annotated[str | None, Query(examples=["city/lamp-01"], max_length=128)] = None,
    channel: Annotated[str | None, Query(examples=["pm2_5"], max_length=64)] = None,
    after: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int, Query(ge=1, le=MOST_READINGS)] = 1_000,
    cursor: Cursor = None,
) -> Response:
    """The newest reading of each series, by its id; of one device, of one channel, or of all."""
    pages = Pages(request, cursor, int)
    address = None if device is None else address_of(device)
    tag = entity_tag(request, service.latest_version(ctx, asker, address))
    same = unchanged(request, tag)
    if same is not None:
        return same
    start = after if pages.key is None else pages.key[0]
    found = service.latest(ctx, asker, address, channel=channel, after_series=start, limit=limit)
    if channel is not None and not found:
        service.need_channel(ctx, asker, channel)
    more = found[-1].reading.series.id if len(found) == limit else None
    page = LatestPage.model_construct(
        readings=[latest_view(each) for each in found],
        next_after=more,
        next=pages.next(None if more is None else (more,)),
    )
    return answered(tag, page, pages.headers)


@router.get("/telemetry/series/{series_id}", response_model=SeriesPoints)
def series(
    request: Request,
    ctx: Ctx,
    asker: Asker,
    series_id: int,
    begins: From = None,
    to: To = None,
    resolution: Resolution = Resolution.AUTO,
    limit: Annotated[int, Query(ge=1, le=service.MAX_POINTS)] = service.MAX_POINTS,
    cursor: Cursor = None,
) -> Response:
    """A series over a span. `auto` takes the finest resolution with at most 2,000 points."""
    pages = Pages(request, cursor, int, int, str)
    begins, to = span(ctx, begins, until(ctx, to))
    if pages.key is not None:
        begins, to, resolution = instant(pages.key[0]), instant(pages.key[1]), resolution_of(pages.key[2])
    tag = entity_tag(request, begins, to, service.version(ctx, asker, series_id=series_id))
    same = unchanged(request, tag)
    if same is not None:
        return same
    seen = service.series(ctx, asker, series_id, begins, to, resolution, limit=limit)
    rest = seen.next_begins
    page = SeriesPoints(
        series=series_view(seen.series),
        resolution=seen.resolution,
        begins=seen.begins,
        ends=seen.ends,
        points=[PointView.model_validate(point, from_attributes=True) for point in seen.points],
        next_from=rest,
        next=pages.next(None if rest is None else (micros(rest), micros(to), seen.resolution.value)),
    )
    return answered(tag, page, pages.headers)


@router.get("/telemetry/gaps/{series_id}", response_model=Gaps)
def gaps(
    request: Request,
    ctx: Ctx,
    asker: Asker,
    series_id: int,
    begins: From = None,
    to: To = None,
    factor: Annotated[float, Query(ge=1, le=1_000)] = GAP_FACTOR,
    limit: Annotated[int, Query(ge=1, le=service.MAX_GAPS)] = service.MAX_GAPS,
    cursor: Cursor = None,
) -> Response:
    """Where samples are missing: longer than `factor` usual distances, and what the lamppost says it shed."""
    pages = Pages(request, cursor, int, int, int, int, int, str)
    begins, to = span(ctx, begins, to)
    after = None
    if pages.key is not None:
        begins, to = instant(pages.key[0]), instant(pages.key[1])
        cadence_s = None if pages.key[2] < 0 else pages.key[2] / 1e6
        after = service.GapsPlace((instant(pages.key[3]), pages.key[4] & 1, pages.key[5]), cadence_s)
    tag = entity_tag(request, begins, to, service.version(ctx, asker, series_id=series_id))
    same = unchanged(request, tag)
    if same is not None:
        return same
    seen = service.gaps(ctx, asker, series_id, begins, to, factor=factor, after=after, limit=limit)
    rest = None
    if seen.next_after is not None:
        at, source, tie = seen.next_after.key
        cadence_us = -1 if seen.cadence_s is None else round(seen.cadence_s * 1e6)
        rest = (micros(begins), micros(to), cadence_us, micros(at), source, tie)
    page = Gaps(
        series=series_view(seen.series),
        begins=seen.begins,
        ends=seen.ends,
        cadence_s=seen.cadence_s,
        gaps=[GapView.model_validate(gap, from_attributes=True) for gap in seen.gaps],
        next=pages.next(rest),
    )
    return answered(tag, page, pages.headers)


@router.get("/dead-letters", response_model=DeadLetterPage)
def dead_letters(
    request: Request,
    ctx: Ctx,
    asker: Asker,
    before: Annotated[int | None, Query(ge=1)] = None,
    reason: Annotated[str | None, Query(max_length=64)] = None,
    waiting: bool = True,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
    cursor: Cursor = None,
) -> Response:
    """Messages that could not be stored; with waiting=false, those that were replayed as well."""
    pages = Pages(request, cursor, int)
    start = before if pages.key is None else pages.key[0]
    found = service.dead_letters(ctx, asker, before_id=start, reason=reason, waiting=waiting, limit=limit)
    letters = [DeadLetterView.model_validate(each, from_attributes=True) for each in found]
    more = letters[-1].id if len(letters) == limit else None
    page = DeadLetterPage(
        letters=letters, next_before=more, next=pages.next(None if more is None else (more,))
    )
    return answered_by_content(request, page.model_dump_json(by_alias=True).encode(), pages.headers)


@router.post("/dead-letters/{letter_id}/replay")
def replay(ctx: Ctx, asker: Asker, letter_id: int) -> ReplayView:
    """Try one again, after a fix. 409 where it was replayed before."""
    return ReplayView.model_validate(service.replay(ctx, asker, letter_id), from_attributes=True)
