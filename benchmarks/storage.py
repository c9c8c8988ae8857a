"""What the database keeps: 50 lampposts, 30 days, 12 channels a minute, through the code of the ingest.

On the embedded PostgreSQL, and where LAMPPOST_TEST_TIMESCALE_URL names a server with TimescaleDB there too,
its chunks compressed. Bytes are what the tables and their indexes take on the disk (pg_total_relation_size).
Floor: the same rows as bare integers, 4 bytes a value, 8 a time.

    python -m benchmarks storage
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import numpy as np
import psycopg

from benchmarks.report import Figure, at_least_of_floor, lines, machine, shown
from fleet_server.embedded_server import EmbeddedServer
from fleet_server.migrations import upgrade
from fleet_server.telemetry.upkeep.rollups import MARKS_A_TICK, roll_up
from tests.fleet_server.telemetry.stores import put_jobs_to_sleep
from tests.fleet_server.telemetry.support import NOW_MS, Desk, Post
from tests.support.sensor_noise import LEVELS, deviation
from wire_contract.classes import Class
from wire_contract.flags import good_word
from wire_contract.messages import SampleBatch, SampleBlock

POSTS, DAYS = 50, 30
SLOTS = tuple(range(12))
MINUTE_MS, ROWS = 60_000, 60  # an hour a batch
GROUP = 100
BARE_BYTES = (8 + 4 * len(SLOTS)) / len(SLOTS)
TIMESCALE = os.environ.get("LAMPPOST_TEST_TIMESCALE_URL", "")
# Partitions and chunks are tables of their own: by name, what belongs to which part.
_SIZES = """
SELECT n.nspname || '.' || c.relname, pg_total_relation_size(c.oid) FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema')
"""
_HYPERTABLES = """
SELECT hypertable_name::text, hypertable_size(format('%I.%I', hypertable_schema, hypertable_name)::regclass)
FROM timescaledb_information.hypertables
"""
_AGGREGATES = """
SELECT hypertable_size(
    format('%I.%I', materialization_hypertable_schema, materialization_hypertable_name)::regclass)
FROM timescaledb_information.continuous_aggregates WHERE view_name LIKE 'unit_%'
"""
PARTS = {"samples": "sample", "minutes": "unit_minute", "hours and days": "unit_"}


def fill(desk: Desk, posts: int, days: int) -> int:
    """Store the month; returns how many readings."""
    rng = np.random.default_rng(1)
    levels = np.array(LEVELS["pms5003"], dtype=float)[:, None]
    spread = np.array([[deviation(level)] for level in LEVELS["pms5003"]])
    flags = [good_word(SLOTS)] * ROWS
    fleet = [Post(f"lamp-{number:03}") for number in range(posts)]
    desk.register(*fleet)
    desk.take(*(post.declare(slots=len(SLOTS)) for post in fleet))
    begins = NOW_MS - NOW_MS % 3_600_000 - days * 24 * 3_600_000
    group = []
    for hour in range(days * 24):
        swing = 1 + 0.5 * np.sin(2 * np.pi * (hour % 24) / 24)  # a day's shape
        times = [begins + (hour * ROWS + minute) * MINUTE_MS for minute in range(ROWS)]
        for post in fleet:
            noisy = np.maximum(0, np.rint(rng.normal(levels * swing, spread, (len(SLOTS), ROWS)))).astype(int)
            block = SampleBlock(1, SLOTS, times, tuple(noisy.tolist()), flags)
            group.append(post.publish(Class.HISTORY, SampleBatch((block,))))
            if len(group) == GROUP:
                desk.take(*group)
                group = []
    if group:
        desk.take(*group)
    while roll_up(desk.connection) >= MARKS_A_TICK:
        pass
    return posts * days * 24 * ROWS * len(SLOTS)


def sizes(connection: psycopg.Connection[Any], names: dict[str, Sequence[str]]) -> dict[str, int]:
    """Bytes by part. names: part -> the tables, partitions and chunks that belong to it."""
    found = {str(name): int(size) for name, size in connection.execute(_SIZES)}
    return {part: sum(found.get(table, 0) for table in tables) for part, tables in names.items()}


def native(connection: psycopg.Connection[Any]) -> dict[str, Sequence[str]]:
    """Tables and their partitions by the beginning of their names."""
    tables = [str(row[0]) for row in connection.execute(_SIZES)]
    short = {table: table.split(".", 1)[1] for table in tables}
    parts: dict[str, Sequence[str]] = {
        part: [t for t in tables if short[t].startswith(start)] for part, start in PARTS.items()
    }
    parts["hours and days"] = [t for t in parts["hours and days"] if t not in parts["minutes"]]
    return parts


def chunks(connection: psycopg.Connection[Any]) -> dict[str, int]:
    """Bytes of hypertables with everything that belongs to them, compressed; by the parts of `native`.

    Hours and days lie in the hypertables that continuous aggregates are materialized in, or in tables where
    this TimescaleDB has none.
    """
    for (chunk,) in connection.execute(
        "SELECT format('%I.%I', chunk_schema, chunk_name) FROM timescaledb_information.chunks c"
        " WHERE NOT is_compressed AND (hypertable_name LIKE 'sample%' OR hypertable_name = 'unit_minute')"
    ).fetchall():
        connection.execute("SELECT compress_chunk(%s::regclass)", (chunk,))
    found = dict(connection.execute(_HYPERTABLES).fetchall())
    parts = {
        part: sum(int(size) for name, size in found.items() if name.startswith(start))
        for part, start in PARTS.items()
        if part != "hours and days"
    }
    materialized = connection.execute(_AGGREGATES).fetchall()
    if not materialized:
        return parts | {"hours and days": sizes(connection, native(connection))["hours and days"]}
    return parts | {"hours and days": sum(int(size) for (size,) in materialized)}


def figures(quick: bool = False) -> list[Figure]:
    """Bytes a reading by part."""
    posts, days = (10, 3) if quick else (POSTS, DAYS)
    found = []
    with tempfile.TemporaryDirectory(prefix="lamppost-bench-") as made:
        folder = Path(made)
        folder.chmod(0o755)
        with EmbeddedServer(folder / "postgres") as server:
            found += _told("PostgreSQL", server.url(), posts, days)
    if TIMESCALE:
        with _database(TIMESCALE) as url:
            found += _told("TimescaleDB, compressed", url, posts, days)
    return found


def _told(where: str, url: str, posts: int, days: int) -> list[Figure]:
    upgrade(url)
    desk = Desk(url, "bench")
    timescale = bool(desk.one("SELECT count(*) FROM pg_extension WHERE extname = 'timescaledb'"))
    if timescale:
        put_jobs_to_sleep(desk.connection)  # or they compress and remove in the middle of the month
    readings = fill(desk, posts, days)
    parts = chunks(desk.connection) if timescale else sizes(desk.connection, native(desk.connection))
    desk.close()
    name = f"stored, {where}, {posts} lampposts, {days} days"
    samples = parts["samples"] / readings
    return [
        at_least_of_floor(f"{name}: samples", samples, "bytes/reading", BARE_BYTES, None),
        *(
            shown(f"{name}: {part}", size / readings, "bytes/reading")
            for part, size in parts.items()
            if part != "samples"
        ),
        shown(f"{name}: all of it", sum(parts.values()) / 1e6, "MB"),
    ]


@contextmanager
def _database(server: str) -> Iterator[str]:
    """A database of its own on that server, dropped afterwards."""
    name = f"lamppost_bench_{os.getpid()}"
    base = (
        server
        if urlsplit(server).path.strip("/")
        else urlunsplit(urlsplit(server)._replace(path="/postgres"))
    )
    with psycopg.connect(base, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
        try:
            yield urlunsplit(urlsplit(base)._replace(path=f"/{name}"))
        finally:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def main() -> None:
    print(machine())
    print("\n".join(lines(figures())))


if __name__ == "__main__":
    main()
