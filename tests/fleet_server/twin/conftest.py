"""The twin tests use the telemetry tests' post and desk: reports come in by the ingest."""

from tests.fleet_server.telemetry.conftest import context, desk, post

__all__ = ["context", "desk", "post"]
