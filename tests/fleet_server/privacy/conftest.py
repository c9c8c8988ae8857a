"""The audit tests' database, for a module."""

from tests.fleet_server.audit.conftest import ctx

__all__ = ["ctx"]
