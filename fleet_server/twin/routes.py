"""A device's twin and tags, the settings that it inherits from its tenant, and every setting there is."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Body, Header, Query, Response
from pydantic import BaseModel, Field

from fleet_server.access.asker import Asker, Ctx
from fleet_server.devices.routes import DeviceAddress
from fleet_server.errors import InvalidRequest
from fleet_server.twin import rules, service
from fleet_server.twin.service import TenantSettings, Twin, Wish

router = APIRouter(prefix="/api/v1", tags=["twin"])

Document = dict[str, Any]
IfMatch = Annotated[str | None, Header(description='the etag that was seen, "7"; else 412', max_length=400)]
Tenant = Annotated[str | None, Query(max_length=64, description="default: the asker's own")]
_EXAMPLE: Document = {"desired": {"telemetry": {"flush_interval_s": 5}, "log": None}}


class AckView(BaseModel):
    """What the device did with one desired setting."""

    value: str | int | float | bool | None
    ac: int = Field(
        description="200 it holds, 202 from its next start on, 400 not allowed, 404 no such setting"
    )
    av: int = Field(description="the desired version that it acted on")
    ad: str = Field(description="why, for people")


class EffectiveView(BaseModel):
    """A setting that the device is sent, and where it comes from."""

    value: str | int | float | bool
    source: str = Field(description="tenant, group or device")
    name: str = Field(description="of the tenant, group or device")
    at: datetime | None = Field(description="when it was set there")
    ties: list[str] = Field(description="groups of the same priority that say something else, and lost")


class TwinView(BaseModel):
    """`tags`: the service's alone. `desired`: the device's own section, without what it inherits; $version
    counts what it is sent. `reported`: what holds there. `delta`: what it is sent and does not report."""

    device: str
    etag: str = Field(description="of tags and desired; give it as If-Match. A report does not change it.")
    tags: Document
    desired: Document = Field(description="with $version and, at every level, $metadata's $lastUpdated")
    reported: Document
    effective: dict[str, EffectiveView]
    delta: Document
    acks: dict[str, AckView]
    acknowledged: int = Field(description="the desired $version that the device has")
    in_step: bool = Field(description="it has the newest, and obeys all of it")


class SettingView(BaseModel):
    key: str
    kind: str
    unit: str
    allows: str
    default: str | int | float | bool | None = Field(
        description="as the agent ships; its own file goes before"
    )
    changes: str
    restart: bool = Field(description="it takes effect at the agent's next start")


class SectionView(BaseModel):
    """Settings that are inherited. `settings` has $version and $metadata."""

    tenant: str
    etag: str
    settings: Document


@router.get("/settings", response_model=list[SettingView])
def settings(ctx: Ctx, asker: Asker) -> Any:
    """Every setting that a lamppost obeys: type, unit, range, default, what it changes."""
    return [SettingView.model_validate(each, from_attributes=True) for each in service.registry(ctx, asker)]


@router.get("/settings/tenant")
def tenant_settings(ctx: Ctx, asker: Asker, response: Response, tenant: Tenant = None) -> SectionView:
    """What every lamppost of the tenant inherits."""
    return tenant_view(service.tenant_settings(ctx, asker, tenant), response)


@router.patch("/settings/tenant")
def patch_tenant_settings(
    ctx: Ctx,
    asker: Asker,
    response: Response,
    body: Annotated[Document, Body(examples=[{"telemetry": {"flush_interval_s": 30}}])],
    if_match: IfMatch = None,
    tenant: Tenant = None,
) -> SectionView:
    """Merge: null takes a setting away."""
    wish = wish_of(body, "settings", if_match)
    return tenant_view(service.change_tenant_settings(ctx, asker, wish, tenant), response)


@router.put("/settings/tenant")
def put_tenant_settings(
    ctx: Ctx,
    asker: Asker,
    response: Response,
    body: Annotated[Document, Body(examples=[{"log": {"level": "warning"}}])],
    if_match: IfMatch = None,
    tenant: Tenant = None,
) -> SectionView:
    """Replace them all."""
    wish = wish_of(body, "settings", if_match, whole=True)
    return tenant_view(service.change_tenant_settings(ctx, asker, wish, tenant), response)


@router.get("/devices/{tenant}/{name}/twin")
def twin(ctx: Ctx, asker: Asker, address: DeviceAddress, response: Response) -> TwinView:
    """What it is wished to do, and says that it does."""
    return view(service.twin(ctx, asker, address), response)


@router.patch("/devices/{tenant}/{name}/twin")
def patch_twin(
    ctx: Ctx,
    asker: Asker,
    address: DeviceAddress,
    response: Response,
    body: Annotated[Document, Body(examples=[_EXAMPLE])],
    if_match: IfMatch = None,
) -> TwinView:
    """Merge into `desired`: null takes a setting away. desired.$version, where given, is the one
    seen: else 409."""
    wish = wish_of(_desired(body), "desired", if_match)
    return view(service.change_desired(ctx, asker, address, wish), response)


@router.put("/devices/{tenant}/{name}/twin")
def put_twin(
    ctx: Ctx,
    asker: Asker,
    address: DeviceAddress,
    response: Response,
    body: Annotated[Document, Body(examples=[_EXAMPLE])],
    if_match: IfMatch = None,
) -> TwinView:
    """Replace `desired`: the device's own section."""
    wish = wish_of(_desired(body), "desired", if_match, whole=True)
    return view(service.change_desired(ctx, asker, address, wish), response)


@router.get("/devices/{tenant}/{name}/tags")
def tags(ctx: Ctx, asker: Asker, address: DeviceAddress, response: Response) -> Document:
    """What the service alone knows of it; groups are found by it."""
    return view(service.twin(ctx, asker, address), response).tags


@router.patch("/devices/{tenant}/{name}/tags")
def patch_tags(
    ctx: Ctx,
    asker: Asker,
    address: DeviceAddress,
    response: Response,
    body: Annotated[Document, Body(examples=[{"model": "pi5", "pole": {"height_m": 4}}])],
    if_match: IfMatch = None,
) -> Document:
    """Merge: null takes a tag away. If-Match is the only guard that tags have."""
    wish = wish_of(body, "tags", if_match)
    return view(service.change_tags(ctx, asker, address, wish), response).tags


@router.put("/devices/{tenant}/{name}/tags")
def put_tags(
    ctx: Ctx,
    asker: Asker,
    address: DeviceAddress,
    response: Response,
    body: Annotated[Document, Body(examples=[{"model": "pi5"}])],
    if_match: IfMatch = None,
) -> Document:
    """Replace them all."""
    wish = wish_of(body, "tags", if_match, whole=True)
    return view(service.change_tags(ctx, asker, address, wish), response).tags


def wish_of(body: object, what: str, if_match: str | None, *, whole: bool = False) -> Wish:
    """Raises InvalidRequest."""
    version = body.get("$version") if isinstance(body, dict) else None
    if version is not None and (isinstance(version, bool) or not isinstance(version, int)):
        raise InvalidRequest(f"{what}.$version: a whole number.")
    return Wish(service.patch_of(body, what), whole, if_match or "", version)


def _desired(body: Document) -> object:
    others = sorted(body.keys() - {"desired"})
    if others or "desired" not in body:
        raise InvalidRequest(
            f"The body has {others[0][:40]!r}: only desired is changed here."
            if others
            else "The body has no desired.",
            remedy="Tags have an address of their own, /tags; reported is the device's.",
        )
    return body["desired"]


def view(found: Twin, response: Response) -> TwinView:
    """Also sets the etag's header; nobody else keeps the answer."""
    response.headers["ETag"] = f'"{found.revision}"'
    response.headers["Cache-Control"] = "no-store"
    sync = found.sync
    delta = rules.delta(sync.desired, found.reported)
    refused = rules.refused(found.acks)
    effective = {
        key: EffectiveView(
            value=sync.desired[key],
            source=origin.source,
            name=origin.name,
            at=datetime.fromisoformat(origin.at) if origin.at else None,
            ties=list(origin.ties),
        )
        for key, origin in sorted(found.origin.items())
        if key in sync.desired
    }
    return TwinView(
        device=str(found.address),
        etag=f'"{found.revision}"',
        tags=_section(found.tags, found.tags_at),
        desired=_section(found.own, found.own_at) | {"$version": sync.version},
        reported=_section(found.reported, found.reported_at) | {"$version": found.reported_version or 0},
        effective=effective,
        delta=rules.nested(delta),
        acks={key: AckView(**ack) for key, ack in sorted(found.acks.items())},
        acknowledged=sync.acknowledged,
        in_step=sync.acknowledged == sync.version and not delta and not refused,
    )


def tenant_view(found: TenantSettings, response: Response) -> SectionView:
    response.headers["ETag"] = f'"{found.revision}"'
    response.headers["Cache-Control"] = "no-store"
    section = _section(found.settings, found.settings_at) | {"$version": found.revision}
    return SectionView(tenant=found.tenant, etag=f'"{found.revision}"', settings=section)


def _section(flat: Any, at: Any) -> Document:
    return rules.nested(flat) | {"$metadata": rules.timed(at)}
