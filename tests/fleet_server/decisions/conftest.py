"""The decisions tests use the telemetry tests' desk: verdicts come in by the ingest."""

from tests.fleet_server.telemetry.conftest import context, desk, post

__all__ = ["context", "desk", "post"]
