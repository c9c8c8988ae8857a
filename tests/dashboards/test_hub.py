"""One look for all viewers: counted queries, differences only, and the database going away."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest

from dashboards.hub import Hub
from dashboards.model import Chart, Detail, Lamppost, Pending, Reading, Span
from dashboards.viewer import Message, PageViewer
from fleet_server.access.service import SignedIn
from fleet_server.errors import DatabaseUnreachable
from tests.dashboards.test_view import NOW_MS, POST, READING

WHO = cast(SignedIn, object())


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

    async def detail(self, by: SignedIn, lamppost: Lamppost) -> Detail:
        self._count("detail")
        readings = (
            replace(READING, series=lamppost.id * 10),
            replace(READING, series=lamppost.id * 10 + 1, channel="pm10"),
        )
        return Detail(lamppost.id, "0.1.0", True, (), (), readings)

    async def chart(self, by: SignedIn, reading: Reading, span: Span, now_ms: int) -> Chart:
        self._count("chart")
        times = tuple(range(now_ms - 180_000, now_ms, 60_000))
        ones = (1.0,) * len(times)
        return Chart(reading.series, span, times[0], now_ms, 60, times, ones, ones, ones, ("",) * len(times))

    async def pending(self, by: SignedIn) -> Sequence[Pending]:
        self._count("pending")
        return []


@dataclass
class Browser:
    """A viewer that keeps its messages."""

    messages: list[Message] = field(default_factory=list)
    connected: bool = True
    welcome: bool = True

    def viewer(self) -> PageViewer:
        async def welcome() -> bool:
            return self.welcome

        return PageViewer(WHO, send=self.messages.append, connected=lambda: self.connected, welcome=welcome)

    def last(self) -> Message:
        return self.messages[-1]


class Rig:
    def __init__(self) -> None:
        self.city = City()
        self.seconds = 0.0
        self.hub = Hub(self.city, monotonic=lambda: self.seconds)

    def open(self, pick: int | None = None) -> tuple[Browser, PageViewer]:
        browser = Browser()
        viewer = browser.viewer()
        if pick is not None:
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


def test_nobody_watches_and_nothing_is_asked(rig: Rig) -> None:
    rig.look()
    assert rig.city.asked == {}


def test_ten_viewers_of_one_lamppost_cost_one_query_of_each_kind(rig: Rig) -> None:
    pages = [rig.open(pick=1) for _ in range(10)]
    rig.look()
    assert rig.city.asked == {"lampposts": 1, "detail": 1, "chart": 1, "pending": 1}
    assert all(browser.last()["chart"]["series"] == 10 for browser, _ in pages)
    rig.look()
    assert rig.city.asked == {"lampposts": 1}


def test_a_quiet_tick_sends_the_clock_alone(rig: Rig) -> None:
    browser, _ = rig.open(pick=1)
    rig.look()
    rig.look()
    assert set(browser.last()) == {"now", "speed"}


def test_a_commit_sends_the_row_and_the_new_points_only(rig: Rig) -> None:
    browser, _ = rig.open(pick=1)
    rig.look()
    rig.city.posts[0] = replace(POST, newest_ms=NOW_MS, value="13")
    rig.city.clock_ms += 60_000
    rig.look()
    message = browser.last()
    assert [row["id"] for row in message["rows"]] == [1]
    assert len(message["grow"]["t"]) == 2
    assert "chart" not in message
    assert "pending" not in message


def test_late_history_is_read_where_a_notification_names_the_lamppost(rig: Rig) -> None:
    rig.open(pick=1)
    rig.look()
    rig.hub.changed(frozenset({1}))
    rig.look()
    assert rig.city.asked == {"lampposts": 1, "detail": 1, "chart": 1}


def test_missed_notifications_mean_that_anything_may_have_changed(rig: Rig) -> None:
    rig.open(pick=1)
    rig.look()
    rig.hub.changed(None)
    rig.look()
    assert rig.city.asked == {"lampposts": 1, "detail": 1, "chart": 1}


def test_a_lamppost_that_is_gone_leaves_the_page(rig: Rig) -> None:
    browser, viewer = rig.open(pick=2)
    rig.look()
    del rig.city.posts[1]
    rig.look()
    assert browser.last()["gone"] == [2]
    assert browser.last()["picked"] is None
    assert viewer.picked is None


def test_the_address_of_the_page_picks_again(rig: Rig) -> None:
    browser, viewer = rig.open()
    viewer.restore("demo/markt", 21, "48h")
    rig.look()
    message = browser.last()
    assert (message["picked"], message["channel"], message["range"]) == (2, 21, "48h")
    assert message["chart"]["title"] == "PM10"


def test_the_database_away_keeps_what_was_seen_and_recovers(rig: Rig) -> None:
    browser, _ = rig.open(pick=1)
    rig.look()
    rig.city.down = True
    rig.city.clock_ms += 5000
    rig.look()
    fault: dict[str, Any] = browser.last()["fault"]
    assert "database" in fault["title"]
    assert fault["since"] == NOW_MS
    assert "rows" not in browser.last()
    assert "gone" not in browser.last()
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
    browser, _ = rig.open(pick=1)
    rig.look()
    browser.connected = False
    rig.city.posts[1] = replace(rig.city.posts[1], value="99")
    rig.look()
    assert len(browser.messages) == 1
    browser.connected = True
    rig.look()
    assert [row["value"] for row in browser.last()["rows"]] == ["99"]


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
            while "chart" not in browser.last():
                await asyncio.sleep(0.01)
        running.cancel()

    asyncio.run(choose())
