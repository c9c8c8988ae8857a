"""A street in one process: prepared PUBLISH packets over one connection, and the acks that come back counted.

It speaks for all lampposts at once (with a server role's certificate, which may), because five hundred
connections cost the machine what is the lampposts' own. It keeps their promise: of what is not acked by the
server, no more than 20 batches a lamppost are under way.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection

from fleet_server.config import BrokerConfig
from fleet_server.telemetry.ingest import mqtt5
from fleet_server.telemetry.ingest.broker_link import MAX_PACKET_BYTES
from fleet_server.telemetry.ingest.intake import Incoming
from fleet_server.telemetry.ingest.wire_socket import WireSocket
from tests.support.mosquitto import MosquittoBroker
from wire_contract.envelope import decode
from wire_contract.messages import Ack
from wire_contract.topics import PREFIX

IN_FLIGHT_BATCHES = 20  # of one lamppost, as the edge agent keeps it
KEEPALIVE_S = 30
ACKS = f"{PREFIX}/+/+/down/ack"


@dataclass(frozen=True)
class Took:
    """perf_counter seconds: the first packet sent, the last ack there."""

    began_s: float
    ended_s: float

    @property
    def seconds(self) -> float:
        return self.ended_s - self.began_s


def broker_config(broker: MosquittoBroker, role: str) -> BrokerConfig:
    """How a server role reaches the broker."""
    files = broker.server_identity(role)
    return BrokerConfig(broker.host, broker.port, False, broker.host, files.ca, files.certificate, files.key)


def packets(messages: Sequence[Incoming]) -> list[bytes]:
    """PUBLISH with QoS 1, ready to be sent; packet identifiers come again after 65,535."""
    return [
        mqtt5.publish(m.topic, m.payload, mid=i % mqtt5.PACKET_IDS + 1, properties=m.properties)
        for i, m in enumerate(messages)
    ]


class Street:
    """A forked process that waits for `go`, publishes, and ends when everything is acked."""

    def __init__(self, broker: MosquittoBroker, ready: Sequence[bytes], in_flight: int) -> None:
        fork = multiprocessing.get_context("fork")
        self._ours, theirs = fork.Pipe()
        config = broker_config(broker, "lamppost-api")
        self._process = fork.Process(target=_publish, args=(theirs, config, ready, in_flight), daemon=True)
        self._process.start()
        assert self._ours.recv() == "subscribed"

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def go(self) -> None:
        self._ours.send("go")

    def wait(self, timeout_s: float) -> Took:
        """Raises TimeoutError where not everything was acked by then."""
        if not self._ours.poll(timeout_s):
            raise TimeoutError(f"not everything was acked within {timeout_s:.0f} s")
        took: Took = self._ours.recv()
        self._process.join()
        return took

    def end(self) -> None:
        """Without waiting for acks."""
        self._process.terminate()
        self._process.join()


class _Acks:
    """How many batches the server has acked, of all lampposts."""

    def __init__(self) -> None:
        self.total = 0
        self._prefix: dict[bytes, int] = {}

    def hear(self, message: mqtt5.Publish) -> None:
        said = decode(message.payload)
        assert isinstance(said, Ack)
        before = self._prefix.get(message.topic, 0)
        if said.prefix > before:
            self._prefix[message.topic] = said.prefix
            self.total += said.prefix - before


def _publish(pipe: Connection, config: BrokerConfig, ready: Sequence[bytes], in_flight: int) -> None:
    socket, reader, acks = WireSocket.connect(config, 10.0), mqtt5.Reader(), _Acks()
    socket.write(mqtt5.connect(f"street-{time.time_ns()}", KEEPALIVE_S, 0, 1_000, MAX_PACKET_BYTES))
    sent = taken = room = 0
    began_s = 0.0
    for data in socket.read(KEEPALIVE_S, mqtt5.PINGREQ):
        heard: list[int] = []
        for packet in reader.feed(data):
            if packet.kind == mqtt5.Kind.PUBACK:
                taken += 1
            elif packet.kind == mqtt5.Kind.PUBLISH:
                message = mqtt5.parse_publish(packet)
                acks.hear(message)
                heard.append(message.mid)
            elif packet.kind == mqtt5.Kind.CONNACK:
                answer = mqtt5.parse_connack(packet)
                assert isinstance(answer, mqtt5.Accepted), answer
                socket.keepalive_s = answer.keepalive_s or KEEPALIVE_S
                room = min(answer.receive_maximum, 100)
                socket.write(mqtt5.subscribe(mqtt5.PACKET_IDS, [(ACKS, 1)]))
            elif packet.kind == mqtt5.Kind.SUBACK:
                pipe.send("subscribed")
                pipe.recv()
                began_s = time.perf_counter()
        if acks.total == len(ready):
            break
        more = min(taken + room, acks.total + in_flight, len(ready)) if began_s else 0
        socket.write(mqtt5.pubacks(heard) + b"".join(ready[sent:more]))
        sent = max(sent, more)
    pipe.send(Took(began_s, time.perf_counter()))
    socket.write(mqtt5.DISCONNECT)
    socket.close()
