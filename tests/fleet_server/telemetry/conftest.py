"""Fixtures of the telemetry tests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fleet_server.clock import StreetClock
from fleet_server.context import Context
from tests.fleet_server.telemetry.support import NOW_MS, Desk, Post
from tests.support.server_context import make_context


@pytest.fixture
def desk(database_url: str) -> Iterator[Desk]:
    made = Desk(database_url)
    yield made
    made.close()


@pytest.fixture
def post(desk: Desk) -> Post:
    """An active lamppost."""
    made = Post()
    desk.register(made)
    return made


@pytest.fixture
def context(database_url: str, tmp_path: Path) -> Iterator[Context]:
    """What services are given; its street clock stands at NOW."""
    made = replace(make_context(database_url, tmp_path), clock=StreetClock(wall_ms=lambda: float(NOW_MS)))
    yield made
    made.db.close()
