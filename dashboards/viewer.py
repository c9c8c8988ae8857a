"""One open page: what its browser already has. Sends differences only."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

from dashboards import topics, view
from dashboards.hub import Snapshot
from dashboards.topics import INCIDENTS_OPEN, PENDING, USED_TWICE, CommonSource, Topic
from fleet_server.access.service import SignedIn, permitted

Message = dict[str, Any]


@dataclass(frozen=True)
class Line:
    """The way to one page's browser.

    `send` delivers a message, `connected`: does the browser listen, `welcome`: does its session live.
    """

    who: SignedIn
    send: Callable[[Message], None]
    connected: Callable[[], bool]
    welcome: Callable[[], Awaitable[bool]]


class PageViewer:
    """What every page is told. A page of its own adds `topics`, `state` and, where it must, `changes`."""

    def __init__(self, line: Line, source: CommonSource) -> None:
        self.who = line.who
        self.looks = permitted(line.who.principal, "devices:read")  # a data partner sees districts alone
        self.decides = permitted(line.who.principal, "enrolments:decide")
        self._line = line
        self._common = source
        self._sent: Message = {}

    def topics(self, snapshot: Snapshot) -> Iterable[Topic]:  # noqa: ARG002
        """What this page wants read. Asked again after each round: what was found tells what else to read."""
        return ()

    def state(self, snapshot: Snapshot) -> Message:  # noqa: ARG002
        """What the browser should know, by name in its store; each is sent where it differs from before."""
        return {}

    def changes(self, snapshot: Snapshot) -> Message:  # noqa: ARG002
        """What is sent as it is: differences that the page has worked out itself."""
        return {}

    async def still_welcome(self) -> bool:
        return await self._line.welcome()

    def wants(self, snapshot: Snapshot) -> Iterable[Topic]:
        if self.looks:
            yield from topics.common(self._common)
        if self.decides:
            yield topics.used_twice(self._common)
        yield from self.topics(snapshot)

    def show(self, snapshot: Snapshot) -> None:
        """Send what differs from what the browser has, in one message; nothing while it does not listen."""
        if not self._line.connected():
            return
        state = {
            "fault": snapshot.fault,
            "pending": view.pending(snapshot.found.get(PENDING, ())),
            "used_twice": view.used_twice(snapshot.found.get(USED_TWICE, ())),
            "incidents_open": snapshot.found.get(INCIDENTS_OPEN),
        } | self.state(snapshot)
        message: Message = {"now": snapshot.now_ms, "speed": snapshot.speed}
        message |= {k: v for k, v in state.items() if k not in self._sent or self._sent[k] != v}
        self._sent |= state
        self._line.send(message | self.changes(snapshot))
