"""A real PostgreSQL for tests: one server a test process (xdist workers never meet), a new database a test.

LAMPPOST_TEST_POSTGRES_URL names a server to use instead (its account must be allowed to create databases).
"""

from __future__ import annotations

import importlib
import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from fleet_server.embedded_server import EmbeddedServer

_numbers = itertools.count(1)
# tests write what they throw away; the server's own tests start one that syncs
FAST = {"fsync": "off", "track_commit_timestamp": "on"}


@pytest.fixture(scope="session")
def scratch_directory() -> Iterator[Path]:
    """A short path in /tmp, removed at the end: sockets need short paths."""
    directory = Path(tempfile.mkdtemp(prefix="lamppost-test-"))
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_server(scratch_directory: Path) -> Iterator[str]:
    """URL of a running server, with a database in which nothing is done but making others."""
    given = os.environ.get("LAMPPOST_TEST_POSTGRES_URL")
    if given:
        yield given
        return
    with EmbeddedServer(scratch_directory / "postgres", FAST) as server:
        yield server.url("postgres")


def with_database(url: str, name: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def _create(server: str, name: str, template: str) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')


def _drop(server: str, name: str) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


@pytest.fixture(scope="session")
def template_database(postgres_server: str) -> Iterator[str]:
    """Name of a database at the newest migration; an empty one while there are no migrations."""
    name = f"lamppost_template_{os.getpid()}"
    _create(postgres_server, name, "template0")
    if find_spec("fleet_server.migrations") is not None:
        migrations = importlib.import_module("fleet_server.migrations")
        upgrade: Callable[..., None] | None = getattr(migrations, "upgrade", None)
        if upgrade is not None:
            # a background worker of TimescaleDB in it would keep it from being a template
            upgrade(with_database(postgres_server, name), use_timescale=False)
    yield name
    _drop(postgres_server, name)


@pytest.fixture
def database_url(postgres_server: str, template_database: str) -> Iterator[str]:
    """A database of the test's own, at the newest migration."""
    name = f"lamppost_test_{os.getpid()}_{next(_numbers)}"
    _create(postgres_server, name, template_database)
    yield with_database(postgres_server, name)
    _drop(postgres_server, name)


@pytest.fixture
def empty_database_url(postgres_server: str) -> Iterator[str]:
    """A database of the test's own without a table."""
    name = f"lamppost_empty_{os.getpid()}_{next(_numbers)}"
    _create(postgres_server, name, "template0")
    yield with_database(postgres_server, name)
    _drop(postgres_server, name)
