"""The way to the broker for sites that let nothing out but the web: `wss://…/mqtt` on the device listener.

A WebSocket whose frames carry a device's own TLS connection to the broker, byte for byte. Certificate,
revocation list and access list are the broker's affair as on its own port: who gets here gets no further than
somebody who reaches that port. (Mosquitto 2.0 has WebSockets of its own. They let revoked certificates in
until the list is read again, and do not keep to the largest packet.)

Whoever opens one has shown nothing yet: places are bounded, and each address has a share of them.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from contextlib import suppress
from ipaddress import IPv6Address, ip_address

from fastapi import APIRouter, Response, WebSocket, WebSocketDisconnect

from fleet_server.context import Context

log = logging.getLogger(__name__)

PATH = "/mqtt"
PROTOCOL = "tls.lamppost"
MOST_TUNNELS = 2_000  # at once in this process; each takes some 100 KB
MOST_FRAME_BYTES = 65_536  # a lamppost sends 16 KiB; what waits here is of whoever has no certificate yet
MOST_WAITING_FRAMES = 4
PIECE_BYTES = 32_768
CONNECT_TIMEOUT_S = 10.0
RETRY_AFTER_S = 30  # a lamppost's own pause between attempts is of this size
HOUSE_BITS = 64  # of an IPv6 address: what one customer of a provider has at least (RFC 6177)
# RFC 6455, section 7.4.1
GOING_AWAY, TOO_BIG, WRONG_KIND, TRY_LATER = 1001, 1009, 1003, 1013

router = APIRouter()


class Places:
    """Who has how many tunnels, in this process. `each`: of one address. All on one event loop."""

    def __init__(self, each: int, most: int = MOST_TUNNELS) -> None:
        self._each, self._most = each, most
        self._of: Counter[str] = Counter()
        self._told: set[str] = set()  # who is at its share: no more than have places

    def take(self, house: str) -> bool:
        """False where there is none; told in the log once, until one of that address ends."""
        if self._of.total() < self._most and self._of[house] < self._each:
            self._of[house] += 1
            return True
        whose = house if self._of[house] >= self._each else ""
        if whose not in self._told:
            self._told.add(whose)
            log.warning(
                "no more tunnels for %s: %d are open (limits.tunnels_per_address = %d, of %d in all)",
                *(whose or "anybody", self._of[whose] if whose else self._most, self._each, self._most),
            )
        return False

    def leave(self, house: str) -> None:
        self._told -= {house, ""}
        self._of[house] -= 1
        if not self._of[house]:
            del self._of[house]


def house_of(address: str) -> str:
    """Who shares its places: an IPv4 address, or the network (/64) of an IPv6 one."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if not isinstance(found, IPv6Address):
        return str(found)
    if found.ipv4_mapped is not None:  # on a socket of both families
        return str(found.ipv4_mapped)
    spare = 128 - HOUSE_BITS
    return f"{IPv6Address(int(found) >> spare << spare)}/{HOUSE_BITS}"


@router.websocket(PATH)
async def carry(websocket: WebSocket) -> None:
    """Refused with 403 without our protocol's name, so that nobody's browser takes it for something else, and
    with 503 where there is no place."""
    if PROTOCOL not in websocket.scope.get("subprotocols", []):
        await websocket.close(WRONG_KIND)
        return
    state = websocket.app.state
    if not hasattr(state, "tunnels"):
        state.tunnels = Places(state.context.config.limits.tunnels_per_address)
    house = house_of(websocket.client.host if websocket.client else "")
    if not state.tunnels.take(house):
        later = {"Retry-After": str(RETRY_AFTER_S)}
        await websocket.send_denial_response(Response("No place for another tunnel.", 503, later))
        return
    try:
        await websocket.accept(PROTOCOL)
        await _carry(websocket, state.context)
    finally:
        state.tunnels.leave(house)


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
