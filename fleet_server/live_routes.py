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
from fleet_server.access.rules import Action, Principal
from fleet_server.context import Context
from fleet_server.decisions import service as decisions
from fleet_server.devices import service as devices
from fleet_server.errors import LinkError
from fleet_server.live import Change, LiveHub, event_stream, everything

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
    only = everything if principal.within is None else _Own(ctx, principal)
    stream = _while_the_same(event_stream(hub, hub.listen(), only), ctx, principal, token_of(request))
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(stream, media_type="text/event-stream", headers=headers)


class _Own:
    """What is of the principal's tenant. Which that is does not change: each number is asked for once."""

    def __init__(self, ctx: Context, principal: Principal) -> None:
        self._ctx, self._principal = ctx, principal
        self._devices: dict[int, bool] = {}
        self._incidents: dict[int, bool] = {}

    async def __call__(self, change: Change) -> Change:
        new_devices = change.devices - self._devices.keys()
        new_incidents = change.incidents - self._incidents.keys()
        if new_devices:
            own = await asyncio.to_thread(devices.own, self._ctx, self._principal, new_devices)
            self._devices |= {each: each in own for each in new_devices}
        if new_incidents:
            own = await asyncio.to_thread(decisions.own, self._ctx, self._principal, new_incidents)
            self._incidents |= {each: each in own for each in new_incidents}
        return Change(
            frozenset(each for each in change.devices if self._devices[each]),
            change.missed,
            frozenset(each for each in change.incidents if self._incidents[each]),
        )


async def _while_the_same(
    stream: AsyncIterator[bytes], ctx: Context, principal: Principal, token: str
) -> AsyncIterator[bytes]:
    """As long as the token stands for this principal: with other roles or another tenant it ends as well."""
    looked_s = time.monotonic()
    async for part in stream:
        if time.monotonic() - looked_s > SESSION_LOOK_S:
            looked_s = time.monotonic()
            if not await asyncio.to_thread(_is_still, ctx, principal, token):
                return
        yield part


def _is_still(ctx: Context, principal: Principal, token: str) -> bool:
    try:
        return service.resolve(ctx, token) == principal
    except LinkError:
        return True  # nobody is thrown out for the database's sake
