"""PostgreSQL's own partitions: made ahead, made on demand, raced for, and dropped under a writer's feet."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import psycopg
import pytest

from fleet_server.config import RetentionConfig
from fleet_server.telemetry import partitions
from fleet_server.telemetry.ingest import transaction
from fleet_server.telemetry.partitions import (
    AHEAD,
    TABLES,
    Months,
    begin_of,
    make_months,
    month_of,
    months_of,
)
from fleet_server.telemetry.upkeep import noting
from fleet_server.telemetry.upkeep import retain as retaining
from fleet_server.telemetry.upkeep.months import months_ahead
from fleet_server.telemetry.upkeep.retain import retain
from tests.fleet_server.telemetry.support import NOW, Desk, Post
from tests.support.waiting import wait_until
from wire_contract.classes import Class

LONG_AGO = datetime(2021, 3, 31, 23, 59, 59, 999_000, tzinfo=UTC)
THERE = "SELECT count(*) FROM pg_inherits WHERE inhparent = %s::regclass"


def ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def test_a_month_is_where_its_instants_are() -> None:
    ends = [LONG_AGO, LONG_AGO + timedelta(milliseconds=1), datetime(1999, 12, 31, 23, tzinfo=UTC)]
    found = months_of(np.array([ms(each) for each in ends], dtype=np.int64))
    assert found == {month_of(each) for each in ends}
    assert len(found) == 3
    assert {begin_of(month) for month in found} == {
        datetime(2021, 3, 1, tzinfo=UTC),
        datetime(2021, 4, 1, tzinfo=UTC),
        datetime(1999, 12, 1, tzinfo=UTC),
    }
    assert months_of(np.empty(0, dtype=np.int64)) == set()


def test_the_worker_is_ahead_of_the_months(desk: Desk) -> None:
    far = datetime(2031, 12, 5, tzinfo=UTC)
    assert months_ahead(desk.connection, far) == (AHEAD + 1) * len(TABLES)
    assert months_ahead(desk.connection, far) == 0
    assert desk.one("SELECT to_regclass('unit_minute_2032_02') IS NOT NULL")


def test_a_month_is_made_while_others_read_and_write(desk: Desk, post: Post, database_url: str) -> None:
    """Two workers want the same month; a reader and a writer in their transactions wait for neither."""
    desk.take(post.declare(), post.publish(Class.LIVE, post.samples([ms(NOW)])))
    months = months_of(np.array([ms(LONG_AGO), ms(LONG_AGO) + 1], dtype=np.int64))
    made: list[int] = []
    start = threading.Barrier(2)

    def work() -> None:
        with psycopg.connect(database_url, autocommit=True, options="-c lock_timeout=30s") as connection:
            start.wait(30)
            made.append(make_months(connection, months))

    with psycopg.connect(database_url) as reader, psycopg.connect(database_url) as writer:
        reader.execute("SELECT count(*) FROM sample").fetchall()
        writer.execute("INSERT INTO sample_standard (sensor_unit, time, flags) VALUES (9, %s, 0)", (NOW,))
        workers = [threading.Thread(target=work) for _ in range(2)]
        for each in workers:
            each.start()
        for each in workers:
            each.join(60)
        reader.rollback()
        writer.rollback()
    assert sorted(made) == [0, 2 * len(TABLES)]
    desk.take(post.publish(Class.HISTORY, post.samples([ms(LONG_AGO), ms(LONG_AGO) + 1])))
    assert desk.one("SELECT count(*) FROM sample_standard_2021_03") == 1
    assert desk.one("SELECT count(*) FROM unit_minute_2021_04") == 1


def test_a_writer_whose_month_was_dropped_makes_it_again(desk: Desk, post: Post) -> None:
    """Retention removed it after this worker had seen it; nothing of the group is lost or stored twice."""
    old, older = ms(NOW - timedelta(days=100)), ms(NOW - timedelta(days=101))
    desk.take(post.declare(), post.publish(Class.HISTORY, post.samples([old])))
    keep = RetentionConfig(0, 30, 0, 0, 0, 0, 0, 0)
    while retain(desk.connection, keep, NOW):
        pass
    assert desk.one("SELECT count(*) FROM sample") == 0
    late = desk.take(post.publish(Class.HISTORY, post.samples([older, ms(NOW)])))
    assert (late.counts["samples"], late.counts["batches"]) == (2, 1)
    assert desk.one("SELECT count(*) FROM sample") == 2
    assert desk.one("SELECT count(*) FROM batch WHERE class = 3") == 2


def test_a_tick_of_retention_drops_each_month_once(
    desk: Desk, post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device that drains what is older than its class is kept would make it go on for ever."""
    old = [ms(NOW - timedelta(days=days)) for days in (300, 200, 100)]
    desk.take(post.declare(), post.publish(Class.HISTORY, post.samples(old)))
    drop_before, note = partitions.drop_before, noting.note

    def refilled(*args: Any) -> None:
        note(*args)
        if args[2] == "sample_standard":
            refill.append(args[4].kept_from)

    def after_a_refill(connection: Any, table: str, horizon: datetime) -> Any:
        if table == "sample_standard" and refill:
            desk.series.months.clear()
            desk.take(post.publish(Class.HISTORY, post.samples([ms(refill[-1]) - 1 - len(refill)])))
        return drop_before(connection, table, horizon)

    refill: list[datetime] = []
    monkeypatch.setattr(retaining, "note", refilled)
    monkeypatch.setattr(partitions, "drop_before", after_a_refill)
    assert retain(desk.connection, RetentionConfig(0, 30, 0, 0, 0, 0, 0, 0), NOW) == 0
    assert len(refill) == 2, "the second time that it is the same month, that is enough"
    monkeypatch.setattr(partitions, "drop_before", drop_before)
    assert retain(desk.connection, RetentionConfig(0, 30, 0, 0, 0, 0, 0, 0), NOW) == 0
    assert desk.one("SELECT count(*) FROM sample") == 0


def test_a_writer_meets_retention_table_after_table(
    desk: Desk, post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It drops a month of the samples, then one of the minutes, while the same group is tried."""
    old = ms(NOW - timedelta(days=100))
    desk.take(post.declare(), post.publish(Class.HISTORY, post.samples([old])))
    tables = ["sample_standard_2026_08", "unit_minute_2026_08"]
    original = transaction._process

    def meanwhile(*args: Any) -> transaction.Outcome:
        if tables:
            desk.connection.execute(f"DROP TABLE {tables.pop(0)}".encode())
        return original(*args)

    monkeypatch.setattr(transaction, "_process", meanwhile)
    assert desk.take(post.publish(Class.HISTORY, post.samples([old + 1]))).counts["samples"] == 1
    assert desk.one("SELECT count(*) FROM sample") == 1


def test_dropping_gives_way_to_a_long_reader(
    desk: Desk, post: Post, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fleet_server.telemetry.upkeep.retain.WAIT_FOR_READERS", "50ms")
    desk.take(post.declare(), post.publish(Class.HISTORY, post.samples([ms(LONG_AGO)])))
    keep = RetentionConfig(0, 30, 0, 0, 0, 0, 0, 0)
    with psycopg.connect(database_url) as reader:
        reader.execute("SELECT count(*) FROM sample").fetchall()
        assert retain(desk.connection, keep, NOW) == 0
        assert desk.one("SELECT count(*) FROM sample") == 1
        assert desk.rows("SELECT * FROM retention_log") == []
    while retain(desk.connection, keep, NOW):
        pass
    assert desk.rows("SELECT what, rows, partitions, kept_from FROM retention_log") == [
        ("sample_standard", 1, 1, datetime(2021, 4, 1, tzinfo=UTC))
    ]


def test_two_ingest_workers_race_for_a_month(desk: Desk, post: Post, database_url: str) -> None:
    """Each asks when it meets the month; the second finds it made."""
    desk.take(post.declare())
    first, second = Months(), Months()
    times = [np.array([ms(LONG_AGO)], dtype=np.int64)]
    with psycopg.connect(database_url) as holder, psycopg.connect(database_url, autocommit=True) as other:
        holder.execute("SELECT pg_advisory_xact_lock(%s)", (partitions.ADVISORY_LOCK,))
        waiting = threading.Thread(target=second.ensure, args=(other, times))
        waiting.start()
        blocked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'advisory'"
        wait_until(lambda: desk.one(blocked) == 1, 10, "the second worker to wait")
        first.ensure(holder, times)
        holder.commit()
        waiting.join(30)
    assert desk.one("SELECT to_regclass('sample_short_2021_03') IS NOT NULL")
    before = desk.one(THERE, "sample_short")
    first.ensure(desk.connection, times)
    assert desk.one(THERE, "sample_short") == before


def test_a_series_is_an_index_range_in_its_month(desk: Desk) -> None:
    """Whatever the view hides: one unit's rows of one month, by the index, and no other partition."""
    make_months(desk.connection, range(month_of(NOW) - 12, month_of(NOW) + 1))
    desk.connection.execute(
        "INSERT INTO device (tenant, name) VALUES ('city', 'a');"
        "INSERT INTO sensor_unit (device_id, kind, layout, declared_at)"
        " SELECT d.id, 'k' || g, '[]', now() FROM device d, generate_series(1, 200) g;"
        "INSERT INTO series (sensor_unit_id, slot, channel, unit, exponent)"
        " SELECT u.id, 0, 'pm1', 'x', 0 FROM sensor_unit u;"
        "INSERT INTO unit_minute (sensor_unit, bucket, n_0, sum_0, min_0, max_0, flagged_0)"
        " SELECT u.id, t, 1, 1, 1, 1, 0"
        " FROM sensor_unit u, generate_series(timestamptz '2026-11-01Z', '2026-11-03Z', '30 min') t;"
        "INSERT INTO latest_unit (sensor_unit, slots, time, s0, flags)"
        " SELECT id, 1, now(), 5, 1 FROM sensor_unit;"
        "ANALYZE unit_minute, series, latest_unit"
    )
    span = "bucket >= '2026-11-01Z' AND bucket < '2026-11-02Z'"
    plan = explained(desk, f"SELECT * FROM rollup_1m WHERE series_id = 7 AND {span}")
    assert "unit_minute_2026_11_pkey" in plan
    assert "Seq Scan on unit_minute" not in plan
    assert "2026_10" not in plan
    plan = explained(
        desk, "SELECT time FROM sample WHERE sensor_unit = 7 AND time < now() ORDER BY time DESC LIMIT 1"
    )
    assert "Seq Scan" not in plan
    plan = explained(desk, "SELECT * FROM latest WHERE series_id = 7")
    assert "latest_unit_pkey" in plan


def explained(desk: Desk, query: str) -> str:
    return "\n".join(line for (line,) in desk.rows("EXPLAIN (COSTS OFF) " + query))
