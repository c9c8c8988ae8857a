"""Fixtures that any test may ask for. Each comes from tests/support, where it is explained."""

from __future__ import annotations

import signal

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

# A shell that runs the tests in its background has them, and all they start, ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
