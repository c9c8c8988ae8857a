"""The server's half of the wire as a process of its own, with the delay of a real commit, for benchmarks.

What has come by the time a commit begins is its group; the acks of a group follow its commit. On the end of
its input it prints what it has: {"messages", "samples", "payload_bytes", "groups", "first_s", "last_s",
"alarm_s": [...]}; an alarm's latency is from the `time.monotonic()` (microseconds) that its verdict's reason
tells to its commit.

    python -m tests.support.grouping_server PORT COMMIT_S CA CERTIFICATE KEY
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue

from paho.mqtt.client import Client, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion

from tests.support.deliveries import delivery_of
from wire_contract.classes import Class
from wire_contract.envelope import decode, encode
from wire_contract.messages import Ack, Ask, SampleBatch, VerdictBatch
from wire_contract.topics import ALL_UP_FILTER, Address, Down, down_topic, parse_topic


@dataclass
class Ledger:
    """What is committed of one class: all up to `prefix`, and `above`."""

    prefix: int = 0
    above: set[int] = field(default_factory=set)

    def commit(self, sequence: int) -> bool:
        """False where it was there."""
        if sequence <= self.prefix or sequence in self.above:
            return False
        self.above.add(sequence)
        while self.prefix + 1 in self.above:
            self.prefix += 1
            self.above.remove(self.prefix)
        return True

    def ack(self, epoch: bytes, cls: Class) -> Ack:
        ranges: list[tuple[int, int]] = []
        for sequence in sorted(self.above):
            if ranges and ranges[-1][1] + 1 == sequence:
                ranges[-1] = (ranges[-1][0], sequence)
            else:
                ranges.append((sequence, sequence))
        return Ack(epoch, int(cls), self.prefix, tuple(ranges))


class GroupingServer:
    """`run()` until its input ends."""

    def __init__(self, port: int, commit_s: float, ca: str, certificate: str, key: str) -> None:
        self._commit_s = commit_s
        self._come: SimpleQueue[MQTTMessage] = SimpleQueue()
        self._ledgers: dict[tuple[bytes, Class], Ledger] = {}
        self._told = {"messages": 0, "samples": 0, "payload_bytes": 0, "groups": 0}
        self._between_s = [0.0, 0.0]
        self._alarm_s: list[float] = []
        self._ready = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTv5)
        self._client.tls_set(ca, certificate, key)
        self._client.on_connect = lambda client, *_: client.subscribe(ALL_UP_FILTER, qos=1)
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = lambda _client, _data, message: self._come.put(message)
        self._client.connect("127.0.0.1", port)
        opened = self._client.socket()
        assert isinstance(opened, socket.socket)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def run(self) -> None:
        self._client.loop_start()
        assert self._ready.wait(30)
        threading.Thread(target=self._commit_groups, daemon=True).start()
        print("ready", flush=True)
        sys.stdin.read()
        first_s, last_s = self._between_s
        told = {**self._told, "first_s": first_s, "last_s": last_s, "alarm_s": self._alarm_s}
        print(json.dumps(told), flush=True)

    def _commit_groups(self) -> None:
        while True:
            group = [self._come.get()]
            try:
                while True:
                    group.append(self._come.get_nowait())
            except Empty:
                pass
            asks = [each for each in group if each.topic.endswith("/ask")]
            self._commit([each for each in group if getattr(each.properties, "UserProperty", None)])
            for each in asks:
                self._answer(each)

    def _answer(self, message: MQTTMessage) -> None:
        ask, (address, _) = decode(bytes(message.payload)), parse_topic(message.topic)
        assert isinstance(ask, Ask)
        for cls in map(Class, ask.classes):
            self._ack(address, ask.epoch, cls)

    def _commit(self, group: list[MQTTMessage]) -> None:
        if not group:
            return
        time.sleep(self._commit_s)  # what the fsync of a real one takes
        now_s, touched = time.monotonic(), set()
        self._between_s = [self._between_s[0] or now_s, now_s]
        self._told["groups"] += 1
        for message in group:
            delivery = delivery_of(message.topic, message.properties.UserProperty)  # type: ignore[union-attr]
            key = (delivery.epoch, delivery.cls)
            if self._ledgers.setdefault(key, Ledger()).commit(delivery.sequence):
                self._note(bytes(message.payload), now_s)
            touched.add((parse_topic(message.topic)[0], *key))
        for address, epoch, cls in touched:
            self._ack(address, epoch, cls)

    def _note(self, payload: bytes, now_s: float) -> None:
        content = decode(payload)
        self._told["messages"] += 1
        self._told["payload_bytes"] += len(payload)
        if isinstance(content, SampleBatch):
            self._told["samples"] += sum(len(block.times_ms) for block in content.blocks)
        elif isinstance(content, VerdictBatch):
            self._alarm_s += [now_s - int(each.reason) / 1e6 for each in content.verdicts]

    def _ack(self, address: Address, epoch: bytes, cls: Class) -> None:
        ack = self._ledgers.get((epoch, cls), Ledger()).ack(epoch, cls)
        self._client.publish(down_topic(address, Down.ACK), encode(ack), qos=1)


if __name__ == "__main__":
    GroupingServer(int(sys.argv[1]), float(sys.argv[2]), *sys.argv[3:]).run()
