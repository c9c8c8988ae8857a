"""Ingest: from compressed bytes to commit, everything included, on the embedded PostgreSQL (fsync on).

Floor: the same rows, already decoded, sorted and packed, by bare binary COPY into the same table, one
transaction a group.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from fleet_server.embedded_server import EmbeddedServer
from fleet_server.migrations import upgrade
from fleet_server.telemetry.ingest.intake import Incoming
from fleet_server.telemetry.ingest.pg_binary import copy_stream, to_timestamptz
from tests.fleet_server.telemetry.support import MINUTE_MS, NOW_MS, Desk, Post
from wire_contract.classes import Class

POSTS = 128
BATCHES = 10  # a post
ROWS = 60  # a batch: an hour of one-minute samples
SLOTS = tuple(range(12))
GROUP_MESSAGES = 64  # as the ingest role is configured
READINGS = POSTS * BATCHES * ROWS * len(SLOTS)


def messages(posts: Sequence[Post]) -> list[Incoming]:
    """The batches in the order in which they arrive: one of each post, then the next of each."""
    found = []
    for batch in range(BATCHES):
        begins = NOW_MS - (BATCHES - batch) * ROWS * MINUTE_MS
        times = range(begins, begins + ROWS * MINUTE_MS, MINUTE_MS)
        found += [post.publish(Class.HISTORY, post.samples(times, slots=SLOTS)) for post in posts]
    return found


def ingest_s(desk: Desk, incoming: Sequence[Incoming]) -> float:
    """Seconds to store them all."""
    started = time.perf_counter()
    for first in range(0, len(incoming), GROUP_MESSAGES):
        desk.take(*incoming[first : first + GROUP_MESSAGES], now=datetime.now(UTC))
    return time.perf_counter() - started


def copy_s(desk: Desk) -> float:
    """Seconds for the floor: as many rows, of sensor units that do not exist."""
    rows = GROUP_MESSAGES * ROWS
    names = ", ".join(["sensor_unit", "time", *(f"s{slot}" for slot in SLOTS), "flags"])
    streams = []
    for group in range(POSTS * BATCHES // GROUP_MESSAGES):
        unit = np.repeat(np.arange(GROUP_MESSAGES) + 1_000_000 + group * GROUP_MESSAGES, ROWS)
        at = to_timestamptz(np.tile(NOW_MS + np.arange(ROWS) * MINUTE_MS, GROUP_MESSAGES))
        values = [((at // 1_000_000 + slot) % 10_000, ">i4") for slot in SLOTS]
        streams.append(copy_stream([(unit, ">i4"), (at, ">i8"), *values, (np.ones(rows, np.int64), ">i8")]))
    started = time.perf_counter()
    for stream in streams:
        with (
            desk.connection.transaction(),
            desk.connection.cursor() as cursor,
            cursor.copy(f"COPY sample ({names}) FROM STDIN (FORMAT binary)") as copy,
        ):
            copy.write(stream)
    return time.perf_counter() - started


def main() -> None:
    """Print readings a second and the ratio."""
    with tempfile.TemporaryDirectory(prefix="lamppost-bench-") as folder:
        Path(folder).chmod(0o711)  # PostgreSQL runs as another account where this is root
        with EmbeddedServer(Path(folder) / "postgres") as server:
            upgrade(server.url())
            desk = Desk(server.url(), "bench")
            posts = [Post(f"lamp-{number:03}") for number in range(POSTS)]
            desk.register(*posts)
            for post in posts:
                desk.take(post.declare(slots=len(SLOTS)))
            ours, floor = ingest_s(desk, messages(posts)), copy_s(desk)
            desk.close()
    rate = READINGS / ours / 1e6
    print(f"{rate:.2f} M readings/s from bytes to commit: {ours / floor:.1f} x the time of bare binary COPY")


if __name__ == "__main__":
    main()
