"""/api/v1/incidents: what happens in the city, who looks after it. /devices/.../verdicts: what was said."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Response
from pydantic import BaseModel, Field

from fleet_server.access.asker import Asker, Ctx
from fleet_server.bodies import JsonBody
from fleet_server.decisions import service
from fleet_server.decisions.service import Severity, Standing, State, What
from fleet_server.devices.routes import DeviceAddress
from fleet_server.errors import InvalidRequest

router = APIRouter(prefix="/api/v1", tags=["incidents"])

PAGE_MOST = 1_000


class IncidentView(BaseModel):
    """Times are of the street clock. late: known only when it was over. merged_into: look there instead.

    version: give it back in If-Match with a change; it is the ETag as well.
    """

    id: int
    tenant: str
    kind: str = Field(examples=["episode"])
    state: State
    severity: Severity
    title: str
    district: str
    opened_at: datetime
    first_verdict_at: datetime
    last_verdict_at: datetime
    closed_at: datetime | None
    close_reason: str
    closed_by: str = Field(description="a person; empty where it ended by itself")
    acknowledged_by: str
    acknowledged_at: datetime | None
    silenced_until: datetime | None
    merged_into: int | None
    late: bool
    devices: int = Field(description="lampposts that are, or were, in it")
    peak_score: float
    version: int


class IncidentPage(BaseModel):
    """Newest first. `next_after`: give it as `after` for the next page; null on the last one."""

    incidents: list[IncidentView]
    next_after: int | None


class MemberView(BaseModel):
    """A lamppost's part. fault: what it says of its sensor, where it was taken out. peak_level: 0 unknown."""

    device: str = Field(examples=["city/lamp-01"])
    site: str
    district: str
    standing: Standing
    fault: str
    first_at: datetime
    last_at: datetime
    peak_score: float
    peak_level: int
    verdicts: int


class EventView(BaseModel):
    """A line of the history. told: were people to be told of it?"""

    id: int
    at: datetime
    by: str
    what: What
    text: str
    told: bool


class VerdictView(BaseModel):
    """What a lamppost said of a sensor unit. input_hash: SHA-256 of the model's input, hexadecimal."""

    id: int
    device: str = Field(examples=["city/lamp-01"])
    sensor_unit: int
    sensor_kind: str
    time: datetime
    kind: str = Field(examples=["episode"])
    score: float
    confidence: float
    reason: str
    model: str
    input_hash: str
    received_at: datetime | None
    history: bool
    incident_id: int | None


class VerdictPage(BaseModel):
    """Newest first. `next_after`: give it as `after` for the next page; null on the last one."""

    verdicts: list[VerdictView]
    next_after: int | None


class IncidentDetailView(IncidentView):
    """With its lampposts, its newest verdicts and its history (both newest first)."""

    members: list[MemberView]
    verdicts: list[VerdictView]
    events: list[EventView]


class Silence(JsonBody):
    until: datetime | None = Field(description="null ends the silence")


class Note(JsonBody):
    text: str = Field(min_length=1, max_length=service.TEXT_MOST_CHARACTERS)


class Closing(JsonBody):
    reason: str = Field("", max_length=service.TEXT_MOST_CHARACTERS)


Id = Annotated[int, Field(ge=1, le=2**63 - 1)]
After = Annotated[int | None, Query(ge=1, le=2**63 - 1)]
Limit = Annotated[int, Query(ge=1, le=PAGE_MOST)]


def seen_version(
    if_match: Annotated[str | None, Header(description='the version you looked at, as "3"')] = None,
) -> int | None:
    """The version in If-Match; None without, or with `*`. Raises InvalidRequest."""
    if if_match is None or if_match.strip() == "*":
        return None
    digits = if_match.strip().removeprefix("W/").strip('"')
    if not digits.isascii() or not digits.isdigit() or len(digits) > 9:
        raise InvalidRequest(f"If-Match: {if_match[:40]!r} is no version.", remedy='Give the ETag, as "3".')
    return int(digits)


Seen = Annotated[int | None, Depends(seen_version)]


@router.get("/incidents")
def list_incidents(
    ctx: Ctx,
    asker: Asker,
    state: State | None = None,
    late: bool | None = None,
    after: After = None,
    limit: Limit = 100,
) -> IncidentPage:
    """Incidents, newest first; without `state` open and closed ones, but not those that were merged."""
    found = service.incidents(ctx, asker, state=state, late=late, after=after, limit=limit)
    full = len(found) == limit
    return IncidentPage(incidents=[_view(each) for each in found], next_after=found[-1].id if full else None)


@router.get("/incidents/{incident_id}")
def get_incident(ctx: Ctx, asker: Asker, response: Response, incident_id: Id) -> IncidentDetailView:
    """One incident with its lampposts, evidence and history."""
    found = service.incident(ctx, asker, incident_id)
    _tag(response, found.record)
    return IncidentDetailView(
        **_view(found.record).model_dump(),
        members=[_member(each) for each in found.members],
        verdicts=[_verdict(each) for each in found.verdicts],
        events=[EventView.model_validate(each, from_attributes=True) for each in found.events],
    )


@router.get("/incidents/{incident_id}/verdicts")
def incident_verdicts(
    ctx: Ctx, asker: Asker, incident_id: Id, after: After = None, limit: Limit = 200
) -> VerdictPage:
    """Its evidence in pages."""
    return _page(service.evidence(ctx, asker, incident_id, after=after, limit=limit), limit)


@router.post("/incidents/{incident_id}/acknowledge")
def acknowledge(
    ctx: Ctx, asker: Asker, response: Response, incident_id: Id, version: Seen = None
) -> IncidentView:
    """You look after it. 409 where somebody else does."""
    return _tag(response, service.acknowledge(ctx, asker, incident_id, version=version))


@router.post("/incidents/{incident_id}/silence")
def silence(
    ctx: Ctx, asker: Asker, response: Response, incident_id: Id, body: Silence, version: Seen = None
) -> IncidentView:
    """Nobody is told of what happens in it until then, a week at most."""
    return _tag(response, service.silence(ctx, asker, incident_id, body.until, version=version))


@router.post("/incidents/{incident_id}/notes", status_code=201)
def note(ctx: Ctx, asker: Asker, response: Response, incident_id: Id, body: Note) -> IncidentView:
    """Add a note to its history."""
    return _tag(response, service.note(ctx, asker, incident_id, body.text))


@router.post("/incidents/{incident_id}/close")
def close(
    ctx: Ctx,
    asker: Asker,
    response: Response,
    incident_id: Id,
    body: Closing | None = None,
    version: Seen = None,
) -> IncidentView:
    """It is over. Its lampposts do not open it again, another one does."""
    reason = body.reason if body else ""
    return _tag(response, service.close(ctx, asker, incident_id, reason, version=version))


@router.get("/devices/{tenant}/{name}/verdicts")
def device_verdicts(
    ctx: Ctx,
    asker: Asker,
    address: DeviceAddress,
    begins: Annotated[datetime | None, Query(alias="from", description="default: a day before `to`")] = None,
    to: Annotated[datetime | None, Query(description="default: now, by the street clock")] = None,
    after: After = None,
    limit: Limit = 200,
) -> VerdictPage:
    """What a lamppost said of its sensors."""
    return _page(service.verdicts(ctx, asker, address, begins, to, after=after, limit=limit), limit)


def _view(record: service.IncidentRecord) -> IncidentView:
    return IncidentView.model_validate(record, from_attributes=True)


def _tag(response: Response, record: service.IncidentRecord) -> IncidentView:
    response.headers["ETag"] = f'"{record.version}"'
    return _view(record)


def _member(record: service.MemberRecord) -> MemberView:
    return MemberView(
        device=str(record.address),
        site=record.site,
        district=record.district,
        standing=record.standing,
        fault=record.fault,
        first_at=record.first_at,
        last_at=record.last_at,
        peak_score=record.peak_score,
        peak_level=record.peak_level,
        verdicts=record.verdicts,
    )


def _verdict(record: service.VerdictRecord) -> VerdictView:
    fields = {name: getattr(record, name) for name in VerdictView.model_fields}
    return VerdictView(**fields | {"device": str(record.device)})


def _page(found: list[service.VerdictRecord], limit: int) -> VerdictPage:
    full = len(found) == limit
    return VerdictPage(verdicts=[_verdict(each) for each in found], next_after=found[-1].id if full else None)
