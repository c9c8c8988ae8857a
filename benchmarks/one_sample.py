"""The worst case: every message holds one sample. Messages a second, beside a subscriber that only counts.

500 lampposts send a sample of 12 channels each second, each in a message of its own. The floor is paho as
anybody would use it: a shared subscription like ours, QoS 1, acknowledged as it comes, on the same broker,
in the same round. Ours stores, folds, commits and acks each to its lamppost. The round with the
median ratio is reported.

    python -m benchmarks one_sample
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks import mqtt_load, report
from benchmarks.ingest import ACKED_WITHIN_S, POSTS, SLOTS, through
from benchmarks.ingest_bench import WORKERS, Bench, bench
from benchmarks.report import Figure, at_least_of_floor, shown
from fleet_server.config import BrokerConfig
from fleet_server.telemetry.ingest.intake import Incoming
from tests.fleet_server.telemetry.support import Post
from tests.support.mosquitto import MosquittoBroker
from wire_contract.classes import Class
from wire_contract.envelope import encode
from wire_contract.flags import good_word
from wire_contract.messages import SampleBatch, SampleBlock
from wire_contract.topics import PREFIX

MESSAGES_EACH = 60
ROUNDS = 3
OF_FLOOR = 0.4  # the bar


def messages(posts: Sequence[Post], each: int) -> list[Incoming]:
    """Second by second: one of each lamppost."""
    now_ms = time.time_ns() // 1_000_000
    found = []
    for second in range(each):
        at = now_ms - (each - second) * 1_000
        columns = tuple([(second * 7 + slot * 13) % 1_000] for slot in SLOTS)
        said = encode(SampleBatch((SampleBlock(1, SLOTS, [at], columns, [good_word(SLOTS)]),)))
        found += [post.publish(Class.LIVE, said) for post in posts]
    return found


def _count(pipe: Connection, config: BrokerConfig, expected: int) -> None:
    heard = 0

    def on_connect(client: mqtt.Client, *_: Any) -> None:
        client.subscribe(f"$share/count/{PREFIX}/+/+/up/live", qos=1)

    def on_subscribe(*_: Any) -> None:
        pipe.send("ready")

    def on_message(client: mqtt.Client, _user: Any, _message: mqtt.MQTTMessage) -> None:
        nonlocal heard
        heard += 1
        if heard == expected:
            pipe.send(time.perf_counter())
            client.disconnect()

    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    client.tls_set(str(config.ca_file), str(config.certificate_file), str(config.key_file))
    client.on_connect = on_connect
    client.on_subscribe = on_subscribe
    client.on_message = on_message
    client.connect(config.host, config.port)
    client.loop_forever()


def counting_s(broker: MosquittoBroker, packets: Sequence[bytes]) -> float:
    """Seconds until a bare subscriber has counted everything."""
    fork = multiprocessing.get_context("fork")
    ours, theirs = fork.Pipe()
    config = mqtt_load.broker_config(broker, "lamppost-worker")
    counter = fork.Process(target=_count, args=(theirs, config, len(packets)), daemon=True)
    counter.start()
    assert ours.recv() == "ready"
    street = mqtt_load.Street(broker, packets, len(packets))
    began_s = time.perf_counter()
    street.go()
    if not ours.poll(ACKED_WITHIN_S):
        raise TimeoutError("the counter did not hear everything")
    ended_s: float = ours.recv()
    street.end()
    counter.join()
    return ended_s - began_s


def _round(here: Bench, packets: Sequence[bytes], expected: int) -> tuple[float, float]:
    """Seconds of ours, and of the counter."""
    here.empty()
    counted = counting_s(here.broker, packets)
    here.start_workers()
    stored = through(here, packets, POSTS)
    here.stop_workers()
    assert here.rows() == expected, "every row once"
    return stored, counted


def figures(quick: bool = False) -> list[Figure]:
    """The bar, and how much was sent."""
    each, rounds = (6, 1) if quick else (MESSAGES_EACH, ROUNDS)
    with bench() as here:
        posts = here.fleet(POSTS, len(SLOTS))
        sent = messages(posts, each)
        packets = mqtt_load.packets(sent)
        took = [_round(here, packets, len(sent)) for _ in range(rounds)]
    ours, counted = report.median_round([(len(sent) / stored, len(sent) / heard) for stored, heard in took])
    name = f"ingest: one sample a message, MQTT to committed and acked, {WORKERS} workers"
    return [
        shown("ingest: messages of one sample", len(sent), "messages"),
        at_least_of_floor(name, ours, "messages/s", counted, OF_FLOOR),
    ]


def main() -> None:
    print(report.machine())
    print("\n".join(report.lines(figures())))


if __name__ == "__main__":
    main()
