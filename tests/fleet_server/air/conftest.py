"""The air tests use the telemetry tests' post and desk: what is measured comes in by the ingest."""

from tests.fleet_server.telemetry.conftest import context, desk, post

__all__ = ["context", "desk", "post"]
