"""The HTTP API for a test: made once in a process, given each test's city in turn.

FastAPI works out a route at its first request: a third of a second for what a test asks of a new application.
"""

from __future__ import annotations

from functools import cache

from fastapi import FastAPI

from fleet_server.api import build_app, serve
from fleet_server.context import Context


def app_of(context: Context) -> FastAPI:
    """The API of `context`, until the next call: for a test's own fixture, never a module's.

    A test that adds routes to its application makes one of its own (`create_app`).
    """
    app = _built(context.config.api.max_body_bytes, context.config.api.behind_tls)
    app.dependency_overrides.clear()
    serve(app, context)
    return app


@cache
def _built(max_body_bytes: int, behind_tls: bool) -> FastAPI:
    return build_app(max_body_bytes, behind_tls)
