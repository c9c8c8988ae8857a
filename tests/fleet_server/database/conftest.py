"""A small city, filled through the ingest, and a backup of it: once for a module."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from fleet_server.database.backup import Made, back_up
from fleet_server.telemetry.upkeep.rollups import roll_up
from tests.fleet_server.telemetry.support import MINUTE_MS, NOW_MS, Desk, Post
from tests.support.postgres import with_database
from wire_contract.classes import Class

POSTS = 3
HOURS = 2
BEGUN_MS = NOW_MS - HOURS * 60 * MINUTE_MS


def fill(desk: Desk, posts: list[Post]) -> None:
    """Two hours of a sample a minute, in batches of ten, of each post; then the roll-up."""
    desk.register(*posts)
    for post in posts:
        desk.take(post.declare())
        for start in range(0, HOURS * 60, 10):
            times = [BEGUN_MS + (start + i) * MINUTE_MS for i in range(10)]
            desk.take(post.publish(Class.LIVE, post.samples(times)))
    while roll_up(desk.connection):
        pass


@dataclass
class Saved:
    """A city's database and a backup of it."""

    server: str
    url: str
    made: Made
    folder: Path


@pytest.fixture(scope="module")
def saved(
    postgres_server: str, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Saved]:
    name = f"lamppost_city_{os.getpid()}"
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template_database}"')
    url = with_database(postgres_server, name)
    desk = Desk(url)
    fill(desk, [Post(f"lamp-{i}") for i in range(POSTS)])
    desk.close()
    folder = tmp_path_factory.mktemp("backups")
    yield Saved(postgres_server, url, back_up(url, folder, "city", (), lambda _: None), folder)
    drop(postgres_server, name)


@pytest.fixture
def fresh_url(postgres_server: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """Of a database that does not exist; what is made of it is dropped at the end."""
    name = f"lamppost_back_{os.getpid()}_{abs(hash(request.node.name)) % 10_000}"
    yield with_database(postgres_server, name)
    drop(postgres_server, name)


def databases(server: str, prefix: str) -> list[str]:
    with psycopg.connect(server, autocommit=True) as connection:
        found = connection.execute(
            "SELECT datname FROM pg_database WHERE starts_with(datname, %s) ORDER BY 1", (prefix,)
        )
        return [row[0] for row in found]


def drop(server: str, prefix: str) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        for name in databases(server, prefix):
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
