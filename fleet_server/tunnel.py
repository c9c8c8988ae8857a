"""The way to the broker for sites that let nothing out but the web: `wss://…/mqtt` on the device listener.

A WebSocket whose frames carry a device's own TLS connection to the broker, byte for byte. Certificate,
revocation list and access list are the broker's affair as on its own port: who gets here gets no further than
somebody who reaches that port. (Mosquitto 2.0 has WebSockets of its own. They let revoked certificates in
until the list is read again, and do not keep to the largest packet.)
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from fleet_server.context import Context

log = logging.getLogger(__name__)

PATH = "/mqtt"
PROTOCOL = "tls.lamppost"
MOST_TUNNELS = 2_000  # at once in this process; each takes some 100 KB
MOST_FRAME_BYTES = 65_536  # a lamppost sends 16 KiB; what waits here is of whoever has no certificate yet
MOST_WAITING_FRAMES = 4
PIECE_BYTES = 32_768
CONNECT_TIMEOUT_S = 10.0
# RFC 6455, section 7.4.1
GOING_AWAY, TOO_BIG, WRONG_KIND, TRY_LATER = 1001, 1009, 1003, 1013

router = APIRouter()


@router.websocket(PATH)
async def carry(websocket: WebSocket) -> None:
    """Refused with 403 without our protocol's name, so that nobody's browser takes it for something else."""
    if PROTOCOL not in websocket.scope.get("subprotocols", []):
        await websocket.close(WRONG_KIND)
        return
    await websocket.accept(PROTOCOL)
    state = websocket.app.state
    if getattr(state, "tunnels", 0) >= MOST_TUNNELS:
        await websocket.close(TRY_LATER)
        return
    state.tunnels = getattr(state, "tunnels", 0) + 1
    try:
        await _carry(websocket, state.context)
    finally:
        state.tunnels -= 1


async def _carry(websocket: WebSocket, context: Context) -> None:
    broker = context.config.broker
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(broker.host, broker.port)
    except OSError as lost:  # TimeoutError is one
        log.warning("a tunnel finds no broker at %s:%d: %s", broker.host, broker.port, lost)
        await websocket.close(TRY_LATER)
        return
    both = [asyncio.create_task(_up(websocket, writer)), asyncio.create_task(_down(websocket, reader))]
    try:
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in both:
            each.cancel()
        ended = await asyncio.gather(*both, return_exceptions=True)
        codes = [each for each in ended if isinstance(each, int)]
        writer.close()
        with suppress(RuntimeError, OSError, WebSocketDisconnect):  # it may be closed already
            await websocket.close(codes[0] if codes else GOING_AWAY)


async def _up(websocket: WebSocket, writer: asyncio.StreamWriter) -> int:
    """From the device; ends with the code to close with."""
    with suppress(WebSocketDisconnect, OSError, KeyError):
        while True:
            message = await websocket.receive()
            data = message.get("bytes")
            if message["type"] == "websocket.disconnect":
                return GOING_AWAY
            if data is None:
                return WRONG_KIND
            if len(data) > MOST_FRAME_BYTES:
                return TOO_BIG
            writer.write(data)
            await writer.drain()  # a broker that does not read stops the device
    return GOING_AWAY


async def _down(websocket: WebSocket, reader: asyncio.StreamReader) -> int:
    with suppress(WebSocketDisconnect, OSError, RuntimeError):
        while data := await reader.read(PIECE_BYTES):
            await websocket.send_bytes(data)
    return GOING_AWAY
