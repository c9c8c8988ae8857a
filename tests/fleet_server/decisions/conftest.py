"""The decisions tests use the telemetry tests' desk: verdicts come in by the ingest."""

from __future__ import annotations

import pytest

from tests.fleet_server.decisions.street import Street, street_of
from tests.fleet_server.telemetry.conftest import context, desk, post
from tests.fleet_server.telemetry.support import Desk

__all__ = ["context", "desk", "post", "street"]


@pytest.fixture
def street(desk: Desk) -> Street:
    return street_of(desk, 5)
