"""What TimescaleDB alone does; `test_store_suite.py` runs on it too. Most needs a server with TimescaleDB:

    LAMPPOST_TEST_TIMESCALE_URL=postgresql://user@host make test

The account must be allowed to create databases and the extension. Each test makes a database of its own there
and drops it; nothing else is touched.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy
from psycopg import sql

from fleet_server import migrations, setup_role
from fleet_server.clock import StreetClock
from fleet_server.context import Context
from fleet_server.telemetry import service, timescale
from fleet_server.telemetry.ingest import derived
from fleet_server.telemetry.rules import Resolution
from fleet_server.telemetry.upkeep.rollups import roll_up
from fleet_server.telemetry.upkeep.views import make_views
from tests.fleet_server.telemetry.stores import assert_all_agree, new_timescale_database, put_jobs_to_sleep
from tests.fleet_server.telemetry.support import MINUTE_MS, NOW, NOW_MS, Desk, Post
from tests.support.server_context import VIEWER, make_context
from wire_contract.classes import Class

OLD_MS = NOW_MS - 40 * 86_400_000
BATCH_ROWS = 1_000  # that TimescaleDB compresses together
ROLE_SQL = Path(__file__).parents[3] / "dashboards" / "grafana" / "role.sql"

HYPERTABLE = (
    "SELECT count(*) FROM timescaledb_information.hypertables WHERE hypertable_name = 'sample_standard'"
)


@pytest.fixture
def empty() -> Iterator[str]:
    with new_timescale_database() as made:
        yield made


@pytest.fixture
def url(empty: str) -> str:
    """At the newest migration. The policies' own jobs sleep: a test compresses what it wants compressed."""
    migrations.upgrade(empty)
    with psycopg.connect(empty, autocommit=True) as connection:
        put_jobs_to_sleep(connection)
    return empty


@pytest.fixture
def desk(url: str) -> Iterator[Desk]:
    made = Desk(url)
    yield made
    made.close()


def compress(desk: Desk) -> None:
    for (chunk,) in desk.rows("SELECT show_chunks('sample_standard')::text"):
        desk.rows("SELECT compress_chunk(%s::regclass)::text", chunk)
    chunks = desk.rows(
        "SELECT DISTINCT is_compressed FROM timescaledb_information.chunks"
        " WHERE hypertable_name = 'sample_standard'"
    )
    assert chunks == [(True,)]


@pytest.fixture
def compressed(desk: Desk) -> Desk:
    """Forty-day-old samples at every second minute, in compressed chunks."""
    post = Post()
    desk.register(post)
    times = [OLD_MS + 2 * i * MINUTE_MS for i in range(500)]
    desk.take(post.declare(), post.publish(Class.HISTORY, post.samples(times)))
    compress(desk)
    return desk


@pytest.mark.timescale
def test_migrating_makes_a_compressed_hypertable_and_can_be_repeated(url: str, desk: Desk) -> None:
    migrations.upgrade(url)
    assert desk.rows(
        "SELECT compression_enabled FROM timescaledb_information.hypertables"
        " WHERE hypertable_name = 'sample_standard'"
    ) == [(True,)]
    assert (
        desk.one(
            "SELECT count(*) FROM timescaledb_information.jobs WHERE hypertable_name = 'sample_standard'"
        )
        == 1
    )
    assert timescale.aggregates(desk.connection)
    assert (
        desk.rows(
            "SELECT hypertable_name FROM timescaledb_information.hypertables"
            " WHERE NOT compression_enabled OR hypertable_schema <> current_schema()"
        )
        == []
    )
    refreshing = "SELECT count(*) FROM timescaledb_information.jobs WHERE proc_name LIKE '%refresh_cont%'"
    assert desk.one(refreshing) == 0, "the worker alone refreshes"


@pytest.mark.timescale
def test_a_table_with_samples_becomes_a_hypertable_and_goes_again(empty: str) -> None:
    """Switched off at first, then on; then back to nothing."""
    migrations.upgrade(empty, use_timescale=False)
    desk = Desk(empty)
    assert desk.one("SELECT count(*) FROM pg_extension WHERE extname = 'timescaledb'") == 0
    post = Post()
    desk.register(post)
    desk.take(post.declare(), post.publish(Class.HISTORY, post.samples([OLD_MS, NOW_MS - MINUTE_MS])))
    desk.close()
    migrations.upgrade(empty)
    desk = Desk(empty)
    put_jobs_to_sleep(desk.connection)
    assert desk.one(HYPERTABLE) == 1
    assert desk.one("SELECT count(*) FROM sample") == 2
    desk.close()
    migrations.upgrade(empty, use_timescale=False)
    migrations.downgrade(empty, "base")
    migrations.upgrade(empty)


@pytest.mark.timescale
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


@pytest.mark.timescale
def test_late_rows_that_touch_many_compressed_rows_are_taken(desk: Desk) -> None:
    """More than the 100,000 rows that TimescaleDB lets one statement decompress by default."""
    post = Post()
    desk.register(post)
    desk.take(post.declare(slots=1))
    batches = 110
    for first in range(batches):
        begins = OLD_MS + first * BATCH_ROWS * 2_000
        times = [begins + i * 2_000 for i in range(BATCH_ROWS)]
        desk.take(post.publish(Class.HISTORY, post.samples(times, slots=(0,))))
    compress(desk)
    late = [OLD_MS + (first * BATCH_ROWS + 500) * 2_000 + 1_000 for first in range(batches)]
    stored = desk.take(post.publish(Class.HISTORY, post.samples(late, slots=(0,))))
    assert stored.counts["samples"] == batches
    again = post.publish(Class.HISTORY, post.samples([*late, late[0] + 3_000_001], slots=(0,)))
    repeated = desk.take(again)
    assert (repeated.counts["samples"], repeated.counts["repeated_samples"]) == (1, batches)


@pytest.mark.timescale
def test_questions_are_answered_from_compressed_chunks(compressed: Desk, url: str, tmp_path: Path) -> None:
    made = make_context(url, tmp_path)
    context: Context = replace(made, clock=StreetClock(wall_ms=lambda: float(NOW_MS)))
    series = compressed.one("SELECT id FROM series WHERE slot = 1")
    begins = NOW - timedelta(days=41)
    for resolution in (Resolution.RAW, Resolution.MINUTE, Resolution.HOUR, Resolution.DAY):
        points = service.series(context, VIEWER, series, begins, NOW, resolution).points
        assert sum(point.n for point in points) == 500
    assert len(service.gaps(context, VIEWER, series, begins, NOW).gaps) == 1
    make_views(compressed.connection)
    assert compressed.one("SELECT count(pm2_5_ug_m3) FROM v_pms5003") == 500
    context.db.close()


@pytest.mark.timescale
def test_grafanas_account_reads_compressed_chunks_and_aggregates(compressed: Desk) -> None:
    """Through the views alone: what they are made of is not granted."""
    while roll_up(compressed.connection):
        pass
    role = "lamppost_grafana"
    there = compressed.one("SELECT count(*) FROM pg_roles WHERE rolname = %s", role)
    compressed.connection.execute(ROLE_SQL.read_bytes())
    try:
        compressed.connection.execute(f"GRANT {role} TO CURRENT_USER".encode())
        with compressed.connection.transaction():
            compressed.connection.execute(f"SET LOCAL ROLE {role}".encode())
            assert compressed.one("SELECT count(*) FROM sample") == 500
            for view in ("rollup_1m", "rollup_1h", "rollup_1d"):
                assert compressed.one(f"SELECT sum(n) FROM {view} WHERE bucket < now()") == 1500, view
            for table in ("unit_hour", "unit_minute", "sample_standard"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege), compressed.connection.transaction():
                    compressed.rows(f"SELECT * FROM {table}")
    finally:
        compressed.connection.execute(f"DROP OWNED BY {role}".encode())
        if not there:
            compressed.connection.execute(f"DROP ROLE {role}".encode())


@pytest.mark.timescale
def test_the_full_hour_is_not_passed_over_where_a_batch_spans_chunks(desk: Desk) -> None:
    """TimescaleDB's issue 10296: the last row that changed in each of three chunks is at a full hour."""
    post = Post()
    desk.register(post)
    monday = (NOW - timedelta(days=NOW.weekday() + 28)).replace(hour=0)
    times = [
        int((monday + timedelta(days=7 * week, hours=2, minutes=minute)).timestamp() * 1000)
        for week in range(3)
        for minute in (-50, -30, 0)
    ]
    desk.take(post.declare(), post.publish(Class.HISTORY, post.samples(times)))
    assert len(desk.rows("SELECT show_chunks('unit_minute')")) == 3
    settled(desk)
    again = [each + 1000 for each in times if each % 3_600_000 == 0]  # nothing but full hours
    assert desk.take(post.publish(Class.HISTORY, post.samples(again))).counts["samples"] == 3
    settled(desk)


def settled(desk: Desk) -> None:
    while roll_up(desk.connection):
        pass
    assert_all_agree(desk)


@pytest.mark.timescale
def test_a_group_asks_the_chunk_that_it_is_of_and_no_other(desk: Desk) -> None:
    """Its issue 10606: what a join brings excludes none."""
    post = Post()
    desk.register(post)
    times = [NOW_MS - week * 7 * 86_400_000 for week in range(5)]
    desk.take(post.declare(), post.publish(Class.HISTORY, post.samples(times)))
    unit, minute = desk.one("SELECT max(id) FROM sensor_unit"), NOW - timedelta(days=14)
    plan = desk.rows("EXPLAIN " + derived._THERE, [unit], [minute], minute, minute)
    asked = {name for (line,) in plan for name in re.findall(r"_hyper_\d+_\d+_chunk", line)}
    assert len(asked) == 1


# What follows needs no TimescaleDB.


@pytest.fixture
def desk_here(database_url: str) -> Iterator[Desk]:
    made = Desk(database_url)
    yield made
    made.close()


@pytest.mark.parametrize(("word", "asked"), [("auto", 1), ("off", 0)])
def test_the_configuration_decides(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: str, asked: int
) -> None:
    prepared: list[sqlalchemy.Engine] = []

    def prepare(engine: sqlalchemy.Engine) -> bool:
        prepared.append(engine)
        return False

    monkeypatch.setattr(timescale, "prepare", prepare)
    context = make_context(database_url, tmp_path)
    database = replace(context.config.database, timescale=word)
    assert setup_role.main(replace(context.config, database=database)) == 0
    assert len(prepared) == asked


def test_an_account_without_privileges_does_without_it(
    database_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The server offers the extension; the account may see neither its settings nor create it."""
    engine = sqlalchemy.create_engine(database_url.replace("postgresql://", "postgresql+psycopg://", 1))
    role = f"plain_{os.getpid()}"
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE ROLE {role}")
        connection.commit()

    @sqlalchemy.event.listens_for(engine, "connect")
    def demote(connection: Any, _record: object) -> None:
        connection.execute(f"SET ROLE {role}")
        connection.commit()

    engine.dispose()
    monkeypatch.setattr(timescale, "_OFFERED", "SELECT false")
    as_if_preloaded = timescale._PRELOADED.replace("LIKE", "NOT LIKE")
    monkeypatch.setattr(timescale, "_PRELOADED", as_if_preloaded)
    with caplog.at_level(logging.WARNING):
        assert timescale.prepare(engine) is False
    assert "may not be enabled" in caplog.text
    engine.dispose()
    with psycopg.connect(database_url, autocommit=True) as owner:
        owner.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


def test_lifting_the_limits_means_nothing_without_it(desk_here: Desk) -> None:
    setting = "timescaledb.max_tuples_decompressed_per_dml_transaction"
    assert desk_here.one("SELECT current_setting(%s)", setting) == "0"
