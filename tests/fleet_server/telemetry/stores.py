"""The stores that the suite runs on, and what it compares them with: rollups made of samples in Python."""

from __future__ import annotations

import itertools
import os
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

from fleet_server import migrations
from fleet_server.telemetry import timescale
from fleet_server.telemetry.ingest.rows import EXCLUDED
from fleet_server.telemetry.timescale import keep_policy
from fleet_server.telemetry.upkeep.districts import follow_districts
from fleet_server.telemetry.upkeep.rollups import roll_up
from tests.fleet_server.telemetry.support import Desk
from tests.support import pretend_timescale
from tests.support.postgres import with_database

GIVEN = os.environ.get("LAMPPOST_TEST_TIMESCALE_URL", "")
SERVER = GIVEN if urlsplit(GIVEN).path.strip("/") or not GIVEN else with_database(GIVEN, "postgres")
ENGINES = (
    "partitions",
    "pretended",
    pytest.param("timescale", marks=pytest.mark.timescale),
)
BOTH = (ENGINES[0], ENGINES[2])
"""What is no pretence."""
_numbers = itertools.count(1)
SLOTS = range(16)
NONE = (0, 0, None, None, 0)
Fold = tuple[int, int, int | None, int | None, int]
"""n, sum, min, max, flagged."""


@contextmanager
def new_timescale_database() -> Iterator[str]:
    """An empty one on the server with TimescaleDB; skips where there is none."""
    if not GIVEN:
        pytest.skip("no TimescaleDB here (set LAMPPOST_TEST_TIMESCALE_URL)")
    name = f"lamppost_timescale_{os.getpid()}_{next(_numbers)}"  # a module's own may live beside a test's
    drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
    with psycopg.connect(SERVER, autocommit=True) as server:
        server.execute(drop)
        server.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
        try:
            yield with_database(SERVER, name)
        finally:
            server.execute(drop)


def put_jobs_to_sleep(connection: psycopg.Connection[Any]) -> None:
    """No policy acts by itself: a test compresses and refreshes what it wants."""
    connection.execute(
        "SELECT alter_job(job_id, scheduled => false) FROM timescaledb_information.jobs"
        " WHERE job_id >= 1000 AND scheduled"
    )


def _asleep(connection: psycopg.Connection[Any], table: str, days: int) -> None:
    """The worker's retention adds policies, whose jobs run at once: in one transaction they never do."""
    with connection.transaction():
        keep_policy(connection, table, days)
        put_jobs_to_sleep(connection)


@dataclass
class Store:
    """One database at the newest migration."""

    engine: str
    url: str
    desk: Desk

    def compress(self) -> None:
        """All that can be."""
        if self.engine != "timescale":
            return
        for table in ("sample_short", "sample_standard", "sample_long", "unit_minute"):
            for (chunk,) in self.desk.rows(f"SELECT show_chunks('{table}')::text"):
                self.desk.rows("SELECT compress_chunk(%s::regclass, if_not_compressed => true)::text", chunk)

    def settle(self) -> None:
        """Let the worker do what there is to do."""
        while roll_up(self.desk.connection):
            pass
        while follow_districts(self.desk.connection):
            pass


@contextmanager
def url_on(engine: str, partitions: str, patch: pytest.MonkeyPatch) -> Iterator[str]:
    """For a module's own `database_url`, with `BOTH` as its params: the given one, or one on TimescaleDB."""
    if engine != "timescale":
        if engine == "pretended":
            pretend_timescale.install(partitions, patch)
            migrations.upgrade(partitions)
        yield partitions
        return
    patch.setattr(timescale, "keep_policy", _asleep)
    with new_timescale_database() as url:
        migrations.upgrade(url)
        with psycopg.connect(url, autocommit=True) as connection:
            put_jobs_to_sleep(connection)
        yield url


@contextmanager
def opened(engine: str, request: pytest.FixtureRequest, patch: pytest.MonkeyPatch) -> Iterator[Store]:
    partitions = "" if engine == "timescale" else request.getfixturevalue("database_url")
    with url_on(engine, partitions, patch) as url:
        desk = Desk(url)
        yield Store(engine, url, desk)
        desk.close()


def fold(a: Fold, b: Fold) -> Fold:
    low = [x for x in (a[2], b[2]) if x is not None]
    high = [x for x in (a[3], b[3]) if x is not None]
    return a[0] + b[0], a[1] + b[1], min(low, default=None), max(high, default=None), a[4] + b[4]


def begin(at: datetime, width: timedelta) -> datetime:
    zero = datetime(2000, 1, 1, tzinfo=UTC)
    return zero + (at - zero) // width * width


def from_samples(desk: Desk, width: timedelta) -> dict[tuple[int, datetime], Fold]:
    """By series and bucket: what `sample` comes to, one reading at a time."""
    series = {
        (unit, slot): id_ for id_, unit, slot in desk.rows("SELECT id, sensor_unit_id, slot FROM series")
    }
    found: dict[tuple[int, datetime], Fold] = defaultdict(lambda: NONE)
    names = ", ".join(f"s{slot}" for slot in SLOTS)
    for unit, time, flags, *values in desk.rows(f"SELECT sensor_unit, time, flags, {names} FROM sample"):
        for slot, value in enumerate(values):
            if value is None:
                continue
            bad = bool(EXCLUDED[(flags >> (4 * slot)) & 15])
            one: Fold = (0, 0, None, None, 1) if bad else (1, value, value, value, 0)
            key = series[unit, slot], begin(time.astimezone(UTC), width)
            found[key] = fold(found[key], one)
    return dict(found)


def stored(desk: Desk, view: str) -> dict[tuple[int, datetime], Fold]:
    rows = desk.rows(f"SELECT series_id, bucket, n, sum, min, max, flagged FROM {view}")
    assert len({row[:2] for row in rows}) == len(rows)
    return {(series, bucket.astimezone(UTC)): tuple(rest) for series, bucket, *rest in rows}  # type: ignore[misc]


District = tuple[str, str, str, str, datetime]
"""tenant, district, channel, unit, bucket."""


def districts_from_samples(
    desk: Desk, width: timedelta
) -> dict[District, tuple[int, int, float, float, float]]:
    """lampposts, n, mean of the lampposts' means, lowest, highest."""
    meaning = {
        id_: (tenant, district, channel, unit, device, 10.0**exponent)
        for id_, tenant, district, channel, unit, device, exponent in desk.rows(
            "SELECT s.id, d.tenant, d.district, s.channel, s.unit, d.id, s.exponent FROM series s"
            " JOIN sensor_unit u ON u.id = s.sensor_unit_id JOIN device d ON d.id = u.device_id"
        )
    }
    posts: dict[District, dict[int, list[tuple[int, float, float, float]]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for (series, bucket), (n, total, low, high, _) in from_samples(desk, width).items():
        tenant, district, channel, unit, device, scale = meaning[series]
        if n and district:
            assert low is not None
            assert high is not None
            one = (n, total * scale, low * scale, high * scale)
            posts[tenant, district, channel, unit, bucket][device].append(one)
    found = {}
    for key, devices in posts.items():
        parts = [part for each in devices.values() for part in each]
        means = [sum(p[1] for p in each) / sum(p[0] for p in each) for each in devices.values()]
        found[key] = (
            len(devices),
            sum(part[0] for part in parts),
            sum(means) / len(means),
            min(part[2] for part in parts),
            max(part[3] for part in parts),
        )
    return found


def stored_districts(desk: Desk, table: str) -> dict[District, tuple[int, int, float, float, float]]:
    return {
        (tenant, district, channel, unit, bucket.astimezone(UTC)): tuple(rest)  # type: ignore[misc]
        for tenant, district, channel, unit, bucket, *rest in desk.rows(
            f"SELECT tenant, district, channel, unit, bucket, lampposts, n, mean, low, high FROM {table}"
        )
    }


def assert_all_agree(desk: Desk) -> None:
    """Every rollup is what the samples come to."""
    for view, width in (("rollup_1m", 60), ("rollup_1h", 3600), ("rollup_1d", 86_400)):
        assert stored(desk, view) == from_samples(desk, timedelta(seconds=width)), view
    for table, width in (("district_hour", 3600), ("district_day", 86_400)):
        expected = districts_from_samples(desk, timedelta(seconds=width))
        there = stored_districts(desk, table)
        assert there.keys() == expected.keys(), table
        for key, values in expected.items():
            assert there[key] == pytest.approx(values, rel=1e-9), (table, key)
