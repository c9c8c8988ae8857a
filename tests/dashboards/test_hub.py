"""One look for all viewers: counted readings, differences only, and the database going away."""

from __future__ import annotations

import asyncio
import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from dashboards.hub import Hub, Snapshot
from dashboards.map_page import MapViewer
from dashboards.model import Condition, District, IndexCourse, IndexNow, Lamppost, Pending, UsedTwice
from dashboards.roll import Ready, Roll
from dashboards.topics import PENDING, Topic
from dashboards.viewer import Line, Message, PageViewer
from fleet_server.access.service import SignedIn
from fleet_server.errors import DatabaseUnreachable, NotFound
from tests.dashboards.test_view import NOW_MS, POST
from tests.support.server_context import VIEWER

WHO = cast(SignedIn, SimpleNamespace(principal=VIEWER))


class City:
    """A source in memory that counts what it is asked."""

    def __init__(self) -> None:
        self.posts = [POST, replace(POST, id=2, name="markt")]
        self.asked: Counter[str] = Counter()
        self.down = False
        self.clock_ms = NOW_MS

    def now_ms(self) -> int:
        return self.clock_ms

    def speed(self) -> float:
        return 1.0

    def _count(self, what: str) -> None:
        if self.down:
            raise DatabaseUnreachable("away")
        self.asked[what] += 1

    async def lampposts(self, by: SignedIn) -> Sequence[Lamppost]:
        self._count("lampposts")
        return list(self.posts)

    async def districts(self, by: SignedIn, kind: str) -> Sequence[District]:
        self._count("districts")
        return [District("Harbour", IndexNow(42, 1, "pm2_5"), 2, NOW_MS)]

    async def conditions(self, by: SignedIn, lamppost: Lamppost) -> Sequence[Condition]:
        self._count("conditions")
        return []

    async def course(self, by: SignedIn, lamppost: Lamppost, kind: str, hours: int) -> IndexCourse:
        self._count("course")
        return IndexCourse(lamppost.id, kind, hours, (NOW_MS,), (42,), (1,))

    async def pending(self, by: SignedIn) -> Sequence[Pending]:
        self._count("pending")
        return []

    async def used_twice(self, by: SignedIn) -> Sequence[UsedTwice]:
        self._count("used_twice")
        return []

    async def incidents_open(self, by: SignedIn) -> int | None:
        self._count("incidents_open")
        return 0


@dataclass
class Browser:
    """The other end of a page's line: keeps its messages."""

    messages: list[Message] = field(default_factory=list)
    connected: bool = True
    welcome: bool = True

    def line(self) -> Line:
        async def welcome() -> bool:
            return self.welcome

        return Line(WHO, send=self.messages.append, connected=lambda: self.connected, welcome=welcome)

    def last(self) -> Message:
        return self.messages[-1]


class Rig:
    def __init__(self) -> None:
        self.city = City()
        self.seconds = 0.0
        self.hub = Hub(self.city, monotonic=lambda: self.seconds)
        self.roll = Roll()

    def open(self, pick: int | None = None) -> tuple[Browser, MapViewer]:
        browser = Browser()
        viewer = MapViewer(browser.line(), self.city, lambda _: self.roll)
        viewer.pick(pick)
        self.hub.join(viewer)
        return browser, viewer

    def look(self) -> None:
        self.city.asked.clear()
        self.seconds += 1
        asyncio.run(self.hub.look())


@pytest.fixture
def rig() -> Rig:
    return Rig()


def told(message: Message) -> dict[str, Any]:
    """What the browser reads, without the clock."""
    return {
        k: json.loads(v.text) if isinstance(v, Ready) else v
        for k, v in message.items()
        if k not in ("now", "speed")
    }


def test_nobody_watches_and_nothing_is_asked(rig: Rig) -> None:
    rig.look()
    assert rig.city.asked == {}


def test_ten_viewers_of_one_lamppost_cost_one_query_of_each_kind(rig: Rig) -> None:
    pages = [rig.open(pick=1) for _ in range(10)]
    rig.look()
    assert set(rig.city.asked.values()) == {1}
    assert set(rig.city.asked) == {
        "lampposts",
        "districts",
        "conditions",
        "course",
        "pending",
        "incidents_open",
    }
    assert all(browser.last()["course"]["v"] == [42] for browser, _ in pages)
    rig.look()
    assert rig.city.asked == {"lampposts": 1, "incidents_open": 1}


def test_the_roll_is_worked_out_once_for_ten_viewers(rig: Rig) -> None:
    pages = [rig.open() for _ in range(10)]
    rig.look()
    rig.city.posts[0] = replace(POST, value="13")
    rig.look()
    assert rig.roll.revision == 2
    assert len({id(browser.last()["cells"]) for browser, _ in pages}) == 1


def test_a_quiet_tick_sends_the_clock_alone(rig: Rig) -> None:
    browser, _ = rig.open(pick=1)
    rig.look()
    rig.look()
    assert set(browser.last()) == {"now", "speed"}


def test_a_commit_sends_what_changed_of_the_lamppost_only(rig: Rig) -> None:
    browser, _ = rig.open()
    rig.look()
    assert [row["id"] for row in told(browser.last())["roll"]] == [1, 2]
    rig.city.posts[0] = replace(POST, newest_ms=NOW_MS, value="13")
    rig.look()
    assert told(browser.last()) == {"cells": {"latest": [[1], [NOW_MS]], "value": [[1], ["13"]]}}


def test_a_lamppost_that_is_gone_leaves_the_page(rig: Rig) -> None:
    browser, viewer = rig.open(pick=2)
    rig.look()
    del rig.city.posts[1]
    rig.look()
    assert told(browser.last())["gone"] == [2]
    assert browser.last()["picked"] is None
    assert viewer.picked is None


def test_the_address_of_the_page_picks_again(rig: Rig) -> None:
    browser, viewer = rig.open()
    viewer.restore("demo/markt", "eu", "7d")
    rig.look()
    message = browser.last()
    assert (message["picked"], message["index"], message["hours"]) == (2, "eu", "7d")
    assert message["course"]["hours"] == 168
    assert message["missing"] == ""


def test_an_unknown_lamppost_in_the_address_is_told_and_none_is_picked(rig: Rig) -> None:
    browser, viewer = rig.open()
    viewer.restore("demo/nope", "no index", "no range")
    rig.look()
    message = browser.last()
    assert (message["picked"], message["missing"]) == (None, "demo/nope")
    assert (message["index"], message["hours"]) == ("us", "24h")
    viewer.pick(None)
    rig.look()
    assert browser.last()["missing"] == ""


def test_an_unknown_lamppost_is_shown_once_it_is_enrolled(rig: Rig) -> None:
    browser, viewer = rig.open()
    viewer.restore("demo/late", "", "")
    rig.look()
    rig.city.posts.append(replace(POST, id=3, name="late"))
    rig.look()
    assert (browser.last()["picked"], browser.last()["missing"]) == (3, "")


def test_the_database_away_keeps_what_was_seen_and_recovers(rig: Rig) -> None:
    browser, _ = rig.open(pick=1)
    rig.look()
    rig.city.down = True
    rig.city.clock_ms += 5000
    rig.look()
    fault: dict[str, Any] = browser.last()["fault"]
    assert "database" in fault["title"]
    assert fault["since"] == NOW_MS
    assert not {"roll", "rows", "gone", "cells", "picked"} & set(browser.last())
    rig.city.down = False
    rig.look()
    assert browser.last()["fault"] is None


def test_a_page_whose_session_ended_is_told_nothing_more(rig: Rig) -> None:
    browser, _ = rig.open(pick=1)
    rig.look()
    browser.welcome = False
    rig.look()
    assert len(browser.messages) == 1
    assert rig.city.asked == {}


def test_a_page_that_was_away_gets_what_it_missed_in_one_message(rig: Rig) -> None:
    browser, _ = rig.open()
    other, _ = rig.open()
    rig.look()
    browser.connected = False
    for value in ("98", "99"):
        rig.city.posts[1] = replace(rig.city.posts[1], value=value)
        rig.look()
    assert len(browser.messages) == 1
    browser.connected = True
    rig.look()
    assert [row["value"] for row in told(browser.last())["roll"]] == ["12", "99"]
    assert told(other.last()) == {}


def test_a_persons_choice_is_answered_at_once(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dashboards.hub.TICK_S", 3600.0)  # a commit would wait for an hour
    browser, viewer = rig.open()

    async def choose() -> None:
        running = asyncio.create_task(rig.hub.run())
        async with asyncio.timeout(10):
            while not browser.messages:
                await asyncio.sleep(0.01)
            viewer.pick(1)
            rig.hub.kick()
            while "course" not in browser.last():
                await asyncio.sleep(0.01)
        running.cancel()

    asyncio.run(choose())


class Reader(PageViewer):
    """A page that wants the topics it is given."""

    def __init__(self, line: Line, city: City, *wanted: Topic) -> None:
        super().__init__(line, city)
        self.wanted = wanted

    def topics(self, snapshot: Snapshot) -> Iterable[Topic]:
        return self.wanted

    def state(self, snapshot: Snapshot) -> Message:
        return {"found": snapshot.found.get(("x",)), "refused": snapshot.refused.get(("x",))}


def topic(read: Callable[[], Any], **how: Any) -> Topic:
    async def reading(by: SignedIn) -> Any:
        return read()

    return Topic(("x",), reading, **how)


@pytest.mark.parametrize(
    ("how", "change", "readings"),
    [
        pytest.param({"of": frozenset({7})}, None, 1, id="nothing happened"),
        pytest.param({"of": frozenset({7})}, frozenset({7}), 2, id="its lamppost committed"),
        pytest.param({"of": frozenset({7})}, frozenset({8}), 1, id="another committed"),
        pytest.param({"of": frozenset()}, "missed", 2, id="notifications were missed"),
        pytest.param({}, None, 2, id="of any: read at every look"),
        pytest.param({"of": frozenset(), "every_s": 1.0}, None, 2, id="after its time"),
        pytest.param({"of": frozenset(), "every_s": 1.5}, None, 1, id="before its time"),
    ],
)
def test_a_topic_is_read_again_when_it_is_old(
    rig: Rig, how: dict[str, Any], change: Any, readings: int
) -> None:
    count: list[int] = []
    rig.hub.join(Reader(Browser().line(), rig.city, topic(lambda: count.append(1), **how)))
    rig.look()
    if change is not None:
        rig.hub.changed(None if change == "missed" else change)
    rig.look()
    assert len(count) == readings


def test_another_stamp_makes_a_topic_old(rig: Rig) -> None:
    count: list[int] = []
    viewer = Reader(Browser().line(), rig.city, topic(lambda: count.append(1), of=frozenset(), stamp="a"))
    rig.hub.join(viewer)
    rig.look()
    viewer.wanted = (topic(lambda: count.append(1), of=frozenset(), stamp="b"),)
    rig.look()
    rig.look()
    assert len(count) == 2


def test_a_commit_while_the_database_is_away_is_not_forgotten(rig: Rig) -> None:
    count: list[int] = []
    rig.hub.join(Reader(Browser().line(), rig.city, topic(lambda: count.append(1), of=frozenset({7}))))
    rig.look()
    rig.city.down = True
    rig.hub.changed(frozenset({7}))
    rig.look()
    rig.city.down = False
    rig.look()
    assert len(count) == 2


def test_one_pages_wish_that_is_refused_is_no_fault_of_the_others(rig: Rig) -> None:
    def refuse() -> None:
        raise NotFound("There is no incident 12.")

    odd, other = Browser(), Browser()
    rig.hub.join(Reader(odd.line(), rig.city, topic(refuse)))
    rig.hub.join(Reader(other.line(), rig.city))
    rig.look()
    assert "no incident 12" in odd.last()["refused"]
    assert odd.last()["fault"] is None
    assert other.last()["fault"] is None


def test_what_nobody_wants_any_more_is_let_go(rig: Rig) -> None:
    viewer = Reader(Browser().line(), rig.city, topic(lambda: 5))
    rig.hub.join(viewer)
    rig.look()
    assert rig.hub.snapshot_of(WHO).found[("x",)] == 5
    viewer.wanted = ()
    rig.look()
    assert ("x",) not in rig.hub.snapshot_of(WHO).found


def test_a_forgotten_topic_is_read_at_once(rig: Rig) -> None:
    rig.hub.join(Reader(Browser().line(), rig.city))
    rig.look()
    rig.look()
    assert rig.city.asked["pending"] == 0
    rig.hub.forget(PENDING)
    rig.look()
    assert rig.city.asked["pending"] == 1


def test_each_tenant_and_role_has_readings_of_its_own(rig: Rig) -> None:
    """What an administrator may see is not read once and shown to a partner or another city."""
    porto = replace(VIEWER, tenant="porto")
    asked: list[str] = []

    async def read(by: SignedIn) -> str:
        asked.append(by.principal.tenant)
        return by.principal.tenant

    browsers = [Browser() for _ in range(3)]
    for browser, who in zip(browsers, (VIEWER, porto, porto), strict=True):
        line = replace(browser.line(), who=cast(SignedIn, SimpleNamespace(principal=who)))
        rig.hub.join(Reader(line, rig.city, Topic(("x",), read)))
    rig.look()
    assert [browser.last()["found"] for browser in browsers] == ["*", "porto", "porto"]
    assert sorted(asked) == ["*", "porto"]


def test_topics_with_one_key_are_one_topic() -> None:
    one, other = topic(lambda: 1, every_s=1.0), topic(lambda: 2, every_s=math.inf)
    assert one == other


def test_one_pages_mistake_is_not_the_others(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    _, broken = rig.open()
    well, _ = rig.open()
    monkeypatch.setattr(broken, "state", lambda _: 1 // 0)
    rig.look()
    assert well.last()["incidents_open"] == 0
