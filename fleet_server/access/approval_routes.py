"""/api/v1/approvals: what one person wants to do and a second has to agree to."""

from __future__ import annotations

from datetime import datetime

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from fleet_server.access import two_person
from fleet_server.access.asker import Asker, Ctx
from fleet_server.access.two_person_rules import State
from fleet_server.bodies import JsonBody

router = APIRouter(prefix="/api/v1/approvals", tags=["approvals"])


class RequestView(BaseModel):
    """Who wants to do what, on what, why; and who agreed or not."""

    id: int
    tenant: str
    action: str
    resource: str
    what: str
    reason: str
    state: State
    asked_by: str
    asked_at: datetime
    expires_at: datetime
    decided_by: str
    decided_at: datetime | None
    note: str


class Note(JsonBody):
    note: str = Field("", max_length=500)


@router.get("")
def listed(
    ctx: Ctx,
    asker: Asker,
    state: State | None = None,
    before: int = Query(2**31 - 1, ge=1, le=2**31 - 1),
    limit: int = Query(100, ge=1, le=two_person.LIST_MOST),
) -> list[RequestView]:
    """Those of the tenant, the newest first."""
    return [_view(each) for each in two_person.listed(ctx, asker, state, before, limit)]


@router.get("/{number}")
def one(ctx: Ctx, asker: Asker, number: int) -> RequestView:
    """One request; who asked sees their own."""
    return _view(two_person.get(ctx, asker, number))


@router.post("/{number}/approve")
def approve(ctx: Ctx, asker: Asker, number: int, body: Note) -> RequestView:
    """Agree. Who asked then does the same again, and it is done. 403 for who asked, and for a token."""
    return _view(two_person.approve(ctx, asker, number, body.note))


@router.post("/{number}/refuse")
def refuse(ctx: Ctx, asker: Asker, number: int, body: Note) -> RequestView:
    """Do not agree; also after somebody did, until it is done."""
    return _view(two_person.refuse(ctx, asker, number, body.note))


@router.post("/{number}/withdraw")
def withdraw(ctx: Ctx, asker: Asker, number: int) -> RequestView:
    """Who asked does not want it any more."""
    return _view(two_person.withdraw(ctx, asker, number))


def _view(found: two_person.Request) -> RequestView:
    return RequestView(
        id=found.id,
        tenant=found.tenant,
        action=found.action,
        resource=found.resource,
        what=found.what,
        reason=found.reason,
        state=found.state,
        asked_by=found.asked_by,
        asked_at=found.asked_at,
        expires_at=found.expires_at,
        decided_by=found.decided_by,
        decided_at=found.decided_at,
        note=found.note,
    )
