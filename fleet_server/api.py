"""The HTTP API, put together: the slices' routes, the guard before them, the envelope around them.

Two applications: `create_app` for people and programs, `create_device_app` for devices that enrol (over TLS).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter, Depends, FastAPI

from fleet_server import health_routes, live_routes, problems, tunnel
from fleet_server.access import account_routes, approval_routes, operator_routes, token_routes
from fleet_server.access import routes as access_routes
from fleet_server.access.asker import signed_in
from fleet_server.air import routes as air_routes
from fleet_server.auditor import routes as auditor_routes
from fleet_server.commands import routes as commands_routes
from fleet_server.context import Context
from fleet_server.decisions import routes as decisions_routes
from fleet_server.devices import routes as devices_routes
from fleet_server.enrolment import routes as enrolment_routes
from fleet_server.envelope import Envelope
from fleet_server.head import Head
from fleet_server.health import HealthDesk
from fleet_server.limits import routes as limits_routes
from fleet_server.live import LiveHub
from fleet_server.openapi_document import describe
from fleet_server.parameters import known_parameters
from fleet_server.privacy import routes as privacy_routes
from fleet_server.sensorthings import routes as sensorthings_routes
from fleet_server.technician import routes as technician_routes
from fleet_server.telemetry import routes as telemetry_routes
from fleet_server.tenants import routes as tenants_routes
from fleet_server.tenants.gate import gate_of, within_quota
from fleet_server.twin import group_routes
from fleet_server.twin import routes as twin_routes

TITLE = "Lamppost"
CANCEL_AGAIN_S = 1.0  # what listens ends within milliseconds, once it hears it
OPENAPI_PATH = "/api/v1/openapi.json"
GUARDED: tuple[APIRouter, ...] = (
    account_routes.router,
    operator_routes.router,
    token_routes.router,
    approval_routes.router,
    devices_routes.router,
    commands_routes.router,
    twin_routes.router,
    group_routes.router,
    telemetry_routes.router,
    air_routes.router,
    enrolment_routes.router,
    decisions_routes.router,
    auditor_routes.router,
    privacy_routes.router,
    technician_routes.router,
    limits_routes.router,
    tenants_routes.router,
    live_routes.router,
)
# Everything else needs a session.
OPEN = {
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("POST", "/api/v1/session"),
    ("POST", "/api/v1/session/second-factor"),  # by the ticket of the first step
    ("POST", "/api/v1/session/second-factor/set-up"),
    ("POST", "/api/v1/session/oidc-logout"),  # by a token that the OpenID provider signed
    ("DELETE", "/api/v1/session"),  # signing out twice is no error
}


def create_app(context: Context) -> FastAPI:
    """The API of `context`. Connects to nothing before it is started."""
    config = context.config.api
    app = build_app(config.max_body_bytes, config.behind_tls)
    serve(app, context)
    return app


def build_app(max_body_bytes: int, behind_tls: bool) -> FastAPI:
    """The API without a city behind it; `serve` gives it one, and not before the last one's is shut down."""
    app = FastAPI(title=TITLE, lifespan=_lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    _outfit(app, max_body_bytes, behind_tls)
    app.include_router(health_routes.router)
    app.include_router(access_routes.router)
    counted = [Depends(signed_in), Depends(within_quota)]
    for router in GUARDED:
        app.include_router(router, dependencies=[*counted, Depends(known_parameters)])
    # its parameters are a language of their own (OData), read and refused by its parser
    app.include_router(sensorthings_routes.router, dependencies=counted)

    @app.get(OPENAPI_PATH, include_in_schema=False, dependencies=counted)
    def openapi_document() -> dict[str, Any]:
        return app.openapi()

    app.openapi = lambda: describe(app, OPEN)  # type: ignore[method-assign]
    return app


def create_device_app(context: Context) -> FastAPI:
    """Enrolment over secure transport (RFC 7030) and nothing else; a device proves itself by its claim."""
    app = FastAPI(title=f"{TITLE} enrolment", docs_url=None, redoc_url=None, openapi_url=None)
    _outfit(app, context.config.api.max_body_bytes, context.config.api.behind_tls)
    serve(app, context)
    app.include_router(enrolment_routes.est_router)
    app.include_router(tunnel.router)
    return app


def serve(app: FastAPI, context: Context) -> None:
    app.state.context = context
    app.state.health = HealthDesk(context)
    app.state.live = LiveHub(context.db.url)
    app.state.gate = gate_of(context)


def _outfit(app: FastAPI, max_body_bytes: int, behind_tls: bool) -> None:
    problems.install(app)
    app.add_middleware(Head)
    app.add_middleware(
        Envelope,
        max_body_bytes=max_body_bytes,
        behind_tls=behind_tls,
        larger=technician_routes.LARGER_BODIES,
    )


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    live: LiveHub = app.state.live
    listening = asyncio.create_task(live.run(), name="live events")
    yield
    live.close()
    await _end(listening)


async def _end(task: asyncio.Task[None]) -> None:
    """Cancel until it is over: a library in the middle of its work may swallow a cancellation."""
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=CANCEL_AGAIN_S)
