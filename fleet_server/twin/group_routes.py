"""/api/v1/groups: groups of lampposts, who is in them, what their members inherit."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Body, Query, Response, status
from pydantic import BaseModel, Field

from fleet_server.access.asker import Asker, Ctx
from fleet_server.bodies import JsonBody
from fleet_server.twin import groups, query, rules
from fleet_server.twin.groups import Group
from fleet_server.twin.routes import Document, IfMatch, Tenant, wish_of

router = APIRouter(prefix="/api/v1/groups", tags=["groups"])

QueryText = Annotated[
    str,
    Field(
        max_length=query.MAX_CHARACTERS,
        examples=['tag.model = "pi5" and reported.agent.version < "0.3" and district in ("Harbour")'],
    ),
]


class GroupView(BaseModel):
    """`query`: null where the members are listed. `priority`: of two groups the higher one's hold."""

    tenant: str
    name: str
    title: str
    query: str | None
    priority: int
    members: int
    created_at: datetime
    slow_since: datetime | None = Field(
        description="its query takes long: who fits it is looked at once a minute, not at once"
    )
    etag: str
    settings: Document


class NewGroup(JsonBody):
    name: str = Field(max_length=63, examples=["harbour"])
    title: str = Field("", max_length=groups.TITLE_MOST)
    query: QueryText | None = Field(None, description="without: its members are listed")
    priority: int = 0


class GroupChange(JsonBody):
    """What is given is changed."""

    title: str | None = Field(None, max_length=groups.TITLE_MOST)
    query: QueryText | None = None
    priority: int | None = None


class MembersChange(JsonBody):
    """Names of lampposts, without the tenant."""

    add: list[Annotated[str, Field(max_length=63)]] = Field([], max_length=groups.MEMBERS_AT_ONCE)
    remove: list[Annotated[str, Field(max_length=63)]] = Field([], max_length=groups.MEMBERS_AT_ONCE)


class MembersView(BaseModel):
    """`next_after`: give it as `after` for the next page; null on the last one."""

    devices: list[str]
    next_after: int | None


class Asked(JsonBody):
    query: QueryText


class PreviewView(BaseModel):
    """How many lampposts it fits now, and the first of them by name."""

    count: int
    first: list[str]


@router.get("")
def list_groups(ctx: Ctx, asker: Asker, tenant: Tenant = None) -> list[GroupView]:
    """Every group, by name."""
    return [_view(each) for each in groups.groups(ctx, asker, tenant)]


@router.post("", status_code=status.HTTP_201_CREATED)
def create(ctx: Ctx, asker: Asker, body: NewGroup, response: Response, tenant: Tenant = None) -> GroupView:
    made = groups.create(
        ctx, asker, body.name, title=body.title, text=body.query, priority=body.priority, tenant=tenant
    )
    return _tagged(made, response)


@router.post("/preview")
def preview(ctx: Ctx, asker: Asker, body: Asked, tenant: Tenant = None) -> PreviewView:
    """Try a query; nothing is changed."""
    found = groups.preview(ctx, asker, body.query, tenant)
    return PreviewView(count=found.count, first=[str(each) for each in found.first])


@router.get("/{group}")
def get(ctx: Ctx, asker: Asker, group: str, response: Response, tenant: Tenant = None) -> GroupView:
    return _tagged(groups.group(ctx, asker, group, tenant), response)


@router.patch("/{group}")
def change(
    ctx: Ctx,
    asker: Asker,
    group: str,
    body: GroupChange,
    response: Response,
    if_match: IfMatch = None,
    tenant: Tenant = None,
) -> GroupView:
    """Title, query or priority."""
    changed = groups.change(
        ctx,
        asker,
        group,
        title=body.title,
        text=body.query,
        priority=body.priority,
        if_match=if_match or "",
        tenant=tenant,
    )
    return _tagged(changed, response)


@router.delete("/{group}", status_code=status.HTTP_204_NO_CONTENT)
def delete(ctx: Ctx, asker: Asker, group: str, tenant: Tenant = None) -> None:
    """Its members no longer inherit from it."""
    groups.delete(ctx, asker, group, tenant)


@router.get("/{group}/members")
def members(
    ctx: Ctx,
    asker: Asker,
    group: str,
    after: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 500,
    tenant: Tenant = None,
) -> MembersView:
    """In pages by the lamppost's id; of a query, as it was found within the last minute."""
    found = groups.members(ctx, asker, group, after=after, limit=limit, tenant=tenant)
    return MembersView(devices=[str(each) for each in found.devices], next_after=found.next_after)


@router.post("/{group}/members")
def change_members(
    ctx: Ctx, asker: Asker, group: str, body: MembersChange, response: Response, tenant: Tenant = None
) -> GroupView:
    """Add and remove, of a group whose members are listed."""
    changed = groups.change_members(ctx, asker, group, add=body.add, remove=body.remove, tenant=tenant)
    return _tagged(changed, response)


@router.patch("/{group}/settings")
def patch_settings(
    ctx: Ctx,
    asker: Asker,
    group: str,
    response: Response,
    body: Annotated[Document, Body(examples=[{"sampling": {"every_s": 30}}])],
    if_match: IfMatch = None,
    tenant: Tenant = None,
) -> GroupView:
    """Merge into what its members inherit: null takes a setting away."""
    wish = wish_of(body, "settings", if_match)
    return _tagged(groups.change_settings(ctx, asker, group, wish, tenant), response)


@router.put("/{group}/settings")
def put_settings(
    ctx: Ctx,
    asker: Asker,
    group: str,
    response: Response,
    body: Annotated[Document, Body(examples=[{"log": {"level": "debug"}}])],
    if_match: IfMatch = None,
    tenant: Tenant = None,
) -> GroupView:
    """Replace what its members inherit."""
    wish = wish_of(body, "settings", if_match, whole=True)
    return _tagged(groups.change_settings(ctx, asker, group, wish, tenant), response)


def _tagged(found: Group, response: Response) -> GroupView:
    response.headers["ETag"] = f'"{found.revision}"'
    response.headers["Cache-Control"] = "no-store"
    return _view(found)


def _view(found: Group) -> GroupView:
    section: dict[str, Any] = rules.nested(found.settings) | {"$metadata": rules.timed(found.settings_at)}
    return GroupView(
        tenant=found.tenant,
        name=found.name,
        title=found.title,
        query=found.query,
        priority=found.priority,
        members=found.members,
        created_at=found.created_at,
        slow_since=found.slow_since,
        etag=f'"{found.revision}"',
        settings=section,
    )
