"""Fixtures that any test may ask for. Each comes from tests/support, where it is explained."""

from __future__ import annotations

from tests.support.mosquitto import broker
from tests.support.postgres import (
    database_url,
    empty_database_url,
    postgres_server,
    scratch_directory,
    template_database,
)

__all__ = [
    "broker",
    "database_url",
    "empty_database_url",
    "postgres_server",
    "scratch_directory",
    "template_database",
]
