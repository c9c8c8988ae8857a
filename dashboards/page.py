"""The operator's page: five views fed by one message a tick. What it shows is decided in `viewer.py`."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import nicegui
from fastapi import Request
from nicegui import Client, app, ui
from nicegui.events import GenericEventArguments

from dashboards import view
from dashboards.hub import Hub
from dashboards.model import DEFAULT_SPAN, SPANS
from dashboards.sessions import TOKEN, Sessions
from dashboards.viewer import Message, PageViewer
from fleet_server.access.service import SignedIn, permitted
from fleet_server.errors import LamppostError

ECHARTS = Path(nicegui.__file__).parent / "elements" / "echart" / "dist"  # the bundle that NiceGUI ships
Decide = Callable[[SignedIn, int, bool], Awaitable[None]]


class StatusBar(ui.element, component="elements/status_bar.js"):
    """City, connection, street clock, colours, sign out."""


class Notices(ui.element, component="elements/notices.js"):
    """What a person must know or decide: lost connections, pending enrolments."""


class LamppostList(ui.element, component="elements/lamppost_list.js"):
    """All lampposts with presence and freshness; filter, order, keyboard."""


class LamppostFacts(ui.element, component="elements/lamppost_detail.js"):
    """The picked lamppost in a few facts."""


class SeriesChart(ui.element, component="elements/series_chart.js", esm={"nicegui-echart": str(ECHARTS)}):
    """The live chart of one series."""


class LamppostTables(ui.element, component="elements/lamppost_tables.js"):
    """Conditions with remedy, newest readings, sensors."""


def register(city: str, hub: Hub, sessions: Sessions, decide: Decide) -> None:
    """The page at `/`. The guard has let through signed-in people only."""

    @ui.page("/", title=f"Lamppost {city}", language="en-US")
    async def console(request: Request, client: Client) -> None:
        who = await sessions.of(request.session, app.storage.user)
        if who is None:  # the session ended between the guard and here
            client.open("/sign-in")
            return
        query = request.query_params
        viewer = _viewer(client, who, str(app.storage.user[TOKEN]), sessions)
        series = query.get("series", "")
        viewer.restore(query.get("lamppost"), int(series) if series.isdecimal() else None, query.get("range"))
        seed = {
            "city": city,
            "operator": who.principal.name,
            "now": hub.now_ms(),
            "speed": hub.speed(),
            "range": viewer.span.key if viewer.span.key in SPANS else DEFAULT_SPAN,
            "ranges": view.ranges(),
            "may": {
                "decide": permitted(who.principal, "enrolments:decide"),
                "claim": permitted(who.principal, "claims:create"),
            },
        }
        _head(seed)
        _layout(hub, viewer, decide)
        client.on_connect(lambda: hub.join(viewer))
        client.on_delete(lambda: hub.leave(viewer))


def _head(seed: dict[str, Any]) -> None:
    ui.add_head_html('<link rel="stylesheet" href="/assets/lamppost.css">')
    text = json.dumps(seed).replace("<", "\\u003c")
    ui.add_head_html(f'<script type="application/json" id="lamppost-seed">{text}</script>')


def _viewer(client: Client, who: SignedIn, token: str, sessions: Sessions) -> PageViewer:
    def send(message: Message) -> None:
        client.run_javascript(f"lamppost.apply({json.dumps(message, separators=(',', ':'))})")

    async def welcome() -> bool:
        if await sessions.of_token(token) is not None:
            return True
        with client:
            client.open("/sign-in")
        return False

    return PageViewer(who, send=send, connected=lambda: client.has_socket_connection, welcome=welcome)


def _layout(hub: Hub, viewer: PageViewer, decide: Decide) -> None:
    def chosen(act: Callable[[Any], None]) -> Callable[[GenericEventArguments], None]:
        def handle(event: GenericEventArguments) -> None:
            act(event.args)
            hub.kick()

        return handle

    async def decided(event: GenericEventArguments) -> None:
        await _decide(event, hub, viewer, decide, notices)

    with ui.element("div").classes("page"):
        StatusBar()
        notices = Notices()
        notices.on("decide", decided)
        with ui.element("div").classes("columns"):
            LamppostList().on("pick", chosen(lambda value: viewer.pick(int(value))))
            with ui.element("div").classes("aside"):
                LamppostFacts()
                chart = SeriesChart()
                chart.on("channel", chosen(lambda value: viewer.choose_series(int(value))))
                chart.on("range", chosen(lambda value: viewer.choose_span(str(value))))
                LamppostTables()


async def _decide(
    event: GenericEventArguments, hub: Hub, viewer: PageViewer, decide: Decide, notices: Notices
) -> None:
    wanted, accept = int(event.args["id"]), bool(event.args["accept"])
    waiting = {p.id: p for p in hub.snapshot.pending}
    name = waiting[wanted].name if wanted in waiting else "The lamppost"
    problem = ""
    try:
        await decide(viewer.who, wanted, accept)
    except LamppostError as refused:
        problem = str(refused)
    notices.run_method("decided", wanted, name, accept, problem)
    hub.pending_changed()
