"""/api/v1/live: what has just been committed, as server-sent events."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import cast

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse

from fleet_server.access import service
from fleet_server.access.asker import Asker, Ctx, token_of
from fleet_server.access.rules import Action
from fleet_server.context import Context
from fleet_server.errors import LinkError
from fleet_server.live import LiveHub, event_stream

router = APIRouter(prefix="/api/v1", tags=["live"])

SESSION_LOOK_S = 60.0  # a stream outlives its session by this at most


@router.get(
    "/live",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
)
async def live(ctx: Ctx, request: Request, principal: Asker) -> StreamingResponse:
    """A stream of `change` events, sent when something of these devices or incidents was committed.

    `{"devices": [ids], "incidents": [ids]}`, the second only where there are any.
    """
    service.authorize(principal, Action.DEVICES_READ)
    hub = cast(LiveHub, request.app.state.live)
    stream = _while_signed_in(event_stream(hub, hub.listen()), ctx, token_of(request))
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(stream, media_type="text/event-stream", headers=headers)


async def _while_signed_in(stream: AsyncIterator[bytes], ctx: Context, token: str) -> AsyncIterator[bytes]:
    looked_s = time.monotonic()
    async for part in stream:
        if time.monotonic() - looked_s > SESSION_LOOK_S:
            looked_s = time.monotonic()
            if not await asyncio.to_thread(_still_signed_in, ctx, token):
                return
        yield part


def _still_signed_in(ctx: Context, token: str) -> bool:
    try:
        return service.resolve(ctx, token) is not None
    except LinkError:
        return True  # nobody is thrown out for the database's sake
