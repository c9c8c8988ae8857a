"""/api/v1/floods: which lampposts sent more than a lamppost sends, and what became of them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from fleet_server.access.asker import Asker, Ctx
from fleet_server.limits import service
from fleet_server.limits.rules import State

router = APIRouter(prefix="/api/v1/floods", tags=["devices"])

PAGE_MOST = 1_000


class FloodView(BaseModel):
    """What came within a minute. Times are real time."""

    id: int
    tenant: str
    name: str
    state: State
    seen_at: datetime
    messages: int
    bytes: int
    until: datetime | None = Field(description="then it is let in again, where it is held")
    ended_at: datetime | None


class FloodPage(BaseModel):
    """The newest first. `next_before`: give it as `before` for the next page; null on the last one."""

    floods: list[FloodView]
    next_before: int | None


@router.get("")
def list_floods(
    ctx: Ctx,
    asker: Asker,
    before: Annotated[int, Query(ge=1, le=2**62)] = 2**62,
    limit: Annotated[int, Query(ge=1, le=PAGE_MOST)] = 100,
) -> FloodPage:
    """What was counted as a flood. To let a lamppost in sooner, make it active."""
    found = service.list_floods(ctx, asker, before_id=before, limit=limit)
    shown = [
        FloodView(
            id=each.id,
            tenant=each.address.tenant,
            name=each.address.device,
            state=each.state,
            seen_at=each.seen_at,
            messages=each.rate.messages,
            bytes=each.rate.bytes,
            until=each.until,
            ended_at=each.ended_at,
        )
        for each in found
    ]
    return FloodPage(floods=shown, next_before=found[-1].id if len(found) == limit else None)
