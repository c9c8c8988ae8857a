"""/api/v1/field: what a technician tells of a post; a lamppost's history and pictures."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import AwareDatetime, BaseModel, Field
from starlette.concurrency import run_in_threadpool

from fleet_server.access.asker import Asker, Ctx
from fleet_server.bodies import JsonBody
from fleet_server.devices.routes import DeviceAddress, address_of
from fleet_server.enrolment.rules import State
from fleet_server.errors import InvalidRequest
from fleet_server.technician import service
from fleet_server.technician.rules import PHOTO_MAX_BYTES, REPORT_MAX_BYTES, Kind
from wire_contract.errors import InvalidName
from wire_contract.topics import Address

router = APIRouter(prefix="/api/v1", tags=["field"])

PAGE_MOST = 200
WorkId = Annotated[str, Path(description="32 hexadecimal digits, made by the one who tells")]
Sha256 = Annotated[str, Path(pattern="^[0-9a-f]{64}$")]
Limit = Annotated[int, Query(ge=1, le=PAGE_MOST)]
Before = Annotated[AwareDatetime | None, Query(description="those done before it")]
Since = Annotated[
    AwareDatetime | None, Field(description="the first ack is measured from here, at most nine minutes ago")
]
# Bodies that may be larger than others, by how their address begins and ends.
LARGER_BODIES = {
    ("/api/v1/field/reports/", ""): REPORT_MAX_BYTES,
    ("/api/v1/devices/", "/photos"): PHOTO_MAX_BYTES,
}


class FieldSettingsView(BaseModel):
    """What a lamppost's bundle needs of the city."""

    tenant: str
    pages_url: str = Field(description="what a label's QR code begins with")
    enrolment_url: str
    broker_host: str
    broker_port: int
    trust_pem: str = Field(description="root and issuing authority, PEM; not secret")


class NewWork(JsonBody):
    """Something that was done at a post. What `body` holds depends on the kind (docs/technician.md)."""

    kind: Kind
    device: str = Field(max_length=129, examples=["porto/lamp-07"])
    done_at: AwareDatetime
    body: dict[str, Any] = Field(default_factory=dict)


class WorkView(BaseModel):
    """One line of a site's history."""

    id: str
    device: str
    kind: Kind
    done_at: datetime
    received_at: datetime
    done_by: str
    body: dict[str, Any]


class ReportView(BaseModel):
    """A signed hand-over. key_known: this account has signed with this key before, or never signed."""

    id: str
    device: str
    made_at: datetime
    received_at: datetime
    technician: str
    received_by: str
    sent_by: str
    key_fingerprint: str
    key_known: bool
    passed: bool = Field(description="its site test")
    sha256: str


class CheckLine(BaseModel):
    name: str
    ok: bool
    detail: str
    remedy: str


class CheckCourse(BaseModel):
    """points: seconds since the span began, and the value."""

    sensor: str
    channel: str
    points: list[tuple[float, float]]


class SiteCheckView(BaseModel):
    """first_ack_s: from `since` to the first sample stored after it; null: none yet, or nobody measures."""

    device: str
    version: str
    made_at: datetime
    span_s: float
    passed: bool
    lines: list[CheckLine]
    courses: list[CheckCourse]
    first_ack_s: float | None


class NewHandover(JsonBody):
    """Empty names: the account's."""

    technician: str = Field("", max_length=100, examples=["Ana Reis"])
    received_by: str = Field("", max_length=100)
    note: str = Field("", max_length=2000)
    height_m: float | None = Field(None, ge=0, le=100, description="of the sensors above the ground")
    since: Since = None


class PhotoView(BaseModel):
    sha256: str
    media_type: str
    caption: str
    sent_by: str
    received_at: datetime
    bytes: int


class LabelView(BaseModel):
    """`svg`: the label to print, whose QR code is `url`."""

    claim: str
    state: State
    device: str = Field(description='"" while a free claim has not been used')
    url: str
    svg: str


@router.get("/field/settings")
def field_settings(ctx: Ctx, asker: Asker) -> FieldSettingsView:
    """Addresses and trust roots, for a technician's tool to take along."""
    return FieldSettingsView.model_validate(service.field_settings(ctx, asker), from_attributes=True)


@router.get("/field/labels/{claim}")
def label(ctx: Ctx, asker: Asker, claim: Annotated[str, Path(max_length=64)]) -> LabelView:
    """A claim's label: its QR code opens the page where the lamppost is accepted."""
    found = service.label_of(ctx, asker, claim)
    device = f"{found.tenant}/{found.device}" if found.device else ""
    return LabelView(claim=found.claim_id, state=found.state, device=device, url=found.url, svg=found.svg)


@router.put("/field/work/{work_id}")
def put_work(ctx: Ctx, asker: Asker, work_id: WorkId, body: NewWork) -> WorkView:
    """Carry it out, once: told again under the same id it answers the same, with other content 409."""
    try:
        address = Address.parse(body.device)
    except InvalidName as wrong:
        raise InvalidRequest(f"{wrong}.") from None
    told = service.NewWork(work_id, body.kind, address, body.done_at, body.body)
    return _work(service.do_work(ctx, asker, told))


@router.get("/devices/{tenant}/{name}/history")
def history(
    ctx: Ctx, asker: Asker, address: DeviceAddress, before: Before = None, limit: Limit = 100
) -> list[WorkView]:
    """What was done at the post: hand-overs, calibrations, units and computers changed. Newest first."""
    return [_work(each) for each in service.site_history(ctx, asker, address, before=before, limit=limit)]


@router.get("/devices/{tenant}/{name}/site-check")
def site_check(
    ctx: Ctx, asker: Asker, address: DeviceAddress, since: Annotated[Since, Query()] = None
) -> SiteCheckView:
    """The site test as the city sees it: presence, clock, conditions, the readings of five minutes; with
    `since`, the time to the first ack."""
    return SiteCheckView.model_validate(service.site_check(ctx, asker, address, since).as_json())


@router.post("/devices/{tenant}/{name}/handover", status_code=201)
def hand_over(ctx: Ctx, asker: Asker, address: DeviceAddress, body: NewHandover) -> ReportView:
    """Hand it over as the page for phones does: with that site test, signed by the server's key."""
    told = service.Handover(body.technician, body.received_by, body.note, body.height_m, body.since)
    return _report(service.hand_over(ctx, asker, address, told))


@router.put(
    "/field/reports/{work_id}",
    openapi_extra={"requestBody": {"required": True, "content": {"text/html": {}}}},
)
async def put_report(ctx: Ctx, asker: Asker, work_id: WorkId, request: Request) -> ReportView:
    """Keep a signed site report: the file as it is."""
    document = await request.body()
    found = await run_in_threadpool(service.put_report, ctx, asker, work_id, document)
    return _report(found)


@router.get("/field/reports")
def list_reports(
    ctx: Ctx,
    asker: Asker,
    device: Annotated[str | None, Query(max_length=129, examples=["porto/lamp-07"])] = None,
    before: Before = None,
    limit: Limit = 100,
) -> list[ReportView]:
    """Hand-overs, the newest first."""
    address = None if device is None else address_of(*_halves(device))
    found = service.list_reports(ctx, asker, address, before=before, limit=limit)
    return [_report(each) for each in found]


@router.get("/field/reports/{work_id}")
def get_report(ctx: Ctx, asker: Asker, work_id: WorkId) -> ReportView:
    return _report(service.get_report(ctx, asker, work_id))


@router.get("/field/reports/{work_id}/document", response_class=Response)
def report_document(ctx: Ctx, asker: Asker, work_id: WorkId) -> Response:
    """The signed file itself, to keep or to print. A browser saves it, and shows nothing."""
    document = service.report_document(ctx, asker, work_id)
    found = service.get_report(ctx, asker, work_id)
    return _attached(
        document, "text/html; charset=utf-8", f"site-report-{found.address.device}-{found.id}.html"
    )


@router.put(
    "/devices/{tenant}/{name}/photos",
    openapi_extra={
        "requestBody": {"required": True, "content": {"image/jpeg": {}, "image/png": {}, "image/webp": {}}}
    },
)
async def put_photo(
    ctx: Ctx,
    asker: Asker,
    address: DeviceAddress,
    request: Request,
    caption: Annotated[str, Query(max_length=100)] = "",
    keep_metadata: Annotated[bool, Query(description="also where and when it was taken")] = False,
) -> PhotoView:
    """A picture of the post. What the camera wrote into it is taken out, unless it is asked for."""
    content = await request.body()
    found = await run_in_threadpool(
        service.put_photo, ctx, asker, address, content, caption, keep_metadata=keep_metadata
    )
    return PhotoView.model_validate(found, from_attributes=True)


@router.get("/devices/{tenant}/{name}/photos")
def list_photos(ctx: Ctx, asker: Asker, address: DeviceAddress) -> list[PhotoView]:
    """Pictures of the post, the newest first."""
    found = service.list_photos(ctx, asker, address)
    return [PhotoView.model_validate(each, from_attributes=True) for each in found]


@router.get("/devices/{tenant}/{name}/photos/{sha256}", response_class=Response)
def get_photo(ctx: Ctx, asker: Asker, address: DeviceAddress, sha256: Sha256) -> Response:
    found, content = service.get_photo(ctx, asker, address, sha256)
    return _attached(content, found.media_type, f"{address.device}-{sha256[:12]}")


@router.delete("/devices/{tenant}/{name}/photos/{sha256}", status_code=204)
def remove_photo(ctx: Ctx, asker: Asker, address: DeviceAddress, sha256: Sha256) -> Response:
    """Take a picture away for good."""
    service.remove_photo(ctx, asker, address, sha256)
    return Response(status_code=204)


def _attached(content: bytes, media_type: str, name: str) -> Response:
    headers = {
        "Content-Disposition": f'attachment; filename="{name}"',
        "Content-Security-Policy": "default-src 'none'; sandbox",
    }
    return Response(content, media_type=media_type, headers=headers)


def _halves(device: str) -> tuple[str, str]:
    tenant, _, name = device.partition("/")
    return tenant, name


def _work(found: service.WorkRecord) -> WorkView:
    return WorkView(
        id=found.id,
        device=str(found.address),
        kind=found.kind,
        done_at=found.done_at,
        received_at=found.received_at,
        done_by=found.done_by,
        body=found.body,
    )


def _report(found: service.ReportRecord) -> ReportView:
    return ReportView(
        id=found.id,
        device=str(found.address),
        made_at=found.made_at,
        received_at=found.received_at,
        technician=found.technician,
        received_by=found.received_by,
        sent_by=found.sent_by,
        key_fingerprint=found.key_fingerprint,
        key_known=found.key_known,
        passed=found.passed,
        sha256=found.sha256,
    )
