"""Ingest: readings a second from MQTT to committed and acked, all on this machine, PostgreSQL with fsync.

500 lampposts, each message a minute of its own at 1 Hz: 60 rows of 12 channels with a PMS5003's noise. The
broker has its generated configuration (TLS, access list), the workers are the real role, two of them. The
time runs from the first packet sent to the last ack heard by the lampposts' side (mqtt_load.py), and every
row is counted.

Floor: one binary COPY of the very same rows, sorted and packed beforehand, into the same table, in the same
round. The ratio is taken round by round, and the round with the median ratio is reported. Beside it: the
plain script (plain_script.py) on the same broker and the same server.

    python -m benchmarks ingest
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence

import numpy as np

from benchmarks import mqtt_load, report
from benchmarks.ingest_bench import WORKERS, Bench, bench, copied_out, copy_in
from benchmarks.report import Figure, at_least, at_least_of_floor, shown
from fleet_server.telemetry.ingest import mqtt5
from fleet_server.telemetry.ingest.intake import Incoming
from tests.fleet_server.telemetry.support import MINUTE_MS, Post
from tests.support.sensor_noise import LEVELS, deviation
from wire_contract.classes import Class
from wire_contract.envelope import encode
from wire_contract.flags import good_word
from wire_contract.messages import SampleBatch, SampleBlock

POSTS = 500
ROWS = 60
SLOTS = tuple(range(12))
MINUTES = 34  # 17,000 batches, 1.02 million rows
VARIANTS = 25  # of a minute's noise: each serves twenty lampposts
ROUNDS = 3
PLAIN_MESSAGES = 300
OF_FLOOR, TIMES_PLAIN = 0.5, 20.0  # the bars
ACKED_WITHIN_S = 300.0


def payloads(minutes: int, ends_ms: int) -> list[list[bytes]]:
    """[minute][variant]: a minute's batch, encoded as a lamppost does."""
    rng = np.random.default_rng(1)
    levels = np.array(LEVELS["pms5003"])[:, None]
    spread = np.array([[deviation(level)] for level in LEVELS["pms5003"]])
    flags = [good_word(SLOTS)] * ROWS
    found = []
    for minute in range(minutes):
        begins_ms = ends_ms - (minutes - minute) * MINUTE_MS
        of_minute = []
        for _ in range(VARIANTS):
            times = (np.arange(ROWS) * 1_000 + begins_ms + rng.integers(-3, 4, ROWS)).tolist()
            noisy = np.maximum(0, np.rint(rng.normal(levels, spread, (len(SLOTS), ROWS)))).astype(int)
            of_minute.append(
                encode(SampleBatch((SampleBlock(1, SLOTS, times, tuple(noisy.tolist()), flags),)))
            )
        found.append(of_minute)
    return found


def messages(posts: Sequence[Post], minutes: int) -> list[Incoming]:
    """In the order in which they arrive: the first minute of each lamppost, then the next of each."""
    now_ms = time.time_ns() // 1_000_000 // MINUTE_MS * MINUTE_MS
    return [
        post.publish(Class.LIVE, of_minute[i % VARIANTS])
        for of_minute in payloads(minutes, now_ms)
        for i, post in enumerate(posts)
    ]


def through(here: Bench, packets: Sequence[bytes], posts: int) -> float:
    """Seconds until all that is published is acked."""
    street = mqtt_load.Street(here.broker, packets, mqtt_load.IN_FLIGHT_BATCHES * posts)
    street.go()
    return street.wait(ACKED_WITHIN_S).seconds


def plain_rate(here: Bench, count: int) -> float:
    """Readings a second that the plain script commits, of the same kind of minutes, as JSON."""
    rng = np.random.default_rng(2)
    packets = []
    for i in range(count):
        rows = [
            {"time": i // 50 * MINUTE_MS + row * 1_000}
            | {f"c{slot}": float(rng.integers(0, 1000)) / 10 for slot in SLOTS}
            for row in range(ROWS)
        ]
        said = json.dumps({"device": f"lamp-{i % 50}", "rows": rows}).encode()
        packets.append(mqtt5.publish(f"lp/1/plain/lamp-{i % 50}/up/live", said, mid=i + 1))
    files = here.broker.server_identity("lamppost-worker")
    where = [here.server.url(), here.broker.host, str(here.broker.port), *map(str, files)]
    command = [sys.executable, "-m", "benchmarks.plain_script", *where]
    script = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert script.stdout is not None
    assert script.stdout.readline() == b"ready\n"
    try:
        street = mqtt_load.Street(here.broker, packets, count)
        began_s = time.perf_counter()
        street.go()
        wanted = count * ROWS * len(SLOTS)
        while here.desk.one("SELECT count(*) FROM plain_reading") < wanted:
            time.sleep(0.05)
        seconds = time.perf_counter() - began_s
        street.end()
    finally:
        script.terminate()
        script.wait()
    here.desk.connection.execute("DROP TABLE plain_reading")
    return wanted / seconds


def figures(quick: bool = False) -> list[Figure]:
    """Both bars of the ingest, and what they are measured against."""
    minutes, rounds, plain_messages = (4, 1, 30) if quick else (MINUTES, ROUNDS, PLAIN_MESSAGES)
    took: list[tuple[float, float]] = []  # seconds of ours, and of the floor of the same round
    with bench() as here:
        posts = here.fleet(POSTS, len(SLOTS))
        sent = messages(posts, minutes)
        packets = mqtt_load.packets(sent)
        plain = plain_rate(here, plain_messages)
        for _ in range(rounds):
            here.empty()
            here.start_workers()  # new ones: what they know of the ledger is not true any more
            ingested_s = through(here, packets, POSTS)
            here.stop_workers()
            assert here.rows() == len(sent) * ROWS, "every row once"
            command, stream = copied_out(here.desk, SLOTS)
            here.empty()
            began_s = time.perf_counter()
            copy_in(here.desk, command, stream)
            took.append((ingested_s, time.perf_counter() - began_s))
    readings = len(sent) * ROWS * len(SLOTS)
    rate, floor = report.median_round([(readings / ours, readings / copied) for ours, copied in took])
    bytes_a_reading = sum(len(packet) for packet in packets) / readings
    return [
        shown("ingest: batches of 720 readings", len(sent), "batches"),
        shown("ingest: bytes a reading with MQTT header and topic", bytes_a_reading, "B"),
        at_least_of_floor(
            f"ingest: MQTT to committed and acked, {WORKERS} workers", rate, "readings/s", floor, OF_FLOOR
        ),
        shown("ingest: plain paho and executemany", plain, "readings/s"),
        at_least("ingest: times the plain script", rate / plain, "times", TIMES_PLAIN),
    ]


def main() -> None:
    print(report.machine())
    print("\n".join(report.lines(figures())))


if __name__ == "__main__":
    main()
