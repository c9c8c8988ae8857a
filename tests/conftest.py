"""Fixtures that any test may ask for. Each comes from tests/support, where it is explained."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import pytest
from httpx._config import DEFAULT_TIMEOUT_CONFIG
from hypothesis import settings

from tests.support.mosquitto import broker
from tests.support.postgres import (
    database_url,
    empty_database_url,
    postgres_server,
    scratch_directory,
    template_database,
)
from tests.support.waiting import LEAST_S

if TYPE_CHECKING:
    from tests.support.scheduling import OneOfAKindAtATime

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

# Where a test names no time, an answer may take as long as anything else here: a shared machine stops for
# seconds at a time, and httpx gives up after five.
for _part in ("connect", "read", "write", "pool"):
    setattr(DEFAULT_TIMEOUT_CONFIG, _part, LEAST_S)

# Hypothesis fails an example that takes a fifth of a second by the wall's clock, as any does that the machine
# stops in, and a strategy that takes one second: without a deadline that is thirty.
settings.register_profile("a machine that stops", deadline=None)
settings.load_profile("a machine that stops")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Workers end together only when what takes long comes first. Within a queue, and after them, the order
    stays."""
    from tests.support.scheduling import QUEUES, queue_of

    places = {name: at for at, name in enumerate(QUEUES)}

    def place(item: pytest.Item) -> int:
        return places.get(queue_of(item.nodeid) or "", len(places))

    items.sort(key=place)


@pytest.hookimpl(optionalhook=True)  # where tests run without xdist nobody knows it
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> OneOfAKindAtATime | None:
    """Of `--dist loadfile`; None: whatever else was asked for."""
    from tests.support.scheduling import OneOfAKindAtATime

    return OneOfAKindAtATime(config, log) if config.getvalue("dist") == "loadfile" else None
