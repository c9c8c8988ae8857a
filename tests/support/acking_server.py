"""The server's half of the wire, for tests of the agent: stores each message once, acknowledges what it has.

It speaks to a real broker. `hold_acks` makes it store without acknowledging, `deaf` makes it do neither.
"""

from __future__ import annotations

import threading
import uuid
from dataclasses import dataclass, field
from typing import Any

from paho.mqtt.client import Client, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion

from tests.support.deliveries import delivery_of
from tests.support.mosquitto import IdentityFiles, MosquittoBroker
from tests.support.waiting import wait_until
from wire_contract.classes import Class
from wire_contract.envelope import decode, encode
from wire_contract.messages import (
    Ack,
    Ask,
    CertificateRequest,
    Command,
    Message,
    Presence,
    SampleBatch,
    SensorDeclaration,
    Tombstone,
    TwinReported,
)
from wire_contract.properties import Delivery
from wire_contract.topics import ALL_UP_FILTER, Address, Down, down_topic, parse_topic


@dataclass
class Received:
    """One delivery as it came."""

    address: Address
    delivery: Delivery
    message: Message
    payload: bytes


@dataclass
class Stream:
    """What is stored of one class of one device's epoch: sequence -> message; covered: sequences done."""

    stored: dict[int, Message] = field(default_factory=dict)
    payloads: dict[int, bytes] = field(default_factory=dict)
    covered: set[int] = field(default_factory=set)
    resent: int = 0
    reformed: int = 0

    def ack(self, epoch: bytes, cls: Class) -> Ack:
        prefix = 0
        while prefix + 1 in self.covered:
            prefix += 1
        ranges: list[tuple[int, int]] = []
        for sequence in sorted(each for each in self.covered if each > prefix):
            if ranges and ranges[-1][1] + 1 == sequence:
                ranges[-1] = (ranges[-1][0], sequence)
            else:
                ranges.append((sequence, sequence))
        return Ack(epoch, int(cls), prefix, tuple(ranges))


class AckingServer:
    """Make, `start()`, look at `streams`, `presences`, `deliveries`; `stop()`."""

    def __init__(
        self, host: str, port: int, identity: IdentityFiles | None = None, hold_acks: bool = False
    ) -> None:
        self._host, self._port = host, port
        self.hold_acks, self.deaf = hold_acks, False
        self.lock = threading.RLock()
        self.streams: dict[tuple[str, bytes, Class], Stream] = {}
        self.presences: list[Presence] = []
        self.deliveries: list[Received] = []
        self.asks: list[Ask] = []
        self.twins: list[TwinReported] = []
        self.requests: list[CertificateRequest] = []
        self.address: Address | None = None
        self._ready = threading.Event()
        self._client = Client(
            CallbackAPIVersion.VERSION2, client_id=f"test-server-{uuid.uuid4().hex[:8]}", protocol=MQTTv5
        )
        if identity is not None:
            self._client.tls_set(str(identity.ca), str(identity.certificate), str(identity.key))
        # Back as soon as the broker is: what a lamppost sends to a broker without us comes again after 30 s
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = self._on_message

    @classmethod
    def on(cls, broker: MosquittoBroker, **how: Any) -> AckingServer:
        return cls(broker.host, broker.port, broker.server_identity(), **how)

    def start(self) -> AckingServer:
        self._client.connect(self._host, self._port)
        self._client.loop_start()
        assert self._ready.wait(30)
        return self

    def stop(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def command(self, command: Command) -> None:
        self.send(Down.COMMAND, command)

    def send(self, channel: Down, message: Message) -> None:
        assert self.address is not None, "no lamppost was heard yet"
        self._client.publish(down_topic(self.address, channel), encode(message), qos=1)

    def release_acks(self) -> None:
        """Acknowledge all that was held back."""
        with self.lock:
            self.hold_acks = False
            for (name, epoch, cls), stream in self.streams.items():
                self._send_ack(Address.parse(name), epoch, cls, stream)

    def samples(self) -> list[tuple[int, int, tuple[int, ...], tuple[int, ...], int]]:
        """(unit key, time, slots, values, flags) of every stored sample, each message once."""
        with self.lock:
            found = []
            for stream in self.streams.values():
                for message in stream.stored.values():
                    if isinstance(message, SampleBatch):
                        for block in message.blocks:
                            rows = zip(
                                block.times_ms, zip(*block.columns, strict=True), block.flags, strict=True
                            )
                            found += [
                                (block.unit, time_ms, tuple(block.slots), values, flags)
                                for time_ms, values, flags in rows
                            ]
            return sorted(found)

    def messages(self, kind: type) -> list[Any]:
        with self.lock:
            return [
                each
                for stream in self.streams.values()
                for _, each in sorted(stream.stored.items())
                if isinstance(each, kind)
            ]

    def declarations(self) -> list[SensorDeclaration]:
        return self.messages(SensorDeclaration)

    def reformed(self) -> int:
        """Messages that came again with other bytes, tombstones aside."""
        with self.lock:
            return sum(stream.reformed for stream in self.streams.values())

    def wait_samples(self, count: int, timeout_s: float = 60.0) -> list[Any]:
        """Longer than a handshake that the machine was too busy for, and the next attempt."""
        wait_until(lambda: len(self.samples()) >= count, timeout_s, f"{count} samples at the server")
        return self.samples()

    def _on_connect(self, client: Client, *_: Any) -> None:
        client.subscribe(ALL_UP_FILTER, qos=1)

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        if self.deaf or not message.payload:
            return
        address, _ = parse_topic(message.topic)
        content = decode(bytes(message.payload))
        with self.lock:
            self.address = address
            if isinstance(content, Presence):
                self.presences.append(content)
            elif isinstance(content, Ask):
                self.asks.append(content)
                for cls in map(Class, content.classes):
                    key = (str(address), content.epoch, cls)
                    self._send_ack(address, content.epoch, cls, self.streams.get(key, Stream()))
            elif isinstance(content, CertificateRequest):
                self.requests.append(content)
            elif isinstance(content, TwinReported):
                self.twins.append(content)
            else:
                self._store(address, message, content)

    def _store(self, address: Address, message: MQTTMessage, content: Message) -> None:
        pairs = getattr(message.properties, "UserProperty", [])
        delivery = delivery_of(message.topic, pairs)
        self.deliveries.append(Received(address, delivery, content, bytes(message.payload)))
        stream = self.streams.setdefault((str(address), delivery.epoch, delivery.cls), Stream())
        if delivery.sequence in stream.stored:
            stream.resent += 1
            before = stream.payloads[delivery.sequence]
            stream.reformed += before != message.payload and not isinstance(content, Tombstone)
        else:
            stream.stored[delivery.sequence] = content
            stream.payloads[delivery.sequence] = bytes(message.payload)
        last = content.last if isinstance(content, Tombstone) else delivery.sequence
        stream.covered |= set(range(delivery.sequence, last + 1))
        if not self.hold_acks:
            self._send_ack(address, delivery.epoch, delivery.cls, stream)

    def _send_ack(self, address: Address, epoch: bytes, cls: Class, stream: Stream) -> None:
        if not self.hold_acks:
            self._client.publish(down_topic(address, Down.ACK), encode(stream.ack(epoch, cls)), qos=1)
