"""One suite for every store: PostgreSQL's own partitions, TimescaleDB, and TimescaleDB pretended.

The partitions run on the embedded PostgreSQL, and on Debian's by `test_distribution_postgres.py`.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from fleet_server.config import RetentionConfig
from fleet_server.telemetry.upkeep.newest import forget_surpassed
from fleet_server.telemetry.upkeep.retain import retain
from tests.fleet_server.telemetry.stores import ENGINES, Store, assert_all_agree, begin, opened, stored
from tests.fleet_server.telemetry.support import NOW, Desk, Post
from tests.support.waiting import wait_until
from wire_contract.classes import Class
from wire_contract.messages import SampleBatch, SampleBlock, SensorDeclaration, SlotDeclaration

DAY_MS = 86_400_000
# a month's, a day's and an hour's end are in it
MIDNIGHT_MS = int(datetime(2026, 11, 1, tzinfo=UTC).timestamp() * 1000)
FOR_EVER = RetentionConfig(0, 0, 0, 0, 0, 0, 0, 0)
POSTS = {"kai-1": "Harbour", "kai-2": "Harbour", "hill-1": "Hill", "nowhere": ""}


@pytest.fixture(params=ENGINES)
def store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    with opened(request.param, request, monkeypatch) as made:
        yield made


def slots(*channels: str) -> tuple[SlotDeclaration, ...]:
    return tuple(SlotDeclaration(name, "ug/m3", -1 if i else 0) for i, name in enumerate(channels))


def furnished(desk: Desk) -> list[Post]:
    """Four lampposts; the first has two sensors of the same channel, at other scales."""
    posts = [Post(name) for name in POSTS]
    desk.register(*posts)
    for post in posts:
        desk.connection.execute(
            "UPDATE device SET district = %s WHERE name = %s", (POSTS[post.name], post.name)
        )
        said = SensorDeclaration(1, "pms5003", "A", "", slots("pm1", "pm2_5", "pm10"), MIDNIGHT_MS)
        desk.take(post.publish(Class.REPLY, said))
    second = SensorDeclaration(2, "sds011", "B", "", slots("pm10", "pm2_5"), MIDNIGHT_MS)
    desk.take(posts[0].publish(Class.REPLY, second))
    return posts


def random_batch(rng: random.Random, unit: int, taken: set[tuple[int, int]]) -> SampleBatch:
    """Some instants of a unit that no other batch has, over three days; any flags, any of its slots."""
    width = 3 if unit == 1 else 2
    filled = tuple(sorted(rng.sample(range(width), rng.randint(1, width))))
    base = MIDNIGHT_MS + rng.choice((-DAY_MS, -60_000, 0, DAY_MS)) + rng.randrange(20) * 600_000
    times = sorted({base + rng.randrange(240) * 1000 for _ in range(rng.randint(1, 12))})
    times = [each for each in times if (unit, each) not in taken]
    taken |= {(unit, each) for each in times}
    if not times:
        return SampleBatch(())
    columns = tuple([rng.randint(-(2**31) + 1, 2**31 - 1) for _ in times] for _ in filled)
    words = [rng.getrandbits(64) if rng.random() < 0.3 else 0x1111_1111_1111_1111 for _ in times]
    return SampleBatch((SampleBlock(unit, filled, times, columns, words),))


@pytest.mark.parametrize("seed", range(2))
def test_rollups_are_what_the_samples_come_to_in_any_order(store: Store, seed: int) -> None:
    """Batches in any order, some twice, late ones into what is compressed; the worker at any moment."""
    rng = random.Random(seed)
    desk = store.desk
    posts = furnished(desk)
    incoming = []
    for post in posts:
        taken: set[tuple[int, int]] = set()
        for _ in range(12):
            unit = rng.randint(1, 2) if post.name == "kai-1" else 1
            batch = random_batch(rng, unit, taken)
            if batch.blocks:
                incoming.append(post.publish(Class.HISTORY, batch))
    incoming += rng.sample(incoming, 10)
    rng.shuffle(incoming)
    while incoming:
        size = rng.randint(1, 9)
        desk.take(*incoming[:size])
        del incoming[:size]
        if rng.random() < 0.3:
            store.settle()
            store.compress()
    store.settle()
    assert_all_agree(desk)
    assert desk.one("SELECT count(*) FROM rollup_dirty") == 0
    assert desk.one("SELECT count(*) FROM sample") == desk.one("SELECT sum(samples) FROM batch")
    move(desk, "kai-2", "Hill")
    store.settle()
    assert_all_agree(desk)
    move(desk, "hill-1", "")
    store.settle()
    assert_all_agree(desk)


def move(desk: Desk, name: str, district: str) -> None:
    desk.connection.execute("UPDATE device SET district = %s WHERE name = %s", (district, name))


def test_the_latest_of_a_slot_is_the_newest_of_all_the_sets_it_comes_in(store: Store) -> None:
    post, start = Post(), MIDNIGHT_MS
    store.desk.register(post)
    store.desk.take(post.declare())
    for at, filled_slots, value in ((2, (1,), 2), (1, (0, 1, 2), 1), (0, (0, 2), 0), (3, (2,), 3)):
        batch = post.samples([start + at * 1000], slots=filled_slots, value=value)
        store.desk.take(post.publish(Class.LIVE, batch))
    latest = "SELECT slot, value FROM latest JOIN series ON series.id = series_id ORDER BY slot"
    assert store.desk.rows(latest) == [(0, 1), (1, 2), (2, 3)]


def test_a_unit_with_all_sets_of_slots_keeps_those_that_matter(store: Store) -> None:
    """Two units with 32,767 sets each: the newest of every slot stays, whatever else goes."""
    desk, post = store.desk, Post()
    desk.register(post)
    desk.take(post.declare(1, slots=15), post.declare(2, "sds011", slots=15), post.declare(3, "co2"))
    desk.take(post.publish(Class.LIVE, post.samples([MIDNIGHT_MS], 3)))
    desk.connection.execute(
        "INSERT INTO latest_unit (sensor_unit, slots, time, s3, flags)"
        " SELECT u.id, m, timestamptz '2026-11-01Z' + (m * 7919 % 32749) * interval '1 s', m, 0"
        " FROM sensor_unit u, generate_series(1, 32767) m WHERE u.kind <> 'co2'"
    )
    latest = (
        "SELECT DISTINCT ON (s.id) s.id, l.time, l.slots"
        " FROM series s JOIN latest_unit l ON l.sensor_unit = s.sensor_unit_id"
        " WHERE (l.slots >> s.slot) & 1 = 1"
        " ORDER BY s.id, l.time DESC, l.slots DESC"
    )
    before = desk.rows(latest)
    assert len(before) == 33
    assert forget_surpassed(desk.connection) >= 2 * (32_767 - 16)
    assert forget_surpassed(desk.connection) == 0
    assert desk.rows(latest) == before
    assert desk.one("SELECT count(*) FROM latest_unit") <= 2 * 15 + 1
    assert len(desk.rows("SELECT * FROM latest")) == 33
    one = post.samples([MIDNIGHT_MS - 5000], 1, slots=(0, 2))
    desk.take(post.publish(Class.HISTORY, one))
    assert desk.rows(latest) == before, "an older row that comes again surpasses nothing"


def test_a_reading_that_comes_while_surpassed_rows_go_stays(database_url: str) -> None:
    row = (
        "INSERT INTO latest_unit (sensor_unit, slots, time, flags) VALUES (1, %s, %s, 0)"
        " ON CONFLICT (sensor_unit, slots) DO UPDATE SET time = excluded.time"
    )
    with psycopg.connect(database_url) as writer, psycopg.connect(database_url, autocommit=True) as other:
        for slots_ in range(1, 41):
            writer.execute(row, (slots_, NOW + timedelta(seconds=slots_)))
        writer.commit()
        writer.execute(row, (1, NOW + timedelta(days=1)))
        gone: list[int] = []
        forgetting = threading.Thread(target=lambda: gone.append(forget_surpassed(other)))
        forgetting.start()
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        with psycopg.connect(database_url, autocommit=True) as looking:
            wait_until(
                lambda: looking.execute(waiting).fetchone() == (1,), 10, "the worker to wait for the row"
            )
        writer.commit()
        forgetting.join(30)
        left = writer.execute("SELECT time FROM latest_unit WHERE slots = 1").fetchall()
    assert left == [(NOW + timedelta(days=1),)]
    assert gone[0] >= 40 - 7


def days_ago(days: float) -> int:
    return int((NOW - timedelta(days=days)).timestamp() * 1000) // 60_000 * 60_000


def filled(store: Store) -> Post:
    """A sample a day back to a hundred days, of three kinds of sensors, one kind a class."""
    desk = store.desk
    desk.connection.execute(
        "INSERT INTO retention_rule (tenant, kind, class) VALUES ('city', 'sps30', 'short'),"
        " ('city', 'co2', 'long'),"
        " ('elsewhere', 'pms5003', 'short')"
    )
    post = Post()
    desk.register(post)
    move(desk, post.name, "Harbour")
    for unit, kind in enumerate(("sps30", "pms5003", "co2"), start=1):
        desk.take(post.declare(unit, kind))
    for unit in (1, 2, 3):
        times = [days_ago(days) for days in range(100, -1, -1)]
        desk.take(post.publish(Class.HISTORY, post.samples(times, unit)))
    store.settle()
    return post


def counts(desk: Desk) -> dict[str, int]:
    return {name: desk.one(f"SELECT count(*) FROM sample_{name}") for name in ("short", "standard", "long")}


def retained(store: Store, keep: RetentionConfig) -> None:
    while retain(store.desk.connection, keep, NOW):
        pass


def test_samples_go_by_class_and_leave_a_line(store: Store) -> None:
    post = filled(store)
    desk = store.desk
    assert counts(desk) == {"short": 101, "standard": 101, "long": 101}
    before = {view: stored(desk, view) for view in ("rollup_1h", "rollup_1d")}
    retained(store, FOR_EVER)
    assert desk.rows("SELECT * FROM retention_log") == []
    keep = RetentionConfig(10, 50, 0, 60, 0, 0, 0, 0)
    retained(store, keep)
    left = counts(desk)
    # a partition or chunk goes as a whole, once its end is that old: not before
    assert 10 <= left["short"] <= 10 + 31
    assert 50 <= left["standard"] <= 50 + 31
    assert left["long"] == 101
    logged = dict(desk.rows("SELECT what, sum(rows)::int FROM retention_log GROUP BY what"))
    assert logged["sample_short"] == 101 - left["short"]
    assert logged["sample_standard"] == 101 - left["standard"]
    kept_from = dict(desk.rows("SELECT what, max(kept_from) FROM retention_log GROUP BY what"))
    oldest = desk.one("SELECT min(time) FROM sample_short")
    assert oldest <= NOW - timedelta(days=10)
    assert kept_from["sample_short"] <= oldest
    # hours outlive their minutes, and what comes too late for them does not overwrite them
    assert desk.one("SELECT min(bucket) FROM rollup_1m") > NOW - timedelta(days=60 + 31)
    late = post.publish(Class.HISTORY, post.samples([days_ago(99) + 7_000], 3, value=5))
    assert desk.take(late).counts["samples"] == 1
    store.settle()
    assert {view: stored(desk, view) for view in before} == before
    assert counts(desk)["long"] == 102
    retained(store, keep)
    assert desk.one("SELECT count(*) FROM rollup_1m WHERE bucket < %s", NOW - timedelta(days=95)) == 0


def test_a_day_whose_hours_are_gone_is_not_made_anew(store: Store) -> None:
    """Hours go by the day, minutes by the month: a late reading may find minutes and not their hours."""
    post = filled(store)
    desk = store.desk
    morning = days_ago(60.25)  # of the day in which the hours now end
    desk.take(post.publish(Class.HISTORY, post.samples([morning], 3, value=7)))
    store.settle()
    before = stored(desk, "rollup_1d")
    retained(store, RetentionConfig(0, 0, 0, 60, 60, 0, 0, 0))
    late = [days_ago(65 - 0.125), days_ago(60 - 0.125)]
    assert desk.take(post.publish(Class.HISTORY, post.samples(late, 3, value=5))).counts["samples"] == 2
    store.settle()
    days = stored(desk, "rollup_1d")
    for key, fold in before.items():
        assert days[key] == fold or days[key][0] == fold[0] + 1, (key, days[key], fold)
    # of a day that has hours left, all are left
    hours = stored(desk, "rollup_1h")
    first = begin(min(bucket for _, bucket in hours), timedelta(days=1))
    for (series, bucket), fold in days.items():
        of_day = [
            each[0] for key, each in hours.items() if key[0] == series and key[1].date() == bucket.date()
        ]
        assert bucket < first or sum(of_day) == fold[0], (series, bucket)


def test_hours_follow_late_minutes_as_far_back_as_minutes_are_kept(store: Store) -> None:
    """Right after what was dropped, not only from the horizon on."""
    post = filled(store)
    desk = store.desk
    retained(store, RetentionConfig(0, 0, 0, 58, 0, 0, 0, 0))
    oldest = desk.one("SELECT min(bucket) FROM rollup_1m")
    late = int(oldest.timestamp() * 1000) + 60_000
    desk.take(post.publish(Class.HISTORY, post.samples([late], 3, value=5)))
    store.settle()
    hour = begin(oldest.astimezone(UTC), timedelta(hours=1))
    assert desk.rows("SELECT sum(n)::int FROM rollup_1h WHERE bucket = %s", hour) == [(12,)]


def test_a_tenant_keeps_less_than_the_class(store: Store) -> None:
    filled(store)
    desk = store.desk
    store.compress()
    desk.connection.execute(
        "INSERT INTO tenant_retention VALUES ('city', 'long', 20), ('elsewhere', 'short', 1)"
    )
    retained(store, FOR_EVER)
    assert counts(desk) == {"short": 101, "standard": 101, "long": 21}
    assert desk.rows("SELECT what, tenant, sum(rows)::int FROM retention_log GROUP BY what, tenant") == [
        ("sample_long", "city", 80)
    ]


def test_rows_of_other_tables_go_in_batches(store: Store) -> None:
    post = filled(store)
    desk = store.desk
    desk.take(post.publish(Class.LIVE, b"\x01\x00garbage"))
    desk.connection.execute("UPDATE dead_letter SET received_at = received_at - interval '80 days'")
    desk.connection.execute(
        "INSERT INTO verdict (device_id, sensor_unit, time, kind, score, confidence, reason, model,"
        "                     input_hash, decided_at)"
        " SELECT u.device_id, u.id, %s::timestamptz - d * interval '1 day', 'episode', 1, 1, '', '', '',"
        " now()"
        " FROM sensor_unit u, generate_series(1, 100, 10) d WHERE u.kind = 'co2'",
        (NOW,),
    )
    desk.connection.execute("UPDATE verdict SET decided_at = NULL WHERE time < '2026-09-05Z'")
    assert desk.one("SELECT count(*) FROM verdict WHERE decided_at IS NULL") == 2
    retained(store, RetentionConfig(0, 0, 0, 14, 30, 60, 30, 30))
    assert desk.one("SELECT count(*) FROM dead_letter") == 0
    assert desk.one("SELECT count(*) FROM verdict") == 3 + 2
    hour = "SELECT extract(day FROM %s - min(bucket))::int FROM {}"
    if store.engine == "partitions":
        assert desk.one(hour.format("unit_hour"), NOW) == 30
        assert desk.one(hour.format("unit_day"), NOW) in (59, 60)
    assert desk.one(hour.format("district_hour"), NOW) == 30
    assert desk.one(hour.format("district_day"), NOW) in (59, 60)
