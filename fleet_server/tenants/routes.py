"""/api/v1/tenants: who shares this installation, and what each may use."""

from __future__ import annotations

from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel, Field

from fleet_server.access.asker import Asker, Ctx
from fleet_server.bodies import JsonBody
from fleet_server.tenants import rules, service
from fleet_server.tenants.service import TenantRecord

router = APIRouter(prefix="/api/v1/tenants", tags=["tenants"])

_OWN = "null: the usual"


class QuotasView(BaseModel):
    """What holds: its own quotas, and the usual ones. null: without a limit."""

    requests_a_minute: int | None
    requests_a_minute_each: int | None
    devices: int | None
    downloads: int | None
    download_rows: int | None
    groups: int | None
    files_mb: int | None
    device_messages: int | None = Field(description="null: as the server's configuration has it")
    device_mb: int | None = Field(description="null: as the server's configuration has it")


class TenantView(BaseModel):
    """created_at: null where nobody named it and it is known by its lampposts alone."""

    name: str
    title: str
    created_at: datetime | None
    lampposts: int = Field(description="those that are not decommissioned")
    own: dict[str, int | None] = Field(description=f"its own quotas; {_OWN}")
    quotas: QuotasView


class TenantChange(JsonBody):
    """What is given is changed."""

    title: str | None = Field(None, max_length=rules.TITLE_MOST_CHARACTERS)
    quotas: dict[str, int | None] = Field({}, description=f"{', '.join(rules.NAMES)}; {_OWN}", max_length=16)


@router.get("")
def list_tenants(ctx: Ctx, asker: Asker) -> list[TenantView]:
    """By name; who acts in one tenant sees that one."""
    return [view(each) for each in service.list_tenants(ctx, asker)]


@router.get("/{tenant}")
def get_tenant(ctx: Ctx, asker: Asker, tenant: str) -> TenantView:
    return view(service.own_tenant(ctx, asker, tenant))


@router.put("/{tenant}")
def put_tenant(ctx: Ctx, asker: Asker, tenant: str, body: TenantChange) -> TenantView:
    """Name a tenant, or change its title and quotas; for those who act in the whole installation."""
    return view(service.put_tenant(ctx, asker, tenant, body.title, body.quotas))


def view(found: TenantRecord) -> TenantView:
    return TenantView(
        name=found.name,
        title=found.title,
        created_at=found.created_at,
        lampposts=found.active,
        own=dict(found.own),
        quotas=QuotasView.model_validate(rules.with_usual(dict(found.own)), from_attributes=True),
    )
