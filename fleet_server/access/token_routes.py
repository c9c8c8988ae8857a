"""/api/v1/tokens: permissions of machines."""

from __future__ import annotations

from datetime import datetime, timedelta

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from fleet_server.access import tokens
from fleet_server.access.asker import Asker, Ctx
from fleet_server.access.known_tenants import need_known
from fleet_server.access.rules import TOKEN_LIFE_LONGEST
from fleet_server.bodies import JsonBody

router = APIRouter(prefix="/api/v1/tokens", tags=["tokens"])


class TokenView(BaseModel):
    """A token without its secret. owner: whose roles bound it."""

    id: int
    name: str
    owner: str
    tenant: str
    roles: list[str]
    scopes: list[str]
    created_by: str
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None
    revoked_by: str


class NewToken(JsonBody):
    """scopes: actions, such as "telemetry:read". owner: oneself, without. tenant: where one acts, without."""

    name: str = Field(max_length=64, examples=["nightly export"])
    scopes: list[str] = Field(max_length=64, examples=[["telemetry:read"]])
    days: int = Field(ge=1, le=TOKEN_LIFE_LONGEST.days)
    owner: str = Field("", max_length=64)
    tenant: str = Field("", max_length=64)


class MadeToken(BaseModel):
    """`token` is told once, here."""

    token: str = Field(repr=False)
    described: TokenView


@router.get("")
def listed(
    ctx: Ctx,
    asker: Asker,
    after: int = Query(0, ge=0, le=2**31 - 1),
    limit: int = Query(tokens.LIST_MOST, ge=1, le=tokens.LIST_MOST),
) -> list[TokenView]:
    """Those of the tenant, by number; revoked and expired ones too."""
    return [_view(each) for each in tokens.listed(ctx, asker, after, limit)]


@router.post("", status_code=201)
def make(ctx: Ctx, asker: Asker, body: NewToken) -> MadeToken:
    """A new one. It never does more than its owner, nor more than who makes it."""
    need_known(ctx, asker, body.tenant or asker.tenant)
    wanted = tokens.Wanted(
        body.name, tuple(dict.fromkeys(body.scopes)), timedelta(days=body.days), body.owner, body.tenant
    )
    made = tokens.make(ctx, asker, wanted)
    return MadeToken(token=made.token, described=_view(made.described))


@router.delete("/{number}")
def revoke(ctx: Ctx, asker: Asker, number: int) -> TokenView:
    """Worth nothing from now on."""
    return _view(tokens.revoke(ctx, asker, number))


def _view(found: tokens.ApiToken) -> TokenView:
    return TokenView(
        id=found.id,
        name=found.name,
        owner=found.owner,
        tenant=found.tenant,
        roles=list(found.roles),
        scopes=list(found.scopes),
        created_by=found.created_by,
        created_at=found.created_at,
        expires_at=found.expires_at,
        last_used_at=found.last_used_at,
        revoked_at=found.revoked_at,
        revoked_by=found.revoked_by,
    )
