"""Puts the application together. Imported by `app.py` only after NiceGUI's storage path is set.

The outer FastAPI application has no route: no documentation, no schema, nothing beside the mount, because
NiceGUI's middleware covers its own part only. The guard stands inside it and covers all of it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from fastapi import FastAPI
from nicegui import app, ui
from starlette.responses import PlainTextResponse, Response

from dashboards import (
    account_page,
    advance_page,
    approvals_page,
    astray,
    audit_page,
    groups_page,
    headers,
    incident_pages,
    lamppost_page,
    map_page,
    people_page,
    phone_pages,
    phone_site_pages,
    sign_in,
    standing_page,
    tenants_page,
    tokens_page,
)
from dashboards.arrival import Arrival
from dashboards.data import Services
from dashboards.data_air import Air
from dashboards.data_incidents import Incidents
from dashboards.data_lamppost import Posts
from dashboards.data_map import MapServices, index_kinds
from dashboards.data_orders import Orders
from dashboards.desk import Desk
from dashboards.frame import Frame
from dashboards.guard import Guard
from dashboards.headers import ScriptNonce, SecurityHeaders
from dashboards.hub import Hub
from dashboards.secret import load_or_make
from dashboards.sessions import Sessions
from fleet_server.config import ServerConfig

log = logging.getLogger("lamppost.ui")

STATIC = Path(__file__).parent / "static"
ASSET_MAX_AGE_S = (
    300  # they change with a release only; a page after an upgrade must not stay broken for long
)
# pages that are forms without a script
DESK = (
    account_page,
    people_page,
    tokens_page,
    approvals_page,
    audit_page,
    tenants_page,
    standing_page,
    advance_page,
    groups_page,
    phone_pages,
    phone_site_pages,
)
RECONNECT_S = 10.0  # a page that was away this long (a lift, a lid) finds its state; later it loads again
MESSAGES_KEPT = 60  # messages resent after a short interruption: more ticks than RECONNECT_S has


def build(config: ServerConfig, services: Services) -> FastAPI:
    """The application of the `ui` role. Once a process: NiceGUI keeps its application in a global."""
    sessions = Sessions(services)
    hub = Hub(services, monotonic=time.monotonic)
    city = config.tenant.name

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(hub.run()), asyncio.create_task(services.listen(hub.changed))]
        yield
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        services.close()

    web = FastAPI(title="Lamppost", docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    tiles = {"address": config.ui.map_tiles, "attribution": config.ui.map_attribution}
    app.add_static_files("/assets/leaflet", map_page.LEAFLET / "leaflet", max_cache_age=ASSET_MAX_AGE_S)
    app.add_static_files("/assets", STATIC, max_cache_age=ASSET_MAX_AGE_S)
    sign_in.register(city, services, sessions, config.oidc.title if config.oidc.issuer else "")
    astray.register()
    desk = Desk(city, services, sessions)
    for pages in DESK:
        pages.register(desk)
    frame = Frame(city, hub, sessions, services.decide, services.waiting)
    map_page.register(frame, MapServices(services), index_kinds(), tiles)
    air = Air(services)
    incident_pages.register(frame, services, Incidents(services), air)
    lamppost_page.register(frame, services, Posts(services), air, Orders(services))
    app.get("/healthz", include_in_schema=False)(_alive)
    app.add_middleware(ScriptNonce, images=headers.origin_of(config.ui.map_tiles))
    app.add_middleware(Guard, sessions=sessions)
    https = config.api.behind_tls
    ui.run_with(
        web,
        title=f"Lamppost {city}",
        favicon=STATIC / "lamppost.svg",
        language="en-US",
        dark=False,
        binding_refresh_interval=None,
        reconnect_timeout=RECONNECT_S,
        message_history_length=MESSAGES_KEPT,
        tailwind=False,
        storage_secret=load_or_make(config.ui.secret_file),
        session_middleware_kwargs={
            "session_cookie": "__Host-lamppost_ui" if https else "lamppost_ui",
            "same_site": "strict",
            "https_only": https,
            "max_age": None,
        },
        show_welcome_message=False,
    )
    web.add_middleware(Arrival)
    web.add_middleware(SecurityHeaders, https=https)
    return web


def _alive() -> Response:
    return PlainTextResponse("ok")
