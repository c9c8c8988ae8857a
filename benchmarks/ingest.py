"""Ingest: readings a second from compressed wire bytes to commit, all included, on PostgreSQL with fsync.

Two kinds of message, each 60 rows of 12 channels with a PMS5003's noise: a minute at 1 Hz (one or two minutes
of each channel's rollup), and an hour of one-minute samples (each row a minute of its own: the dearest). Each
writer is a process, as the ingest role's workers are. The best of some rounds counts: others were disturbed.

Floors, measured in the same run, by one writer into the same table on the same server:
per group: rows that are decoded, sorted and packed already, by bare binary COPY, one transaction a group;
one shot: all of them by the server's own COPY from a file.

    python -m benchmarks.ingest [--json] [--posts N] [--batches N] [--rounds N]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from fleet_server.embedded_server import EmbeddedServer
from fleet_server.migrations import upgrade
from fleet_server.telemetry.ingest.intake import Incoming
from fleet_server.telemetry.ingest.pg_binary import copy_stream, to_timestamptz
from tests.fleet_server.telemetry.support import NOW_MS, Desk, Post
from tests.support.sensor_noise import LEVELS, deviation
from wire_contract.classes import Class
from wire_contract.flags import good_word
from wire_contract.messages import SampleBatch, SampleBlock

ROWS = 60
SLOTS = tuple(range(12))
GROUP_MESSAGES = 64  # as the ingest role is configured
CADENCES_MS = {"1 Hz": 1_000, "1/min": 60_000}


def messages(posts: Sequence[Post], batches: int, cadence_ms: int) -> list[Incoming]:
    """The batches in the order in which they arrive: one of each post, then the next of each."""
    rng = np.random.default_rng(1)
    levels = np.array(LEVELS["pms5003"])[:, None]
    spread = np.array([[deviation(level)] for level in LEVELS["pms5003"]])
    flags = [good_word(SLOTS)] * ROWS
    found = []
    for batch in range(batches):
        begins = NOW_MS - (batches - batch) * ROWS * cadence_ms
        for post in posts:
            times = (np.arange(ROWS) * cadence_ms + begins + rng.integers(-3, 4, ROWS)).tolist()
            noisy = np.maximum(0, np.rint(rng.normal(levels, spread, (len(SLOTS), ROWS)))).astype(int)
            block = SampleBlock(1, SLOTS, times, tuple(noisy.tolist()), flags)
            found.append(post.publish(Class.HISTORY, SampleBatch((block,))))
    return found


def _write(url: str, share: Sequence[Incoming], ready: Any, go: Any) -> None:
    desk = Desk(url, f"bench-{os.getpid()}")
    ready.release()
    go.wait()
    for first in range(0, len(share), GROUP_MESSAGES):
        desk.take(*share[first : first + GROUP_MESSAGES], now=datetime.now(UTC))
    desk.close()


def ingest_s(url: str, shares: Sequence[Sequence[Incoming]]) -> float:
    """Seconds until every writer has stored its share."""
    processes = multiprocessing.get_context("fork")
    ready, go = processes.Semaphore(0), processes.Event()
    writers = [processes.Process(target=_write, args=(url, share, ready, go)) for share in shares]
    for writer in writers:
        writer.start()
    for _ in writers:
        ready.acquire()
    started = time.perf_counter()
    go.set()
    for writer in writers:
        writer.join()
    return time.perf_counter() - started


def floor_streams(groups: int, cadence_ms: int) -> list[bytes]:
    """As many rows as the messages bring, packed for COPY, of sensor units that do not exist."""
    rows = GROUP_MESSAGES * ROWS
    streams = []
    for group in range(groups):
        unit = np.repeat(np.arange(GROUP_MESSAGES) + 1_000_000 + group * GROUP_MESSAGES, ROWS)
        at = to_timestamptz(np.tile(NOW_MS + np.arange(ROWS) * cadence_ms, GROUP_MESSAGES))
        values = [((at // 1_000_000 + slot) % 10_000, ">i4") for slot in SLOTS]
        streams.append(copy_stream([(unit, ">i4"), (at, ">i8"), *values, (np.ones(rows, np.int64), ">i8")]))
    return streams


def copy_s(desk: Desk, streams: Sequence[bytes]) -> float:
    """Seconds for bare COPY, one transaction a stream."""
    names = ", ".join(["sensor_unit", "time", *(f"s{slot}" for slot in SLOTS), "flags"])
    started = time.perf_counter()
    for stream in streams:
        with (
            desk.connection.transaction(),
            desk.connection.cursor() as cursor,
            cursor.copy(f"COPY sample ({names}) FROM STDIN (FORMAT binary)") as copy,
        ):
            copy.write(stream)
    return time.perf_counter() - started


def server_copy_s(desk: Desk, folder: Path, rows: int) -> float:
    """Seconds for the server's own COPY from a file, one shot, of rows that are in the table already."""
    names = ", ".join(["sensor_unit", "time", *(f"s{slot}" for slot in SLOTS), "flags"])
    path = folder / "rows.copy"
    floor = "sensor_unit >= 1000000"
    desk.connection.execute(f"COPY (SELECT {names} FROM sample WHERE {floor}) TO '{path}' (FORMAT binary)")
    desk.connection.execute(f"DELETE FROM sample WHERE {floor}")
    desk.connection.execute("VACUUM sample")
    started = time.perf_counter()
    copied = desk.connection.execute(f"COPY sample ({names}) FROM '{path}' (FORMAT binary)").rowcount
    assert copied == rows
    return time.perf_counter() - started


def measure(cadence: str, posts: int, batches: int, rounds: int) -> dict[str, Any]:
    """One kind of message on a fresh server."""
    readings = posts * batches * ROWS * len(SLOTS)
    best: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="lamppost-bench-") as made:
        folder = Path(made)
        folder.chmod(0o777)  # PostgreSQL runs as another account where this is root, and writes a file here
        with EmbeddedServer(folder / "postgres") as server:
            upgrade(server.url())
            for turn in range(rounds):
                for name, seconds in _round(server.url(), folder, cadence, posts, batches, turn).items():
                    best[name] = min(seconds, best.get(name, seconds))
    result: dict[str, Any] = {"cadence": cadence, "readings": readings}
    result["wire_bytes_a_reading"] = best.pop("bytes") / readings
    result |= {f"{name}_readings_per_s": readings / seconds for name, seconds in best.items()}
    for writers in (1, 2):
        for floor in ("group", "one_shot"):
            result[f"writers_{writers}_of_floor_{floor}"] = (
                best[f"floor_{floor}"] / best[f"writers_{writers}"]
            )
    return result


def _round(url: str, folder: Path, cadence: str, posts: int, batches: int, turn: int) -> dict[str, float]:
    """Seconds by name, each for the same number of readings."""
    desk = Desk(url, "bench")
    found: dict[str, float] = {}
    for writers in (1, 2):
        fleet = [Post(f"lamp-{turn}-{writers}-{number:04}") for number in range(posts)]
        desk.register(*fleet)
        desk.take(*(post.declare(slots=len(SLOTS)) for post in fleet))
        incoming = messages(fleet, batches, CADENCES_MS[cadence])
        before = desk.one("SELECT count(*) FROM sample")
        found["bytes"] = float(sum(len(each.payload) for each in incoming))
        found[f"writers_{writers}"] = ingest_s(url, [incoming[i::writers] for i in range(writers)])
        assert desk.one("SELECT count(*) FROM sample") - before == posts * batches * ROWS
    streams = floor_streams(posts * batches // GROUP_MESSAGES, CADENCES_MS[cadence])
    found["floor_group"] = copy_s(desk, streams)
    found["floor_one_shot"] = server_copy_s(desk, folder, len(streams) * GROUP_MESSAGES * ROWS)
    desk.connection.execute("DELETE FROM sample WHERE sensor_unit >= 1000000")
    desk.connection.execute("VACUUM sample")
    desk.close()
    return found


def main(arguments: Sequence[str] | None = ()) -> None:
    """Print readings a second and the ratios."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ingest")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--posts", type=int, default=128)
    parser.add_argument("--batches", type=int, default=10, help="of each post")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)
    if options.posts * options.batches % GROUP_MESSAGES:
        parser.error(f"posts times batches must be a multiple of {GROUP_MESSAGES}, a group's messages")
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    report: dict[str, Any] = {"date": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine}
    report["results"] = [
        measure(cadence, options.posts, options.batches, options.rounds) for cadence in CADENCES_MS
    ]
    if options.json:
        print(json.dumps(report, indent=1))
        return
    print(f"{report['date']}  {machine}  load {os.getloadavg()[0]:.1f}")
    for r in report["results"]:
        print(f"{r['cadence']}, {r['readings']:,} readings, {r['wire_bytes_a_reading']:.2f} bytes each:")
        for writers in (1, 2):
            print(
                f"  {writers} writer(s): {r[f'writers_{writers}_readings_per_s'] / 1e6:.2f} M readings/s,"
                f" {r[f'writers_{writers}_of_floor_group']:.2f} of bare COPY a group,"
                f" {r[f'writers_{writers}_of_floor_one_shot']:.2f} of COPY from a file"
            )
        print(
            f"  floors: {r['floor_group_readings_per_s'] / 1e6:.2f} M a group,"
            f" {r['floor_one_shot_readings_per_s'] / 1e6:.2f} M from a file"
        )


if __name__ == "__main__":
    main(None)
