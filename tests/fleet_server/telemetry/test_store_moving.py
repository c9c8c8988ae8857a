"""What was stored before moves into the tables of now, and back; and from one engine to the other."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

from fleet_server import migrations
from fleet_server.telemetry import timescale
from fleet_server.telemetry.timescale import keep_policy
from fleet_server.telemetry.upkeep.rollups import roll_up
from fleet_server.telemetry.upkeep.views import make_views
from tests.fleet_server.telemetry.stores import assert_all_agree
from tests.fleet_server.telemetry.support import MINUTE_MS, NOW_MS, Desk, Post
from tests.support import pretend_timescale
from wire_contract.classes import Class

NARROW = ("sample", "rollup_1m", "rollup_1h", "rollup_1d", "latest")
# Two lampposts' sensors over the end of a month, as step 0007 had them; flags with slot 15 in the sign.
BEFORE = """
INSERT INTO device (tenant, name, district) VALUES ('city', 'a', 'Harbour'), ('city', 'b', '');
INSERT INTO sensor_unit (device_id, kind, layout, declared_at)
SELECT id, 'pms5003', '[["pm1", "ug/m3", -1]]', now() FROM device;
INSERT INTO series (sensor_unit_id, slot, channel, unit, exponent)
SELECT u.id, s, 'c' || s, 'x', -1 FROM sensor_unit u, generate_series(0, 15, 3) s;
INSERT INTO sample (sensor_unit, time, s0, s15, flags)
SELECT u.id, t, 5, -7, -8070450532247928831 FROM sensor_unit u,
       generate_series(timestamptz '2026-01-31 20:00Z', '2026-02-01 03:00Z', '7 min') t;
INSERT INTO rollup_1m SELECT s.id, t, n, n * 3, CASE WHEN n > 0 THEN 2 END, CASE WHEN n > 0 THEN 4 END, 1
FROM series s, generate_series(timestamptz '2026-01-31 20:00Z', '2026-02-01 03:00Z', '7 min') t,
     LATERAL (SELECT s.id % 3) x(n);
INSERT INTO rollup_1h SELECT s.id, t, 60, 2 ^ 40, -2147483648, 2147483647, 0
FROM series s, generate_series(timestamptz '2025-12-31 20:00Z', '2026-02-01 03:00Z', '5 hours') t;
INSERT INTO rollup_1d SELECT s.id, t, 60, 2 ^ 40, 1, 2, 0
FROM series s, generate_series(timestamptz '2025-12-31Z', '2026-02-01Z', '1 day') t;
INSERT INTO latest SELECT id, now() - slot % 2 * interval '1 minute', CASE WHEN slot % 5 > 0 THEN slot END,
       CASE WHEN slot % 5 > 0 THEN 1 + slot % 8 ELSE 9 END FROM series;
"""


def unchanged(connection: psycopg.Connection[tuple[object, ...]], when: str) -> None:
    for name in NARROW:
        for query in (
            f"TABLE {name} EXCEPT ALL TABLE was_{name}",
            f"TABLE was_{name} EXCEPT ALL TABLE {name}",
        ):
            assert connection.execute(query.encode()).fetchall() == [], (when, query)


def test_no_row_is_lost_up_and_down(empty_database_url: str) -> None:
    migrations.upgrade(empty_database_url, "0007", use_timescale=False)
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute(BEFORE.encode())
        make_views(connection)
        for name in NARROW:
            connection.execute(f"CREATE TABLE was_{name} AS TABLE {name}".encode())
        migrations.upgrade(empty_database_url, use_timescale=False)
        unchanged(connection, "up")
        marks = "SELECT count(*), count(DISTINCT district) FROM district_dirty"
        assert connection.execute(marks).fetchone()[1] == 1  # type: ignore[index]
        parted = "SELECT count(*) FROM pg_partitioned_table"
        assert connection.execute(parted).fetchone() == (4,)
        assert make_views(connection) == 1
        assert connection.execute("SELECT count(*) FROM v_pms5003").fetchone() == (122,)
        migrations.upgrade(empty_database_url, use_timescale=False)
        unchanged(connection, "again")
        migrations.downgrade(empty_database_url, "0007")
        unchanged(connection, "down")
        assert make_views(connection) == 1
        migrations.upgrade(empty_database_url, use_timescale=False)
        unchanged(connection, "up again")


def test_partitions_become_hypertables_with_their_rows(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TimescaleDB came later: hours and days are marked, and answered from the minutes meanwhile."""
    desk = Desk(database_url)
    post = Post()
    desk.register(post)
    times = [NOW_MS - i * 61 * MINUTE_MS for i in range(800)]
    desk.take(post.declare(), post.publish(Class.HISTORY, post.samples(times)))
    while roll_up(desk.connection):
        pass
    make_views(desk.connection)
    views = "SELECT relname FROM pg_class WHERE relkind = 'v' AND relnamespace = 'public'::regnamespace"
    before = {*desk.rows(views)}
    pretend_timescale.install(database_url, monkeypatch)
    for _ in range(2):
        migrations.upgrade(database_url)
        assert desk.one("SELECT count(*) FROM sample") == 800
    said = [words for (words,) in desk.rows("SELECT what FROM pretended ORDER BY id")]
    assert len([words for words in said if words.startswith("ALTER TABLE")]) == 4
    assert len([words for words in said if words.startswith("CREATE MATERIALIZED VIEW")]) == 2
    assert len([words for words in said if words.startswith("compress ")]) == 4
    assert before <= {*desk.rows(views)}
    desk.series.clear()
    desk.take(post.publish(Class.HISTORY, post.samples([NOW_MS - 30 * MINUTE_MS])))
    while roll_up(desk.connection):
        pass
    assert_all_agree(desk)
    desk.close()


def test_hours_without_their_minutes_stay_tables(
    database_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A continuous aggregate would lose them."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("INSERT INTO unit_hour (sensor_unit, bucket, n_0) VALUES (1, '2020-01-01Z', 1)")
        pretend_timescale.install(database_url, monkeypatch)
        with caplog.at_level(logging.WARNING):
            migrations.upgrade(database_url)
        assert "whose minutes are gone" in caplog.text
        assert connection.execute("SELECT count(*) FROM unit_hour").fetchone() == (1,)
        made = "SELECT count(*) FROM pretended WHERE what LIKE 'CREATE MATERIALIZED%'"
        assert connection.execute(made).fetchone() == (0,)
        hypertables = "SELECT count(*) FROM timescaledb_information.hypertables"
        assert connection.execute(hypertables).fetchone() == (4,)


def test_the_apache_edition_has_hypertables_alone(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_timescale.install(database_url, monkeypatch)
    name = urlsplit(database_url).path.strip("/")
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {name} SET timescaledb.license = 'apache'".encode())
    migrations.upgrade(database_url)
    with psycopg.connect(database_url, autocommit=True) as connection:
        assert connection.execute("SELECT what FROM pretended").fetchall() == []
        found = connection.execute("SELECT count(*) FROM timescaledb_information.hypertables").fetchone()
        assert found == (4,)
        connection.execute("INSERT INTO rollup_dirty (sensor_unit, hour) VALUES (1, '2026-11-01Z')")
        assert roll_up(connection) == 1


def test_what_timescaledb_refuses_is_done_without(
    database_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An upgrade does not fail for it, and it is said; the next start tries again."""
    pretend_timescale.install(database_url, monkeypatch)
    pretended = timescale._only_there

    def refusing(
        connection: psycopg.Connection[Any], statement: LiteralString, *parts: sql.Composable
    ) -> None:
        if statement.startswith("CREATE MATERIALIZED VIEW"):
            connection.execute("SELECT no_such_function()")
        pretended(connection, statement, *parts)

    monkeypatch.setattr(timescale, "_only_there", refusing)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("DROP FUNCTION add_compression_policy")
        connection.execute("DROP FUNCTION add_retention_policy")
        with caplog.at_level(logging.WARNING):
            migrations.upgrade(database_url)
            keep_policy(connection, "sample_short", 30)
        for words in ("unit_minute is not compressed", "stay tables", "has no retention policy"):
            assert words in caplog.text
        hypertables = "SELECT count(*) FROM timescaledb_information.hypertables"
        assert connection.execute(hypertables).fetchone() == (4,)
        assert not timescale.aggregates(connection)
        connection.execute("INSERT INTO rollup_dirty (sensor_unit, hour) VALUES (1, '2026-11-01Z')")
        assert roll_up(connection) == 1
        monkeypatch.setattr(timescale, "_only_there", pretended)
        migrations.upgrade(database_url)
        assert timescale.aggregates(connection)


REFUSALS = {"55000": True, "0A000": True, "42501": True, "55P03": False, "53100": False, "57014": False}


@pytest.mark.parametrize("state", REFUSALS)
def test_a_refusal_is_told_from_a_server_in_trouble(
    database_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, state: str
) -> None:
    pretend_timescale.install(database_url, monkeypatch)
    with psycopg.connect(database_url, autocommit=True) as connection:
        made = (
            "CREATE OR REPLACE FUNCTION add_retention_policy("
            " relation regclass, drop_after interval, if_not_exists boolean DEFAULT false) RETURNS integer"
            f" LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not so' USING ERRCODE = '{state}'; END $$"
        )
        connection.execute(made.encode())
        with caplog.at_level(logging.WARNING):
            if REFUSALS[state]:
                keep_policy(connection, "sample_short", 30)
                assert "has no retention policy; the worker removes what is old: not so" in caplog.text
            else:
                with pytest.raises(psycopg.OperationalError, match="not so"):
                    keep_policy(connection, "sample_short", 30)


def test_a_timescaledb_whose_refresh_has_no_options(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend_timescale.install(database_url, monkeypatch)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("DROP PROCEDURE refresh_continuous_aggregate")
        connection.execute(
            "CREATE PROCEDURE refresh_continuous_aggregate("
            "   continuous_aggregate text, window_start timestamptz, window_end timestamptz)"
            " LANGUAGE sql AS $$ INSERT INTO pretended (what) VALUES (continuous_aggregate) $$"
        )
        begin = datetime(2026, 11, 1, tzinfo=UTC)
        timescale.refresh(connection, "unit_hour", begin, begin + timedelta(hours=1))
        assert connection.execute("SELECT what FROM pretended").fetchall() == [("unit_hour",)]


def test_policies_follow_the_configuration(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_timescale.install(database_url, monkeypatch)
    migrations.upgrade(database_url)
    with psycopg.connect(database_url, autocommit=True) as connection:

        def policies() -> list[tuple[object, ...]]:
            return connection.execute(
                "SELECT hypertable_name, config ->> 'drop_after' FROM timescaledb_information.jobs"
            ).fetchall()

        for days, expected in ((30, "37 days"), (30, "37 days"), (10, "17 days"), (0, None), (0, None)):
            keep_policy(connection, "sample_short", days)
            assert policies() == ([("sample_short", expected)] if expected else [])
