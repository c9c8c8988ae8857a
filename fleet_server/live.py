"""Live events: one LISTEN on PostgreSQL for the whole process, handed to many streams of server-sent events.

What a listener has not fetched yet is one set of devices and one of incidents, so a slow listener costs no
memory, loses nothing and keeps nobody waiting. After an interruption of the LISTEN everybody is told to look
anew: events may be missing.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from weakref import WeakSet

import psycopg

from fleet_server.errors import TooManyRequests

log = logging.getLogger(__name__)

CHANNEL = (
    "lamppost_live"  # NOTIFY at a commit: {"devices": [ids], "incidents": [ids]}, either may be left out
)
KEEPALIVE_S = 15.0  # proxies cut a silent connection after 30 to 60 s
RECONNECT_S = 1.0
PROBE_S = 10.0  # a connection that died without a word is found within this and the next
PROBE_TIMEOUT_S = 10.0
MAX_LISTENERS = 256  # each holds a socket; more than a city's operators, fewer than file descriptors
CONNECT_TIMEOUT_S = 5


@dataclass(frozen=True)
class Change:
    """Devices and incidents with something new since the last one; `missed`: anything may have changed."""

    devices: frozenset[int]
    missed: bool = False
    incidents: frozenset[int] = frozenset()


@dataclass(eq=False)
class Listener:
    """One stream's share: what it has not fetched yet."""

    _devices: set[int] = field(default_factory=set)
    _incidents: set[int] = field(default_factory=set)
    _missed: bool = False
    _closed: bool = False
    _something: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, change: Change) -> None:
        self._devices |= change.devices
        self._incidents |= change.incidents
        self._missed = self._missed or change.missed
        self._something.set()

    def close(self) -> None:
        self._closed = True
        self._something.set()

    @property
    def closed(self) -> bool:
        return self._closed

    async def next(self, timeout_s: float) -> Change | None:
        """What has gathered; None when nothing did for `timeout_s`, or at the end."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._something.wait(), timeout_s)
        if self._closed or not self._something.is_set():
            return None
        self._something.clear()
        change = Change(frozenset(self._devices), self._missed, frozenset(self._incidents))
        self._devices.clear()
        self._incidents.clear()
        self._missed = False
        return change


class LiveHub:
    """`run()` is the loop of the process; `listen()` gives a stream its share until it is left."""

    def __init__(self, url: str) -> None:
        self._url = url
        # Weak: a stream whose reader left before its first byte is never run, so it cannot leave by itself.
        self._listeners: WeakSet[Listener] = WeakSet()
        self._closing = False

    def listen(self) -> Listener:
        """Raises TooManyRequests. Give it back with `leave`."""
        if len(self._listeners) >= MAX_LISTENERS:
            raise TooManyRequests(f"There are {MAX_LISTENERS} live streams already.")
        listener = Listener()
        if self._closing:
            listener.close()
        self._listeners.add(listener)
        return listener

    def leave(self, listener: Listener) -> None:
        self._listeners.discard(listener)

    def close(self) -> None:
        """End every stream; the process stops."""
        self._closing = True
        for listener in self._listeners:
            listener.close()

    async def run(self) -> None:
        """Until cancelled. Connects again whenever the connection is lost."""
        first = True
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(
                    self._url, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S
                ) as connection:
                    await connection.execute(f"LISTEN {CHANNEL}")
                    if not first:
                        log.info("live events come again")
                        self._tell(Change(frozenset(), missed=True))
                    first = False
                    await self._pass_on(connection)
            except (psycopg.Error, OSError) as lost:
                if not first:
                    log.warning("live events are interrupted: %s", str(lost).split("\n", 1)[0])
            await asyncio.sleep(RECONNECT_S)

    async def _pass_on(self, connection: psycopg.AsyncConnection) -> None:
        while True:
            async for notification in connection.notifies(timeout=PROBE_S):
                self._tell(change_of(notification.payload))
            await asyncio.wait_for(connection.execute("SELECT 1"), PROBE_TIMEOUT_S)

    def _tell(self, change: Change) -> None:
        for listener in self._listeners:
            if change.devices or change.incidents or change.missed:
                listener.add(change)


def change_of(payload: str) -> Change:
    """What a notification tells; nothing where it is not one of ours."""
    try:
        told = json.loads(payload)
        return Change(_ids(told.get("devices", [])), incidents=_ids(told.get("incidents", [])))
    except (ValueError, AttributeError, TypeError):
        log.warning("a notification on %s is not understood", CHANNEL)
        return Change(frozenset())


def _ids(told: Iterable[object]) -> frozenset[int]:
    return frozenset(each for each in told if isinstance(each, int) and not isinstance(each, bool))


Only = Callable[[Change], Awaitable[Change]]
"""What of a change one stream is told."""


async def everything(change: Change) -> Change:
    return change


async def event_stream(hub: LiveHub, listener: Listener, only: Only = everything) -> AsyncIterator[bytes]:
    """Server-sent events (WHATWG HTML, section 9.2): `change` events, comments to keep the line open.

    A change is `{"devices": [ids]}`, with `"incidents": [ids]` where there are any; with `"missed": true`
    anything may have changed. Events have no id: what a browser missed while it was away it fetches, so its
    Last-Event-ID is of no use here.
    """
    try:
        yield b"retry: 2000\n: live\n\n"
        sent_s = time.monotonic()
        while not listener.closed:
            change = await listener.next(KEEPALIVE_S)
            if change is None:
                yield b": still here\n\n"
                continue
            change = await only(change)
            if not (change.devices or change.incidents or change.missed):
                if time.monotonic() - sent_s > KEEPALIVE_S:
                    sent_s = time.monotonic()
                    yield b": still here\n\n"
                continue
            sent_s = time.monotonic()
            body: dict[str, object] = {"devices": sorted(change.devices)}
            if change.incidents:
                body["incidents"] = sorted(change.incidents)
            if change.missed:
                body["missed"] = True
            yield f"event: change\ndata: {json.dumps(body)}\n\n".encode()
    finally:
        hub.leave(listener)
