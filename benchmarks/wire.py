"""The wire: bytes a reading by what a lamppost carries, and how fast batches are made and read.

A message counts as it leaves in a connection that has sent its topic before: an alias instead of the topic
(`edge_agent/core/aliases.py`; `tests/edge_agent/io/test_topic_aliases.py` holds that to captured bytes). The
others' batches travel in the same way, without user properties. Floors, measured in the same run: for size,
the entropy of the noise that was put in; for speed, the same numbers as plain lists in MessagePack (msgspec),
and as JSON rows with their channels' names.

    python -m benchmarks.wire [--json]
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec

from benchmarks.report import Figure, at_least_of_floor, at_most, shown
from benchmarks.wire_others import OTHERS, json_rows, smaller
from edge_agent.core.aliases import ALIAS_BYTES
from tests.support.sensor_noise import LEVELS, entropy_bits_per_row, sensor_block
from wire_contract.classes import Class
from wire_contract.decode_numpy import decode_samples
from wire_contract.envelope import decode, encode
from wire_contract.messages import SampleBatch
from wire_contract.properties import Delivery, packed_bytes
from wire_contract.topics import Address, Up, up_topic

MIXES: dict[str, tuple[str, ...]] = {
    "sds011": ("sds011",),
    "pms5003": ("pms5003",),
    "sps30": ("sps30",),
    "pms5003 + sds011": ("pms5003", "sds011"),
    "all three": ("pms5003", "sds011", "sps30"),
}
ROWS = (60, 10, 1)  # one minute, the default flush interval, one sample, at 1 Hz
SEEDS = range(20)
BAR_BYTES = 1.5  # a reading, for one minute
REPEAT_S = 0.3  # long enough that a clock's resolution does not show
ROUNDS = 5  # the best one counts: others were disturbed
TOPIC = up_topic(Address("lyon", "post-0017"), Up.LIVE)
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def property_bytes(trace: str | None = None) -> int:
    return packed_bytes(
        Delivery(bytes(range(200, 216)), Class.LIVE, 525_600, traceparent=trace).to_user_properties()
    )


def batch_of(kinds: tuple[str, ...], rows: int, seed: int) -> SampleBatch:
    return SampleBatch(tuple(sensor_block(kind, rows, unit, seed) for unit, kind in enumerate(kinds)))


def size_of(kinds: tuple[str, ...], rows: int) -> dict[str, float]:
    """Bytes a reading, the mean over seeds and the worst one."""
    readings = rows * sum(len(LEVELS[kind]) for kind in kinds)
    payloads = [len(encode(batch_of(kinds, rows, seed))) for seed in SEEDS]
    mean = statistics.mean(payloads)
    entropy = sum(entropy_bits_per_row(kind) for kind in kinds) * rows / 8
    return {
        "readings": readings,
        "payload": mean / readings,
        "with_properties": (mean + property_bytes()) / readings,
        "worst_with_properties": (max(payloads) + property_bytes()) / readings,
        "packet": statistics.mean(map(packet_bytes, payloads)) / readings,
        "packet_with_topic": statistics.mean(packet_bytes(each, topic=TOPIC) for each in payloads) / readings,
        "packet_with_traceparent": statistics.mean(packet_bytes(each, TRACE) for each in payloads) / readings,
        "payload_over_entropy": mean / entropy,
        "payload_bytes": mean,
    }


def per_second(call: Callable[[], object]) -> float:
    """Calls a second, the best of ROUNDS."""
    best = 0.0
    for _ in range(ROUNDS):
        calls, started = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - started) < REPEAT_S / ROUNDS:
            call()
            calls += 1
        best = max(best, calls / elapsed)
    return best


def speed_of(kinds: tuple[str, ...]) -> dict[str, float]:
    """M readings/s for one minute, and each floor's rate over ours."""
    batch = batch_of(kinds, 60, 0)
    readings = 60 * sum(len(LEVELS[kind]) for kind in kinds)
    payload, lists, text = encode(batch), msgspec.msgpack.encode(batch), json_rows(batch)
    rows = msgspec.json.decode(text)
    rates = {
        "encode": per_second(lambda: encode(batch)),
        "decode_numpy": per_second(lambda: decode_samples(payload)),
        "decode_pure": per_second(lambda: decode(payload)),
        "floor_lists_encode": per_second(lambda: msgspec.msgpack.encode(batch)),
        "floor_lists_decode": per_second(lambda: msgspec.msgpack.decode(lists)),
        "floor_json_encode": per_second(lambda: msgspec.json.encode(rows)),
        "floor_json_decode": per_second(lambda: msgspec.json.decode(text)),
    }
    found = {f"{name}_m_readings_s": rate * readings / 1e6 for name, rate in rates.items()}
    for ours, verb in (("encode", "encode"), ("decode_numpy", "decode"), ("decode_pure", "decode")):
        for floor in ("lists", "json"):
            found[f"{ours}_over_{floor}"] = rates[ours] / rates[f"floor_{floor}_{verb}"]
    found["encode_ms"] = 1000 / rates["encode"]
    found["lists_bytes"], found["json_bytes"] = len(lists) / readings, len(text) / readings
    return found


def packet_bytes(payload: int, trace: str | None = None, topic: str = "", ours: bool = True) -> int:
    """Of the whole PUBLISH at QoS 1 (MQTT 5 section 3.3), for a payload of so many bytes.

    topic: of a connection's first message, the next ones have the alias alone. ours: with user properties.
    """
    inside = ALIAS_BYTES + (property_bytes(trace) if ours else 0)
    # topic, packet identifier, length of properties
    rest = 2 + len(topic) + 2 + _varint_bytes(inside) + inside + payload
    return 1 + _varint_bytes(rest) + rest


def _varint_bytes(value: int) -> int:
    return 1 if value < 128 else 2 if value < 16_384 else 3


def figures(quick: bool = False) -> list[Figure]:
    """One minute at 1 Hz, with everything that MQTT adds."""
    found = []
    for kind in ("pms5003",) if quick else ("pms5003", "sds011", "sps30", "all three"):
        kinds = MIXES[kind]
        readings = 60 * sum(len(LEVELS[each]) for each in kinds)
        batches = [batch_of(kinds, 60, seed) for seed in SEEDS]
        payloads = [len(encode(batch)) for batch in batches]
        ours = statistics.mean(map(packet_bytes, payloads))
        first = statistics.mean(packet_bytes(each, topic=TOPIC) for each in payloads)
        name = f"wire: {kind}, 60 s at 1 Hz, whole MQTT packet"
        found.append(at_most(name, ours / readings, "bytes/reading", BAR_BYTES))
        name = f"wire: {kind}, the first packet of a connection, with its topic"
        found.append(shown(name, first / readings, "bytes/reading"))
        for other, make in OTHERS.items():
            for words, squeeze in (("", lambda encoded: encoded), (" + zstd", smaller)):
                theirs = [packet_bytes(len(squeeze(make(batch))), ours=False) for batch in batches[:3]]
                mean = statistics.mean(theirs) / readings
                found.append(shown(f"wire: {kind}, the same as {other}{words}", mean, "bytes/reading"))
    speed = speed_of(MIXES["pms5003"])
    for ours_, floor in (("encode", "json_encode"), ("decode_numpy", "json_decode")):
        rate, least = speed[f"{ours_}_m_readings_s"], speed[f"floor_{floor}_m_readings_s"]
        name = f"wire: {ours_.removesuffix('_numpy')}, floor {floor.replace('_', ' ')}"
        found.append(at_least_of_floor(name, rate, "M readings/s", least, None))
    return found


def measure() -> dict[str, Any]:
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}",
        "topic": TOPIC,
        "bar_bytes_per_reading": BAR_BYTES,
        "size": {f"{mix} x {rows}": size_of(kinds, rows) for rows in ROWS for mix, kinds in MIXES.items()},
        "speed": {mix: speed_of(kinds) for mix, kinds in MIXES.items()},
    }


def show(found: dict[str, Any]) -> None:
    print(f"{found['date']}, {found['machine']}")
    print(f"\nbytes a reading; topic {found['topic']}")
    print("sensors x rows           payload  + user properties (worst)   packet  + topic  + trace  x entropy")
    for name, size in found["size"].items():
        both = f"{size['with_properties']:.2f} ({size['worst_with_properties']:.2f})"
        print(
            f"{name:<24}{size['payload']:>8.2f}{both:>27}{size['packet']:>9.3f}"
            f"{size['packet_with_topic']:>9.2f}{size['packet_with_traceparent']:>9.2f}"
            f"{size['payload_over_entropy']:>11.2f}"
        )
    print("\none minute: rate as a multiple of each floor (below 1: slower), M readings/s, ms a batch")
    print(
        "sensors               encode / lists, JSON   numpy / lists, JSON    pure / lists, JSON  rates   ms"
    )
    for name, speed in found["speed"].items():
        ratios = [
            f"{speed[f'{ours}_over_lists']:.2g}, {speed[f'{ours}_over_json']:.2g}"
            for ours in ("encode", "decode_numpy", "decode_pure")
        ]
        rates = " ".join(
            f"{speed[f'{k}_m_readings_s']:.1f}" for k in ("encode", "decode_numpy", "decode_pure")
        )
        print(
            f"{name:<20}"
            + "".join(f"{ratio:>22}" for ratio in ratios)
            + f"  {rates}{speed['encode_ms']:>6.2f}"
        )
    worst = max(
        size["worst_with_properties"] for name, size in found["size"].items() if name.endswith(" x 60")
    )
    verdict = "held" if worst <= BAR_BYTES else "MISSED"
    print(
        f"\nbar: {BAR_BYTES} bytes a reading in one minute with user properties: worst {worst:.2f}, {verdict}"
    )


def main(arguments: list[str] | None = None) -> None:
    """Measure and print, as a table or with --json as one object."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.wire", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args([] if arguments is None else arguments)
    found = measure()
    if options.json:
        print(json.dumps(found, indent=1))
    else:
        show(found)


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
