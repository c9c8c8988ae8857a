"""The same promises where `sample` is a compressed hypertable. Needs a server with TimescaleDB:

    LAMPPOST_TEST_TIMESCALE_URL=postgresql://user@host/postgres make test

The account must be allowed to create databases and the extension.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from fleet_server import migrations
from fleet_server.clock import StreetClock
from fleet_server.context import Context
from fleet_server.telemetry import service
from fleet_server.telemetry.rules import Resolution
from fleet_server.telemetry.upkeep.views import make_views
from tests.fleet_server.telemetry.support import MINUTE_MS, NOW, NOW_MS, Desk, Post
from tests.support.postgres import with_database
from tests.support.server_context import VIEWER, make_context
from wire_contract.classes import Class

SERVER = os.environ.get("LAMPPOST_TEST_TIMESCALE_URL", "")
NAME = f"lamppost_timescale_{os.getpid()}"
OLD_MS = NOW_MS - 40 * 86_400_000

pytestmark = [
    pytest.mark.timescale,
    pytest.mark.skipif(not SERVER, reason="no TimescaleDB here (set LAMPPOST_TEST_TIMESCALE_URL)"),
]


@pytest.fixture
def url() -> Iterator[str]:
    with psycopg.connect(SERVER, autocommit=True) as server:
        server.execute(f'CREATE DATABASE "{NAME}" TEMPLATE template0')  # type: ignore[arg-type]
        try:
            migrations.upgrade(with_database(SERVER, NAME))
            yield with_database(SERVER, NAME)
        finally:
            server.execute(f'DROP DATABASE "{NAME}" WITH (FORCE)')  # type: ignore[arg-type]


@pytest.fixture
def compressed(url: str) -> Iterator[Desk]:
    """Forty-day-old samples at every second minute, in compressed chunks."""
    desk = Desk(url)
    post = Post()
    desk.register(post)
    times = [OLD_MS + 2 * i * MINUTE_MS for i in range(500)]
    desk.take(post.declare(), post.publish(Class.HISTORY, post.samples(times)))
    for (chunk,) in desk.rows("SELECT show_chunks('sample')::text"):
        desk.rows("SELECT compress_chunk(%s::regclass)::text", chunk)
    assert desk.one("SELECT count(*) FROM timescaledb_information.chunks WHERE is_compressed") > 0
    yield desk
    desk.close()


def test_migrating_makes_a_compressed_hypertable_and_can_be_repeated(url: str) -> None:
    migrations.upgrade(url)
    desk = Desk(url)
    assert desk.rows(
        "SELECT compression_enabled FROM timescaledb_information.hypertables WHERE hypertable_name = 'sample'"
    ) == [(True,)]
    assert desk.one("SELECT count(*) FROM timescaledb_information.jobs WHERE hypertable_name = 'sample'") == 1
    desk.close()


def test_late_rows_enter_a_compressed_chunk_once(compressed: Desk) -> None:
    post = Post(sequences={Class.HISTORY: 1, Class.REPLY: 1})
    late = [OLD_MS + (2 * i + 1) * MINUTE_MS for i in range(100)]
    stored = compressed.take(post.publish(Class.HISTORY, post.samples(late)))
    assert stored.counts["samples"] == 100
    both = post.samples([OLD_MS, OLD_MS + 1000 * MINUTE_MS])
    repeated = compressed.take(post.publish(Class.HISTORY, both))
    assert (repeated.counts["samples"], repeated.counts["repeated_samples"]) == (1, 1)
    taken = compressed.take(post.publish(Class.HISTORY, post.samples([OLD_MS], value=-1)))
    assert taken.counts["taken_samples"] == 1
    assert compressed.one("SELECT count(*) FROM sample") == 601


def test_questions_are_answered_from_compressed_chunks(compressed: Desk, url: str, tmp_path: Path) -> None:
    context: Context = make_context(url, tmp_path)
    object.__setattr__(context, "clock", StreetClock(wall_ms=lambda: float(NOW_MS)))
    series = compressed.one("SELECT id FROM series WHERE slot = 1")
    begins = NOW - timedelta(days=41)
    for resolution in (Resolution.RAW, Resolution.MINUTE, Resolution.HOUR, Resolution.DAY):
        points = service.series(context, VIEWER, series, begins, NOW, resolution).points
        assert sum(point.n for point in points) == 500
    assert len(service.gaps(context, VIEWER, series, begins, NOW).gaps) == 1
    make_views(compressed.connection)
    assert compressed.one("SELECT count(pm2_5_ug_m3) FROM v_pms5003") == 500
    context.db.close()
