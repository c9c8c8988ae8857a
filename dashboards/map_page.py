"""The page at `/`: the city's lampposts on a map, in a list, and the one that is picked in short."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import nicegui
from nicegui import ui

from dashboards import view
from dashboards.frame import Frame, Opened
from dashboards.hub import Snapshot
from dashboards.model import Condition, District, IndexCourse, IndexKind, Lamppost
from dashboards.roll import Roll
from dashboards.topics import LAMPPOSTS, NOTHING, Audience, CommonSource, Topic, audience_of
from dashboards.viewer import Line, Message, PageViewer
from fleet_server.access.service import SignedIn

LEAFLET = Path(nicegui.__file__).parent / "elements" / "leaflet" / "dist"  # the bundle that NiceGUI ships
HOURS = {"24h": 24, "48h": 48, "7d": 168}  # how far back the panel's small chart goes
DISTRICTS_EVERY_S = 10.0  # they are made of hours; each look would be for nothing
COURSE_EVERY_S = 30.0


class MapSource(CommonSource, Protocol):
    """What the map shows. Raises LinkError while the database does not answer."""

    async def lampposts(self, by: SignedIn) -> Sequence[Lamppost]: ...
    async def districts(self, by: SignedIn, kind: str) -> Sequence[District]: ...
    async def conditions(self, by: SignedIn, lamppost: Lamppost) -> Sequence[Condition]: ...
    async def course(self, by: SignedIn, lamppost: Lamppost, kind: str, hours: int) -> IndexCourse: ...


class CityMap(ui.element, component="elements/city_map.js", esm={"nicegui-leaflet": str(LEAFLET)}):
    """Lampposts by place: coloured by index, told by number and shape; clusters; legend."""


class CityPanel(ui.element, component="elements/city_panel.js"):
    """The picked lamppost in short, with the way to its page."""


class LamppostList(ui.element, component="elements/lamppost_list.js"):
    """All lampposts: the map's alternative in text. Filter, order, pages, keyboard."""


class Districts(ui.element, component="elements/districts.js"):
    """Each district's index in a line."""


class MapViewer(PageViewer):
    """What one open map shows: which index, which lamppost, how far back."""

    def __init__(self, line: Line, source: MapSource, rolls: Callable[[SignedIn], Roll]) -> None:
        super().__init__(line, source)
        self._source, self._roll = source, rolls(line.who)
        self._wanted = ""
        self._has: int | None = None
        self.picked: int | None = None
        self.index, self.hours = "us", "24h"

    def restore(self, lamppost: str, index: str, hours: str) -> None:
        """What the page's address asks for; the lamppost is looked for once they are known."""
        self._wanted = lamppost
        self.choose_index(index)
        self.choose_hours(hours)

    def pick(self, lamppost: int | None) -> None:
        self.picked, self._wanted = lamppost, ""

    def choose_index(self, key: str) -> None:
        self.index = key if key in view.INDEX_KEYS else self.index

    def choose_hours(self, key: str) -> None:
        self.hours = key if key in HOURS else self.hours

    def topics(self, snapshot: Snapshot) -> Iterable[Topic]:
        yield districts(self._source, self.index)
        if not self.looks:
            return
        yield Topic(LAMPPOSTS, self._read_lampposts)
        posts: dict[int, Lamppost] = snapshot.found.get(LAMPPOSTS, {})
        if self._wanted and posts:
            found = next((p.id for p in posts.values() if p.address == self._wanted), None)
            if found is not None:
                self.pick(found)
        if LAMPPOSTS in snapshot.found and self.picked not in posts:
            self.picked = None
        if self.picked is not None and self.picked in posts:
            yield conditions(self._source, posts[self.picked])
            yield course(self._source, posts[self.picked], self.index, HOURS[self.hours])

    async def _read_lampposts(self, by: SignedIn) -> dict[int, Lamppost]:
        found = await self._source.lampposts(by)
        self._roll.take(found)
        return {post.id: post for post in found}

    def state(self, snapshot: Snapshot) -> Message:
        loaded = LAMPPOSTS in snapshot.found
        state: Message = {
            "loaded": loaded,
            "picked": self.picked,
            "index": self.index,
            "hours": self.hours,
            "missing": self._wanted if loaded else "",  # no lamppost of the address that was asked for
            "districts": [view.district(d) for d in snapshot.found.get(("districts", self.index), ())],
        }
        if self.picked is None:
            return state
        wrong = snapshot.found.get(("conditions", self.picked), ())
        known: IndexCourse | None = snapshot.found.get(("course", self.picked, self.index, HOURS[self.hours]))
        return state | {
            "conditions": [view.condition(c) for c in wrong],
            "course": view.course(known) if known else None,
        }

    def changes(self, snapshot: Snapshot) -> Message:
        if LAMPPOSTS not in snapshot.found:
            return {}
        has, self._has = self._has, self._roll.revision
        return self._roll.told(has)


def districts(source: MapSource, kind: str) -> Topic:
    async def read(by: SignedIn) -> Sequence[District]:
        return await source.districts(by, kind)

    return Topic(("districts", kind), read, of=NOTHING, every_s=DISTRICTS_EVERY_S)


def conditions(source: MapSource, post: Lamppost) -> Topic:
    async def read(by: SignedIn) -> Sequence[Condition]:
        return await source.conditions(by, post)

    return Topic(("conditions", post.id), read, of=NOTHING, stamp=(post.conditions, post.worst))


def course(source: MapSource, post: Lamppost, kind: str, hours: int) -> Topic:
    async def read(by: SignedIn) -> IndexCourse:
        return await source.course(by, post, kind, hours)

    return Topic(("course", post.id, kind, hours), read, of=NOTHING, stamp=post.index, every_s=COURSE_EVERY_S)


def register(frame: Frame, source: MapSource, kinds: Sequence[IndexKind], tiles: dict[str, Any]) -> None:
    """The page at `/`. tiles: {address, attribution}, empty for a map without any."""
    rolls: dict[Audience, Roll] = {}

    @frame.page("/", title="Map", area="map", styles=("leaflet/leaflet.css", "map.css"))
    def city(opened: Opened) -> PageViewer:
        viewer = MapViewer(opened.line, source, lambda who: rolls.setdefault(audience_of(who), Roll()))
        asked = opened.query
        viewer.restore(asked.get("lamppost", ""), asked.get("index", ""), asked.get("hours", ""))
        opened.seed |= {
            "kinds": [asdict(kind) for kind in kinds],
            "index": viewer.index,
            "hours": viewer.hours,
            "tiles": tiles,
        }
        with ui.element("div").classes("atlas"):
            with ui.element("div").classes("atlas-map"):
                CityMap().on("pick", opened.chosen(viewer.pick)).on(
                    "index", opened.chosen(viewer.choose_index)
                )
                Districts()
            with ui.element("div").classes("atlas-side"):
                CityPanel().on("pick", opened.chosen(viewer.pick)).on(
                    "hours", opened.chosen(viewer.choose_hours)
                )
                LamppostList().on("pick", opened.chosen(viewer.pick))
        return viewer
