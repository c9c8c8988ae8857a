"""One look at the database for all viewers: one a second while data comes, none while nobody watches.

The hub knows nothing of NiceGUI, and not what pages show: a viewer is anything that names the topics it wants
and takes a snapshot. What was last seen is kept while the database is away, and the first look that succeeds
takes the fault away again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from dashboards.topics import Audience, Key, Topic, audience_of
from fleet_server.access.service import SignedIn
from fleet_server.errors import LamppostError, LinkError

log = logging.getLogger("lamppost.ui")

TICK_S = 1.0  # nobody reads faster; a commit is shown within this and the look's own time
SHORTEST_REST_S = 0.05  # somebody who holds a key down costs twenty looks a second at the very most
IDLE_LOOK_S = 5.0  # without a notification: ages turn late, a lost LISTEN is bridged
ROUNDS_MAX = 4  # what was read tells what else to read: list, lamppost, chart


class Clock(Protocol):
    """The street clock."""

    def now_ms(self) -> int: ...
    def speed(self) -> float: ...


class Viewer(Protocol):
    """One open page."""

    who: SignedIn

    async def still_welcome(self) -> bool: ...
    def wants(self, snapshot: Snapshot) -> Iterable[Topic]: ...
    def show(self, snapshot: Snapshot) -> None: ...


@dataclass
class Snapshot:
    """What viewers of one audience share: what was found under each topic's key, or why it could not be read.

    `fault` is {title, detail, since} while the database is away.
    """

    now_ms: int = 0
    speed: float = 1.0
    found: dict[Key, Any] = field(default_factory=dict)
    refused: dict[Key, str] = field(default_factory=dict)
    fault: dict[str, Any] | None = None


@dataclass(frozen=True)
class _Read:
    """When a topic was read, and what for."""

    stamp: Any
    at_s: float


class Hub:
    """`run()` is the loop; `changed()` tells of a commit; `kick()` asks for a look now."""

    def __init__(self, clock: Clock, *, monotonic: Callable[[], float]) -> None:
        self._snapshots: dict[Audience, Snapshot] = {}
        self._clock = clock
        self._monotonic = monotonic
        self._viewers: list[Viewer] = []
        self._wake = asyncio.Event()
        self._hurry = asyncio.Event()
        self._read: dict[tuple[Audience, Key], _Read] = {}
        self._last_ms = 0
        self._dirty: set[int] = set()  # lampposts committed since, as notifications tell

    def now_ms(self) -> int:
        return self._clock.now_ms()

    def speed(self) -> float:
        return self._clock.speed()

    def snapshot_of(self, who: SignedIn) -> Snapshot:
        """What somebody's pages show: nobody is shown what was read for others than their like."""
        return self._snapshots.setdefault(audience_of(who), Snapshot())

    def join(self, viewer: Viewer) -> None:
        if viewer not in self._viewers:
            self._viewers.append(viewer)
        self.kick()

    def leave(self, viewer: Viewer) -> None:
        if viewer in self._viewers:
            self._viewers.remove(viewer)

    def changed(self, lampposts: frozenset[int] | None) -> None:
        """Something of these was committed; None: of anything, because notifications were missed."""
        if lampposts is None:
            self._read.clear()
        elif self._viewers:
            self._dirty |= lampposts
        self._wake.set()

    def kick(self) -> None:
        """A person waits for an answer."""
        self._hurry.set()
        self._wake.set()

    def forget(self, key: Key) -> None:
        """A person changed it: read it again at once."""
        for read in [read for read in self._read if read[1] == key]:
            del self._read[read]
        self.kick()

    async def run(self) -> None:
        """Until cancelled. Commits wake it at most each TICK_S, a viewer's choice at once."""
        while True:
            began = self._monotonic()
            self._wake.clear()
            self._hurry.clear()
            try:
                await self.look()
            except Exception:  # the loop's top: a page that stops for ever would be worse
                log.exception("a look at the data failed")
                self._fail("The server made a mistake.", "Its log has the reason. It keeps trying.")
                self._show()
            await self._rest(began)

    async def _rest(self, began: float) -> None:
        """Until there is a reason to look: a person's choice now, a commit one tick after the last look."""
        await asyncio.sleep(SHORTEST_REST_S)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._hurry.wait(), max(0.0, TICK_S - (self._monotonic() - began)))
        with suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), IDLE_LOOK_S)

    async def look(self) -> None:
        """One round: who may still look, what there is, and to everybody what changed for them."""
        for viewer in list(self._viewers):
            if not await self._welcome(viewer):
                self.leave(viewer)
        if not self._viewers:
            return
        there = {audience_of(viewer.who) for viewer in self._viewers}
        self._snapshots = {audience: self._snapshots.get(audience) or Snapshot() for audience in there}
        for snapshot in self._snapshots.values():
            snapshot.now_ms, snapshot.speed = self._clock.now_ms(), self._clock.speed()
        try:
            await self._read_wanted()
            for snapshot in self._snapshots.values():
                snapshot.fault = None
        except LinkError:
            self._fail("The database does not answer.", "New data appears by itself when it is back.")
        self._show()

    async def _welcome(self, viewer: Viewer) -> bool:
        try:
            return await viewer.still_welcome()
        except LinkError:
            return True  # nobody is thrown out for the database's sake

    async def _read_wanted(self) -> None:
        """Every topic that somebody wants, once for each audience, and only what is old."""
        dirty, self._dirty = self._dirty, set()
        done: set[tuple[Audience, Key]] = set()
        wanted: dict[tuple[Audience, Key], tuple[Topic, SignedIn]] = {}
        try:
            for _ in range(ROUNDS_MAX):
                wanted = self._wanted()
                new = [place for place in wanted if place not in done]
                if not new:
                    break
                for place in new:
                    topic, by = wanted[place]
                    if self._old(place, topic, dirty):
                        await self._read_one(place, topic, by)
                    done.add(place)
        except LinkError:
            self._dirty |= dirty
            raise
        self._read = {place: read for place, read in self._read.items() if place in wanted}
        for audience, snapshot in self._snapshots.items():
            for kept in (snapshot.found, snapshot.refused):
                for key in [key for key in kept if (audience, key) not in wanted]:
                    del kept[key]

    def _wanted(self) -> dict[tuple[Audience, Key], tuple[Topic, SignedIn]]:
        found: dict[tuple[Audience, Key], tuple[Topic, SignedIn]] = {}
        for viewer in self._viewers:
            audience = audience_of(viewer.who)
            for topic in viewer.wants(self.snapshot_of(viewer.who)):
                found.setdefault((audience, topic.key), (topic, viewer.who))
        return found

    def _old(self, place: tuple[Audience, Key], topic: Topic, dirty: set[int]) -> bool:
        read = self._read.get(place)
        if read is None or topic.of is None or read.stamp != topic.stamp:
            return True
        return bool(topic.of & dirty) or self._monotonic() - read.at_s >= topic.every_s

    async def _read_one(self, place: tuple[Audience, Key], topic: Topic, by: SignedIn) -> None:
        snapshot = self.snapshot_of(by)
        try:
            snapshot.found[topic.key] = await topic.read(by)
            snapshot.refused.pop(topic.key, None)
        except LinkError:
            raise
        except LamppostError as refused:  # one page's odd wish is no fault of the others
            snapshot.found.pop(topic.key, None)
            snapshot.refused[topic.key] = str(refused)
        self._read[place] = _Read(topic.stamp, self._monotonic())

    def _fail(self, title: str, detail: str) -> None:
        for snapshot in self._snapshots.values():
            since = snapshot.fault["since"] if snapshot.fault else self._last_ms or snapshot.now_ms
            snapshot.fault = {"title": title, "detail": detail, "since": since}

    def _show(self) -> None:
        for snapshot in self._snapshots.values():
            if snapshot.fault is None:
                self._last_ms = snapshot.now_ms
        for viewer in list(self._viewers):
            try:
                viewer.show(self.snapshot_of(viewer.who))
            except Exception:  # a page's top: its mistake must not stop the pages of the others
                log.exception("a page could not be updated")
