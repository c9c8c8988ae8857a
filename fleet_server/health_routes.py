"""/healthz: the process lives. /readyz: what it needs is there. Both without a login."""

from __future__ import annotations

from typing import cast

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from fleet_server.health import HealthDesk

router = APIRouter(tags=["health"])


class Alive(BaseModel):
    status: str = "alive"


class Part(BaseModel):
    ok: bool
    detail: str


class Ready(BaseModel):
    """`parts`: database, migrations, broker."""

    ready: bool
    parts: dict[str, Part]


@router.get("/healthz")
async def healthz() -> Alive:
    """200 as long as this process takes requests."""
    return Alive()


@router.get("/readyz", responses={503: {"model": Ready, "description": "Something is missing"}})
def readyz(request: Request, response: Response) -> Ready:
    """200 when every part is there, else 503; the parts say which is missing."""
    found = cast(HealthDesk, request.app.state.health).readiness()
    response.status_code = 200 if found.ready else 503
    parts = {name: Part(ok=part.ok, detail=part.detail) for name, part in found.parts.items()}
    return Ready(ready=found.ready, parts=parts)
