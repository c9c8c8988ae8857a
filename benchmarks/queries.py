"""Queries over a city: 500 lampposts of twelve channels, thirty days at five minutes (52 million readings).

The rows go straight into the tables that the ingest writes; the hours, days and districts are made by the
worker role's own code; PostgreSQL runs as it does in production. Then the service's functions are asked, as
the pages and the HTTP routes ask them: a figure is from the call to the last value in Python. Over HTTP the
same, with JSON, the session's check and the loopback. Each question is for another lamppost or channel.

    python -m benchmarks.queries [--quick] [--keep DIR]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import numpy as np
import psycopg
import uvicorn

from benchmarks import report
from benchmarks.report import Figure, at_most, shown
from fleet_server import collector
from fleet_server.access import service as access
from fleet_server.access.errors import NameTaken
from fleet_server.access.rules import CONSOLE, Role
from fleet_server.api import create_app
from fleet_server.clock import StreetClock
from fleet_server.context import Context
from fleet_server.embedded_server import EmbeddedServer
from fleet_server.migrations import upgrade
from fleet_server.telemetry import service
from fleet_server.telemetry.district_store import Wanted
from fleet_server.telemetry.ingest.pg_binary import copy_stream, to_timestamptz
from fleet_server.telemetry.partitions import make_months, months_of
from fleet_server.telemetry.rules import Resolution
from fleet_server.telemetry.upkeep.loops import LOOPS, Bench
from tests.support.ports import free_port
from tests.support.server_context import VIEWER, make_context

DEVICES, CHANNELS, DISTRICTS = 500, 12, 10
DAYS, CADENCE_MS = 30, 300_000
NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
BAR_MS = 30.0
TURNS = 60  # of each question: the p95 is the fourth slowest
FOLDING = ("roll up hours and days", "districts")  # of the worker role's loops
PASSWORD = "a lamp for every street"

_FLEET = f"""
INSERT INTO device (tenant, name, state, district)
SELECT 'city', 'lamp-' || lpad(i::text, 4, '0'), 'active', 'District ' || (i %% {DISTRICTS})
FROM generate_series(1, %(devices)s) i;
INSERT INTO sensor_unit (device_id, kind, layout, declared_at)
SELECT id, 'pms5003', '[]', %(begins)s FROM device ORDER BY id;
INSERT INTO series (sensor_unit_id, slot, channel, unit, exponent)
SELECT u.id, i, CASE i WHEN 1 THEN 'pm2_5' ELSE 'channel_' || i END, 'ug/m3', -1
FROM sensor_unit u CROSS JOIN generate_series(0, {CHANNELS - 1}) i ORDER BY u.id, i;
"""
_SLOTS = range(CHANNELS)
_MINUTES = f"""
INSERT INTO unit_minute (sensor_unit, bucket,
    {", ".join(f"{field}_{i}" for field in ("n", "sum", "min", "max", "flagged") for i in _SLOTS)})
SELECT sensor_unit, time, {", ".join(["1"] * CHANNELS)},
    {", ".join(f"s{i}" for _ in ("sum", "min", "max") for i in _SLOTS)}, {", ".join(["0"] * CHANNELS)}
FROM sample
"""
_VALUES = ", ".join(f"s{i}" for i in _SLOTS)
_LATEST = f"""
INSERT INTO latest_unit (sensor_unit, slots, time, {_VALUES}, flags)
SELECT s.sensor_unit, {2**CHANNELS - 1}, s.time, {", ".join(f"s.s{i}" for i in _SLOTS)}, s.flags
FROM sensor_unit u CROSS JOIN LATERAL (
    SELECT * FROM sample WHERE sensor_unit = u.id ORDER BY time DESC LIMIT 1) s
"""
_MARKS = """
INSERT INTO rollup_dirty (sensor_unit, hour)
SELECT u.id, h FROM sensor_unit u CROSS JOIN generate_series(%(begins)s, %(last)s, interval '1 hour') h
ORDER BY h, u.id
"""


def fill(context: Context, days: int) -> int:
    """A month of a city; returns how many readings."""
    begins = NOW - timedelta(days=days)
    times_ms = np.arange(begins.timestamp() * 1000, NOW.timestamp() * 1000, CADENCE_MS, dtype=np.int64)
    with psycopg.connect(context.db.url, autocommit=True) as connection:
        make_months(connection, months_of(times_ms))
        values = {"devices": DEVICES, "begins": begins, "last": NOW - timedelta(hours=1)}
        for statement in _FLEET.split(";")[:-1]:
            connection.execute(statement, values if "%(" in statement else None)
        units = [unit for (unit,) in connection.execute("SELECT id FROM sensor_unit ORDER BY id")]
        _copy_samples(connection, units, times_ms)
        for statement in (_MINUTES, _LATEST):
            connection.execute(statement)
        connection.execute(_MARKS, values)
        connection.execute("VACUUM (ANALYZE)")
    bench = Bench(context)
    for loop in LOOPS:
        while loop.name in FOLDING and loop.tick(bench):
            pass
    bench.connection.execute("VACUUM (ANALYZE)")
    bench.connection.execute("CHECKPOINT")
    bench.close()
    return len(units) * len(times_ms) * CHANNELS


def _copy_samples(connection: psycopg.Connection, units: Sequence[int], times_ms: np.ndarray) -> None:
    """A slow walk of each channel, ten lampposts a COPY."""
    rng = np.random.default_rng(4)
    names = ", ".join(["sensor_unit", "time", *(f"s{slot}" for slot in _SLOTS), "flags"])
    for start in range(0, len(units), 10):
        some = units[start : start + 10]
        rows = len(some) * len(times_ms)
        walks = rng.integers(-3, 4, (CHANNELS, len(some), len(times_ms))).cumsum(axis=2)
        values = np.abs(walks.reshape(CHANNELS, rows) + 150)
        stream = copy_stream(
            [
                (np.repeat(some, len(times_ms)), ">i4"),
                (to_timestamptz(np.tile(times_ms, len(some))), ">i8"),
                *((column, ">i4") for column in values),
                (np.full(rows, 0x1111_1111_1111, np.int64), ">i8"),
            ]
        )
        with (
            connection.cursor() as cursor,
            cursor.copy(f"COPY sample_standard ({names}) FROM STDIN (FORMAT binary)") as copy,
        ):
            copy.write(stream)


def timed_ms(ask: Callable[[int], object]) -> tuple[float, float]:
    """p50 and p95 of a question, by the number of the turn; a few turns before warm the caches."""
    for turn in range(5):
        ask(turn)
    collector.settle()  # as the roles that serve do
    took = []
    for turn in range(TURNS):
        started = time.perf_counter()
        ask(turn + 5)
        took.append((time.perf_counter() - started) * 1000)
    return statistics.median(took), float(np.percentile(took, 95))


def asked(context: Context, days: int) -> list[Figure]:
    """The service's answers, p50 and p95."""
    day, month = timedelta(days=1), timedelta(days=days)
    channels = ["pm2_5", *(f"channel_{i}" for i in _SLOTS if i != 1)]

    def latest(_turn: int) -> None:
        assert len(service.latest(context, VIEWER, limit=10_000)) == DEVICES * CHANNELS

    def one_channel(turn: int) -> None:
        series = 1 + turn * 997 % (DEVICES * CHANNELS)
        assert len(service.series(context, VIEWER, series, NOW - day, NOW).points) == 288

    def unit(turn: int) -> None:
        seen = service.unit(context, VIEWER, 1 + turn * 83 % DEVICES, NOW - day, NOW, width=800)
        assert len(seen.chart.times) == 288

    def districts(turn: int) -> None:
        wanted = Wanted((channels[turn % CHANNELS],))
        seen = service.districts(context, VIEWER, wanted, NOW - month, NOW, Resolution.HOUR)
        assert sum(len(each.points) for each in seen.groups) == DISTRICTS * days * 24

    found = []
    for name, ask, bar in (
        (f"latest of {DEVICES} devices, {DEVICES * CHANNELS:,} readings", latest, BAR_MS),
        ("24 h of one channel", one_channel, BAR_MS),
        (f"{days}-day hourly means of {DISTRICTS} districts over all devices", districts, BAR_MS),
        (f"24 h of a unit's {CHANNELS} channels, 800 pixels wide", unit, None),
    ):
        p50, p95 = timed_ms(ask)
        found.append(shown(f"{name}: p50", p50, "ms"))
        found.append(
            shown(f"{name}: p95", p95, "ms") if bar is None else at_most(f"{name}: p95", p95, "ms", bar)
        )
    return found


@contextmanager
def served(context: Context) -> Iterator[httpx.Client]:
    """The HTTP API in a thread, and a client that is signed in."""
    with suppress(NameTaken):  # a database that is used again
        access.create_operator(context, CONSOLE, "ana", PASSWORD, (Role.VIEWER,))
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(create_app(context), port=port, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    with httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v1", timeout=60) as client:
        client.post("/session", json={"name": "ana", "password": PASSWORD})
        yield client
    server.should_exit = True
    thread.join()


def over_http(context: Context) -> list[Figure]:
    """The largest answer, whole and unchanged."""
    found = []
    with served(context) as client:
        address, many = "/telemetry/latest", {"limit": 10_000}
        tag = client.get(address, params=many).headers["etag"]

        def whole(_turn: int) -> None:
            assert client.get(address, params=many).status_code == 200

        def unchanged(_turn: int) -> None:
            assert client.get(address, params=many, headers={"If-None-Match": tag}).status_code == 304

        for name, ask in (("whole, JSON", whole), ("unchanged, 304", unchanged)):
            p50, p95 = timed_ms(ask)
            found += [shown(f"latest of {DEVICES} devices over HTTP, {name}: p50", p50, "ms")]
            found += [shown(f"latest of {DEVICES} devices over HTTP, {name}: p95", p95, "ms")]
    return found


def figures(quick: bool = False, folder: Path | None = None) -> list[Figure]:
    """quick: three days instead of thirty. folder: a database that is kept, or was."""
    days = DAYS // 10 if quick else DAYS
    with tempfile.TemporaryDirectory(prefix="lamppost-bench-") as made:
        directory = folder or Path(made)
        directory.mkdir(exist_ok=True)
        directory.chmod(0o777)  # where this is root, PostgreSQL runs as another account
        known = (directory / "postgres").exists()
        with EmbeddedServer(directory / "postgres") as server:
            context = make_context(server.url(), directory)
            clock = StreetClock(wall_ms=lambda: NOW.timestamp() * 1000)
            context = replace(context, clock=clock)
            if not known:
                upgrade(server.url())
                started = time.perf_counter()
                readings = fill(context, days)
                print(f"  {readings:,} readings, filled and folded in {time.perf_counter() - started:.0f} s")
            try:
                return asked(context, days) + over_http(context)
            finally:
                context.db.close()


def main(arguments: Sequence[str] = ()) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.queries")
    parser.add_argument("--quick", action="store_true", help="three days instead of thirty")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the database here, and use it again")
    options = parser.parse_args(arguments)
    print(report.machine())
    for line in report.lines(figures(options.quick, options.keep)):
        print(line)


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
