"""Fixtures of the telemetry tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fleet_server.telemetry.support import Desk, Post


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
