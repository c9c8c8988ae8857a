"""One look at the database for all viewers: one a second while data comes, none while nobody watches.

The hub knows nothing of NiceGUI: a viewer is anything that takes messages. What was last seen is kept while
the database is away, and the first look that succeeds takes the fault away again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from dashboards import view
from dashboards.model import Chart, Detail, Lamppost, Pending, Reading, Span
from fleet_server.access.service import SignedIn
from fleet_server.errors import LamppostError, LinkError

log = logging.getLogger("lamppost.ui")

TICK_S = 1.0  # nobody reads faster; a commit is shown within this and the look's own time
SHORTEST_REST_S = 0.05  # somebody who holds a key down costs twenty looks a second at the very most
IDLE_LOOK_S = 5.0  # without a notification: ages turn late, a lost LISTEN is bridged
PENDING_EVERY_S = 3.0  # a technician waits beside the lamppost
Series = tuple[int, str]  # series id, key of the span


class Source(Protocol):
    """What the hub asks for. Raises LinkError while the database does not answer."""

    def now_ms(self) -> int: ...
    def speed(self) -> float: ...
    async def lampposts(self, by: SignedIn) -> Sequence[Lamppost]: ...
    async def detail(self, by: SignedIn, lamppost: Lamppost) -> Detail: ...
    async def chart(self, by: SignedIn, reading: Reading, span: Span, now_ms: int) -> Chart: ...
    async def pending(self, by: SignedIn) -> Sequence[Pending]: ...


class Viewer(Protocol):
    """One open page."""

    who: SignedIn

    async def still_welcome(self) -> bool: ...
    def watches(self, snapshot: Snapshot) -> int | None: ...
    def draws(self, snapshot: Snapshot) -> tuple[int, int, Span] | None: ...
    def show(self, snapshot: Snapshot) -> None: ...


@dataclass
class Snapshot:
    """What all viewers share. `fault` is (title, detail, since) while the database is away."""

    now_ms: int = 0
    speed: float = 1.0
    loaded: bool = False
    lampposts: dict[int, Lamppost] = field(default_factory=dict)
    rows: dict[int, view.Row] = field(default_factory=dict)
    details: dict[int, Detail] = field(default_factory=dict)
    charts: dict[Series, Chart] = field(default_factory=dict)
    pending: tuple[Pending, ...] = ()
    fault: dict[str, Any] | None = None


class Hub:
    """`run()` is the loop; `changed()` tells of a commit; `kick()` asks for a look now."""

    def __init__(self, source: Source, *, monotonic: Callable[[], float]) -> None:
        self.snapshot = Snapshot()
        self._source = source
        self._monotonic = monotonic
        self._viewers: list[Viewer] = []
        self._wake = asyncio.Event()
        self._hurry = asyncio.Event()
        self._drains: dict[int, view.Draining] = {}
        self._seen: dict[int, Lamppost] = {}  # the lamppost as it was when its detail was read
        self._pending_read_s = -PENDING_EVERY_S
        self._last_ms = 0
        self._dirty: set[int] = set()  # committed since, as notifications tell

    def now_ms(self) -> int:
        return self._source.now_ms()

    def speed(self) -> float:
        return self._source.speed()

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
            self._seen.clear()
        elif self._viewers:
            self._dirty |= lampposts
        self._wake.set()

    def kick(self) -> None:
        """A person waits for an answer."""
        self._hurry.set()
        self._wake.set()

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
        snapshot = self.snapshot
        snapshot.now_ms, snapshot.speed = self._source.now_ms(), self._source.speed()
        try:
            await self._read(self._viewers[0].who)
            snapshot.fault = None
        except LinkError:
            self._fail("The database does not answer.", "New data appears by itself when it is back.")
        self._show()

    async def _welcome(self, viewer: Viewer) -> bool:
        try:
            return await viewer.still_welcome()
        except LinkError:
            return True  # nobody is thrown out for the database's sake

    async def _read(self, by: SignedIn) -> None:
        snapshot = self.snapshot
        found = {lamppost.id: lamppost for lamppost in await self._source.lampposts(by)}
        for lamppost in found.values():
            drain = view.draining(lamppost, self._drains.get(lamppost.id))
            if drain is None:
                self._drains.pop(lamppost.id, None)
            else:
                self._drains[lamppost.id] = drain
        snapshot.lampposts = found
        snapshot.rows = {i: view.row(p, self._drains.get(i)) for i, p in found.items()}
        snapshot.loaded = True
        if self._monotonic() - self._pending_read_s >= PENDING_EVERY_S:
            snapshot.pending = tuple(await self._source.pending(by))
            self._pending_read_s = self._monotonic()
        await self._read_picked(by)

    async def _read_picked(self, by: SignedIn) -> None:
        """Details and charts that somebody watches, each once, and only where the lamppost changed."""
        snapshot = self.snapshot
        watched = {i for v in self._viewers if (i := v.watches(snapshot)) is not None}
        changed = {i for i in watched if i in self._dirty or self._seen.get(i) != snapshot.lampposts[i]}
        self._dirty -= changed
        for i in changed:
            snapshot.details[i] = await self._source.detail(by, snapshot.lampposts[i])
        snapshot.details = {i: d for i, d in snapshot.details.items() if i in watched}
        wanted: dict[Series, tuple[int, int, Span]] = {}
        for viewer in self._viewers:
            if draw := viewer.draws(snapshot):
                wanted[draw[1], draw[2].key] = draw
        charts = {key: chart for key, chart in snapshot.charts.items() if key in wanted}
        for key, (lamppost, series, span) in wanted.items():
            reading = next(r for r in snapshot.details[lamppost].readings if r.series == series)
            old = charts.get(key)
            slid = old is not None and snapshot.now_ms - old.to_ms > span.length_s * 10  # 1 % of the width
            if old is None or slid or lamppost in changed:
                charts[key] = await self._source.chart(by, reading, span, snapshot.now_ms)
        snapshot.charts = charts
        self._seen = {i: snapshot.lampposts[i] for i in watched}

    def pending_changed(self) -> None:
        """A person decided about an enrolment: read the list again at once."""
        self._pending_read_s = -PENDING_EVERY_S
        self.kick()

    def _fail(self, title: str, detail: str) -> None:
        snapshot = self.snapshot
        since = snapshot.fault["since"] if snapshot.fault else self._last_ms or snapshot.now_ms
        snapshot.fault = {"title": title, "detail": detail, "since": since}

    def _show(self) -> None:
        if self.snapshot.fault is None:
            self._last_ms = self.snapshot.now_ms
        for viewer in list(self._viewers):
            try:
                viewer.show(self.snapshot)
            except LamppostError:
                log.exception("a page could not be updated")
