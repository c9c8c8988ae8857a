"""The page at `/`: the city's lampposts on a map and in a list."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from nicegui import ui

from dashboards import topics, view
from dashboards.frame import Frame, Opened
from dashboards.hub import Snapshot
from dashboards.model import Lamppost
from dashboards.topics import LAMPPOSTS, CommonSource, Topic
from dashboards.viewer import Line, Message, PageViewer
from fleet_server.access.service import SignedIn


class MapSource(CommonSource, topics.ChartSource, Protocol):
    async def lampposts(self, by: SignedIn) -> Sequence[Lamppost]: ...


class LamppostList(ui.element, component="elements/lamppost_list.js"):
    """All lampposts with presence and freshness; filter, order, keyboard."""


class LamppostFacts(ui.element, component="elements/lamppost_detail.js"):
    """The picked lamppost in a few facts."""


class MapViewer(PageViewer):
    """The list of lampposts, and the one that is picked."""

    def __init__(self, line: Line, source: MapSource, wanted: str | None) -> None:
        super().__init__(line, source)
        self._source = source
        self._wanted = wanted
        self.picked: int | None = None
        self._rows: dict[int, view.Row] = {}

    def pick(self, lamppost: int) -> None:
        self.picked, self._wanted = lamppost, None

    def topics(self, snapshot: Snapshot) -> Iterable[Topic]:
        yield Topic(LAMPPOSTS, self._source.lampposts)
        posts = {p.id: p for p in snapshot.found.get(LAMPPOSTS, ())}
        if self._wanted:
            self.picked = next((p.id for p in posts.values() if p.address == self._wanted), self.picked)
        if self.picked in posts:
            yield topics.detail(self._source, posts[self.picked])

    def state(self, snapshot: Snapshot) -> Message:
        found = snapshot.found.get(topics.detail_key(self.picked or 0))
        state: Message = {"loaded": LAMPPOSTS in snapshot.found, "picked": self.picked}
        return state | ({"detail": view.detail(found)} if found else {})

    def changes(self, snapshot: Snapshot) -> Message:
        rows = {p.id: view.row(p, None) for p in snapshot.found.get(LAMPPOSTS, ())}
        changed = [row for i, row in rows.items() if self._rows.get(i) != row]
        gone = [i for i in self._rows if i not in rows]
        self._rows = rows
        return ({"rows": changed} if changed else {}) | ({"gone": gone} if gone else {})


def register(frame: Frame, source: MapSource) -> None:
    @frame.page("/", title="Map", area="map")
    def city(opened: Opened) -> PageViewer:
        viewer = MapViewer(opened.line, source, opened.query.get("lamppost"))
        with ui.element("div").classes("columns"):
            LamppostList().on("pick", opened.chosen(lambda value: viewer.pick(int(value))))
            with ui.element("div").classes("aside"):
                LamppostFacts()
        return viewer
