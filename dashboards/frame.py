"""The frame of every page: header, navigation, notices, live region; and how a page is registered.

    @frame.page("/incidents", title="Incidents", area="incidents")
    def incidents(opened: Opened) -> PageViewer:
        viewer = IncidentsViewer(opened.line, source)
        IncidentList().on("pick", opened.chosen(lambda value: viewer.pick(int(value))))
        return viewer

The function builds the page's own elements and returns its viewer; the frame stands around them. The viewer
joins the hub when the browser listens. What is in `opened.seed` is in the browser's store from the start.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

from fastapi import Request
from nicegui import Client, app, ui
from nicegui.events import GenericEventArguments

from dashboards import areas
from dashboards.asked_from import saying_why, why_in
from dashboards.hub import Hub
from dashboards.roll import encoded
from dashboards.sessions import TOKEN, Sessions
from dashboards.topics import PENDING
from dashboards.viewer import Line, Message, PageViewer
from fleet_server.access.service import SignedIn, permitted
from fleet_server.errors import LamppostError

Decide = Callable[[SignedIn, int, bool], Awaitable[None]]
Waiting = Callable[[SignedIn], Awaitable[int | None]]
MAY = {  # what a page may offer, by its name in the browser's store; the services check it again
    "decide": "enrolments:decide",
    "claim": "claims:create",
    "look": "devices:read",
}
# What is there until the scripts are: the header's ground and its city. header.js takes it away.
FIRST = (
    '<div id="first" class="page"><div class="bar"><span class="home"><span class="product">Lamppost</span>'
    ' <span class="city">{city}</span></span></div><p class="muted">Loading {title}.</p></div>'
)
NUMBER_MOST = 2**31 - 1  # of what the database numbers with four bytes
GOODBYE_S = 1.0  # for the browser to be told where to go
# Before the first paint, so that a dark page never flashes white.
THEME = "document.documentElement.dataset.theme = localStorage.getItem('lamppost-colours') ?? 'auto'"


class Header(ui.element, component="elements/header.js"):
    """Skip link, city, navigation, connection, street clock, colours, sign out, keyboard help."""


class Notices(ui.element, component="elements/notices.js"):
    """What a person must know or decide: lost connections, pending enrolments."""


@dataclass
class Opened:
    """A page that is being built for one person."""

    line: Line
    path: Mapping[str, str]  # the address's parameters: {"name": ...} of /lamppost/{tenant}/{name}
    query: Mapping[str, str]
    hub: Hub
    seed: dict[str, Any] = field(default_factory=dict)

    @property
    def who(self) -> SignedIn:
        return self.line.who

    def may(self, action: str) -> bool:
        """Shall the page offer it? The service decides again."""
        return permitted(self.who.principal, action)

    def chosen(self, act: Callable[[Any], None]) -> Callable[[GenericEventArguments], None]:
        """A handler of an element's event: takes what the browser sent, and asks for a look at once."""

        def handle(event: GenericEventArguments) -> None:
            act(event.args)
            self.hub.kick()

        return handle


Build = Callable[[Opened], PageViewer]


class Frame:
    """Registers pages. The guard has let through signed-in people only."""

    def __init__(self, city: str, hub: Hub, sessions: Sessions, decide: Decide, waiting: Waiting) -> None:
        """waiting: how many requests wait for somebody's yes or no; asked when a page is opened."""
        self._city, self._hub, self._sessions = city, hub, sessions
        self._decide, self._waiting = decide, waiting

    def page(
        self, path: str, *, title: str, area: str = "", styles: Sequence[str] = ()
    ) -> Callable[[Build], Build]:
        """Serve what the function builds at `path`; `area` is the entry of the navigation that is marked.

        styles: sheets under /assets that the page adds to the shared one.
        """

        def register(build: Build) -> Build:
            @ui.page(path, title=f"{title} - Lamppost {self._city}", language="en-US")
            async def show(request: Request, client: Client) -> None:
                who = await self._sessions.of(request.session, app.storage.user)
                if who is None:  # the session ended between the guard and here
                    client.open("/sign-in")
                    return
                waiting = await self._waiting(who)
                self._build(build, request, client, who, {"area": area, "approvals": waiting})
                ui.add_body_html(FIRST.format(city=escape(self._city), title=escape(title.lower())))
                for sheet in ("lamppost.css", *styles):
                    ui.add_head_html(f'<link rel="stylesheet" href="/assets/{sheet}">')

            return build

        return register

    def _build(
        self, build: Build, request: Request, client: Client, who: SignedIn, seed: dict[str, Any]
    ) -> None:
        hub = self._hub
        line = _line(client, who, str(app.storage.user[TOKEN]), self._sessions)
        opened = Opened(line, request.path_params, dict(request.query_params), hub, seed)
        seed |= {
            "city": self._city,
            "areas": areas.rows(areas.MAIN, opened.may),
            "more": areas.rows(areas.MORE, opened.may),
            "operator": who.principal.name,
            "now": hub.now_ms(),
            "speed": hub.speed(),
            "may": {name: opened.may(action) for name, action in MAY.items()},
        }
        with ui.element("div").classes("page"):
            Header()
            notices = Notices()
            with (
                ui.element("div").classes("main").props('id=main tabindex=-1 role=main aria-label="Content"')
            ):
                viewer = build(opened)

        async def decided(event: GenericEventArguments) -> None:
            await _decide(event, hub, who, self._decide, notices)

        notices.on("decide", decided)
        _head(seed)
        client.on_connect(lambda: hub.join(viewer))
        client.on_delete(lambda: hub.leave(viewer))


def _head(seed: dict[str, Any]) -> None:
    text = json.dumps(seed).replace("<", "\\u003c")
    ui.add_head_html(f"<script>{THEME}</script>")
    ui.add_head_html(f'<script type="application/json" id="lamppost-seed">{text}</script>')


def _line(client: Client, who: SignedIn, token: str, sessions: Sessions) -> Line:
    """The page acts for `who` as they were when it was opened: it ends with the session, with other roles or
    another tenant."""

    def send(message: Message) -> None:
        client.run_javascript(f"lamppost.apply({encoded(message)})")

    async def welcome() -> bool:
        found = await sessions.of_token(token)
        if found is not None and found.principal == who.principal:
            return True
        with client:
            client.open("/sign-in")
        asyncio.get_running_loop().call_later(GOODBYE_S, _forget, client)
        return False

    return Line(who, send=send, connected=lambda: client.has_socket_connection, welcome=welcome)


def _forget(client: Client) -> None:
    """From now on nothing that its browser sends is done: one that stayed acts for nobody."""
    if not client.is_deleted:
        client.delete()


async def _decide(
    event: GenericEventArguments, hub: Hub, who: SignedIn, decide: Decide, notices: Notices
) -> None:
    asked = _decision_of(event.args)
    if asked is None:
        return  # it names nobody whom an answer could be about
    wanted, accept = asked
    waiting = {p.id: p for p in hub.snapshot_of(who).found.get(PENDING, ())}
    name = waiting[wanted].name if wanted in waiting else "The lamppost"
    problem = ""
    try:
        with saying_why(why_in(event.args)):
            await decide(who, wanted, accept)
    except LamppostError as refused:
        problem = str(refused)
    notices.run_method("decided", wanted, name, accept, problem)
    hub.forget(PENDING)


def _decision_of(sent: Any) -> tuple[int, bool] | None:
    """(which request, let in?) of what a browser sent; None for garbage."""
    wanted, accept = (sent.get("id"), sent.get("accept")) if isinstance(sent, dict) else (None, None)
    if not isinstance(wanted, int) or isinstance(wanted, bool) or not 1 <= wanted <= NUMBER_MOST:
        return None
    return (wanted, accept) if isinstance(accept, bool) else None
