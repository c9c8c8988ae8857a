"""Fixtures that any test may ask for. Each comes from tests/support, where it is explained."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.mosquitto import broker
from tests.support.postgres import (
    database_url,
    empty_database_url,
    postgres_server,
    scratch_directory,
    template_database,
)

if TYPE_CHECKING:
    from tests.support.scheduling import OneSystemAtATime

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

# Workers end together only when what takes long comes first: files of a whole system, a minute each.
SLOW_FIRST = ("tests/system/", "tests/chaos/", "tests/demo/", "tests/dashboards/", "tests/security/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Stable: within a file, and among the others, the order stays."""

    def place(item: pytest.Item) -> int:
        return next((at for at, part in enumerate(SLOW_FIRST) if part in str(item.path)), len(SLOW_FIRST))

    items.sort(key=place)


@pytest.hookimpl(optionalhook=True)  # where tests run without xdist nobody knows it
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> OneSystemAtATime | None:
    """Of `--dist loadfile`; None: whatever else was asked for."""
    from tests.support.scheduling import OneSystemAtATime

    return OneSystemAtATime(config, log) if config.getvalue("dist") == "loadfile" else None
