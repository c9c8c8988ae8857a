"""The ingest's side of MQTT: subscribe, hand messages on, publish acks, acknowledge by hand after the commit.

The client id is fixed for each worker slot and its session outlives it for a while, so what a killed worker
had not acknowledged comes back to the one that takes its place. Nothing depends on it: a device sends again
what is not acked. One thread reads, and connects again for ever; whoever calls `publish` or `acknowledge`
writes at once what the socket takes, and the thread the rest.
"""

from __future__ import annotations

import hashlib
import logging
import math
import random
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from fleet_server.config import BrokerConfig
from fleet_server.outgoing import Outgoing, Said
from fleet_server.telemetry.ingest import mqtt5
from fleet_server.telemetry.ingest.intake import Incoming
from fleet_server.telemetry.ingest.wire_socket import ConnectionLost, WireSocket
from wire_contract.limits import MAX_MESSAGE_BYTES
from wire_contract.topics import PREFIX, Up

KEEPALIVE_S = 30
# Two groups of the largest size: one in work, the next on its way. More only lengthens a redelivery.
RECEIVE_MAXIMUM = 2_000
# While it lasts the broker keeps a dead worker its share of the messages; devices send those again in 30 s.
SESSION_EXPIRY_S = 900
RECONNECT_FROM_S, RECONNECT_TO_S = 1.0, 15.0
CONNECT_TIMEOUT_S = 10.0
SHARED_BY = "ingest"  # first part of the name of the workers' shared subscription
QOS = 1
MAX_PACKET_BYTES = MAX_MESSAGE_BYTES + 65_536  # what the broker lets through, with topic and properties
MAX_WAITING = 10_000  # messages to devices that the broker has no room for: they ask again
MAX_IN_FLIGHT = 10_000  # to the broker, whatever it allows: there are always identifiers that are free
# Receive maxima. Mosquitto 2.0 gives two to three under load, and stops at one where nothing is acknowledged.
# A broker that gives so many does not count, and would fill our memory: 50 MB of batches.
OVERRUN = 25
SUBSCRIBE_MID = mqtt5.PACKET_IDS  # no message has it
HUNG_UP = {  # section 2.4, for whoever reads the log
    0x82: "protocol error",
    0x87: "not authorized",
    0x89: "busy",
    0x8B: "shutting down",
    0x8D: "keep alive ran out",
    0x8E: "another client has our client id: is a worker of this number running twice?",
    0x93: "receive maximum exceeded",
    0x95: "packet too large",
    0x97: "quota exceeded",
    0x98: "administrative action",
    0x9C: "use another server",
    0x9D: "server moved",
}

_log = logging.getLogger(__name__)


def subscriptions(share: str) -> list[tuple[str, int]]:
    """Topic filters and QoS. Shared among workers: every channel. Each for itself: presence (retained)."""
    shared = [channel for channel in Up if channel is not Up.PRESENCE]
    filters = [f"$share/{share}/{PREFIX}/+/+/up/{channel}" for channel in shared]
    filters.append(f"{PREFIX}/+/+/up/{Up.PRESENCE}")
    return [(each, QOS) for each in filters]


def unguessable(name: str, key_file: Path) -> str:
    """The same for this name as long as the key lasts, and known to nobody without the key.

    Mosquitto lets any certified client take over another's session by its client id, and join any shared
    subscription by its name, whatever its access list says. A lamppost that knew the ingest's could throw it
    out, or be dealt the others' messages, which it may not read and which are then delivered to nobody
    (tests/provisioning/test_client_ids.py). Workers that share the work must therefore share the key.
    """
    digest = hashlib.sha256(name.encode() + b"\0" + key_file.read_bytes()).hexdigest()
    return f"{name}-{digest[:32]}"


class BrokerLink:
    """`deliver` and `subscribed` are called on the link's thread."""

    def __init__(
        self,
        config: BrokerConfig,
        client_id: str,
        deliver: Callable[[list[Incoming]], None],
        subscribed: Callable[[], None],
    ) -> None:
        self._config = config
        self._deliver = deliver
        self._subscribed = subscribed
        self._client_id = unguessable(client_id, config.key_file)
        self._share = unguessable(SHARED_BY, config.key_file)
        self._connection = 0  # counts connections: a PUBACK belongs to the one its message came by
        self._told = ""
        self._topics: dict[bytes, str] = {}
        self._lock = threading.Lock()  # guards what follows
        self._open: WireSocket | None = None
        self._socket: WireSocket | None = None  # the same once the broker accepted it
        self._accepted = mqtt5.Accepted(False)
        self._accepted_s = 0.0
        self._out: set[int] = set()  # identifiers of messages that the broker did not acknowledge yet
        self._mid = 0
        self._held = 0  # messages of this connection that we did not acknowledge yet
        self._waiting: list[Outgoing] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="broker link", daemon=True)

    def start(self) -> None:
        """Connect, now or as soon as the broker answers."""
        self._thread.start()

    def stop(self) -> None:
        """Disconnect and end the thread. The session stays with the broker for SESSION_EXPIRY_S."""
        self._stopping.set()
        with self._lock:
            if self._socket is not None:
                self._socket.write(mqtt5.DISCONNECT)
            if self._open is not None:
                self._open.give_up()
        self._thread.join(CONNECT_TIMEOUT_S)

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted us: what is published now has a way."""
        with self._lock:
            return self._socket is not None

    def publish(self, messages: Sequence[Said]) -> None:
        """Hand (topic, payload) to the broker; where there is none just now, drop them: devices ask again."""
        with self._lock:
            if self._socket is not None:
                room = MAX_WAITING - len(self._waiting)
                self._waiting.extend(Outgoing(*each) for each in messages[:room])
                self._publish_waiting(self._socket)

    def acknowledge(self, group: Iterable[Incoming]) -> None:
        """PUBACK what came by the connection that still stands; the broker delivers the rest again."""
        with self._lock:
            mids = [each.mid for each in group if each.mid and each.connection == self._connection]
            if self._socket is not None and mids:
                self._held -= len(mids)
                self._socket.write(mqtt5.pubacks(mids))

    def _publish_waiting(self, socket: WireSocket) -> None:
        room = min(self._accepted.receive_maximum, MAX_IN_FLIGHT) - len(self._out)
        now, self._waiting = self._waiting[:room], self._waiting[room:]
        packets = []
        for each in now:
            packet = mqtt5.publish(
                each.topic,
                each.payload,
                mid=self._free_mid(),
                expiry_s=each.expiry_s,
                response_topic=each.response_topic,
                correlation=each.correlation,
            )
            if len(packet) > self._accepted.maximum_packet:
                _log.warning(
                    "the broker takes no packet of %d bytes: dropped, to %s", len(packet), each.topic
                )
                continue
            self._out.add(self._mid)
            packets.append(packet)
        if packets:
            socket.write(b"".join(packets))

    def _free_mid(self) -> int:
        while True:
            self._mid = self._mid % (SUBSCRIBE_MID - 1) + 1
            if self._mid not in self._out:
                return self._mid

    def _run(self) -> None:
        pause_s = RECONNECT_FROM_S
        while not self._stopping.is_set():
            try:
                lasted_s = self._connected(WireSocket.connect(self._config, CONNECT_TIMEOUT_S))
                if lasted_s > 2 * pause_s:  # else two that throw each other out would do so for ever
                    pause_s = RECONNECT_FROM_S
            except ConnectionLost as lost:
                if not self._stopping.is_set():
                    self._tell(f"the broker at {self._config.host}:{self._config.port}: {lost}")
            self._stopping.wait(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
            pause_s = min(2 * pause_s, RECONNECT_TO_S)

    def _connected(self, socket: WireSocket) -> float:
        """Read until the connection is gone; returns for how many seconds the broker accepted it."""
        reader = mqtt5.Reader(MAX_PACKET_BYTES)
        opening = mqtt5.connect(
            self._client_id, KEEPALIVE_S, SESSION_EXPIRY_S, RECEIVE_MAXIMUM, MAX_PACKET_BYTES
        )
        with self._lock:
            self._open = socket
        if self._stopping.is_set():  # `stop` came before it could see the socket
            socket.give_up()
        self._accepted_s = math.inf
        try:
            socket.write(opening)
            for data in socket.read(CONNECT_TIMEOUT_S, mqtt5.PINGREQ):
                self._handle(socket, reader.feed(data))
        except (ConnectionLost, mqtt5.BadPacket) as lost:
            if not self._stopping.is_set():
                self._tell(f"the connection to the broker is gone: {lost}")
        finally:
            with self._lock:
                self._connection += 1
                self._open = self._socket = None
                self._waiting.clear()
            socket.close()
        return time.monotonic() - self._accepted_s

    def _handle(self, socket: WireSocket, packets: Iterable[mqtt5.Packet]) -> None:
        """What came with one read. Raises BadPacket."""
        arrived: list[Incoming] = []
        done: list[int] = []
        for packet in packets:
            if (packet.kind == mqtt5.Kind.CONNACK) is not (self._socket is None):
                raise mqtt5.BadPacket(f"packet type {packet.kind} out of turn")
            match packet.kind:
                case mqtt5.Kind.PUBLISH:
                    arrived.append(self._incoming(packet))
                case mqtt5.Kind.PUBACK:
                    done.append(mqtt5.parse_puback(packet))
                case mqtt5.Kind.CONNACK:
                    self._accept(socket, mqtt5.parse_connack(packet))
                case mqtt5.Kind.SUBACK:
                    self._on_suback(mqtt5.parse_suback(packet))
                case mqtt5.Kind.DISCONNECT:
                    raise mqtt5.BadPacket(f"it hung up: {_reason(mqtt5.parse_disconnect(packet))}")
                case mqtt5.Kind.PINGRESP:
                    pass  # that something came is all it says
                case _:
                    raise mqtt5.BadPacket(f"packet type {packet.kind} from a broker")
        if done:
            with self._lock:
                self._out.difference_update(done)
                self._publish_waiting(socket)
        if arrived:
            self._hold(arrived)
            self._deliver(arrived)

    def _hold(self, arrived: Sequence[Incoming]) -> None:
        with self._lock:
            self._held += sum(each.mid > 0 for each in arrived)
            if self._held > OVERRUN * RECEIVE_MAXIMUM:
                raise mqtt5.BadPacket(f"it sent {self._held} messages unacknowledged")

    def _accept(self, socket: WireSocket, answer: mqtt5.Accepted | int) -> None:
        if isinstance(answer, int):
            raise mqtt5.BadPacket(f"it refuses the ingest: {_reason(answer)}")
        socket.keepalive_s = answer.keepalive_s or KEEPALIVE_S
        self._accepted_s = time.monotonic()
        with self._lock:
            self._connection += 1
            self._socket = socket
            self._accepted = answer
            self._out.clear()
            self._held = 0
            socket.write(mqtt5.subscribe(SUBSCRIBE_MID, subscriptions(self._share)))
        _log.info("connected to the broker, session %s", "resumed" if answer.session_present else "new")

    def _on_suback(self, codes: bytes) -> None:
        """Hang up where a subscription is refused: what is wrong may be mended, and nobody else would ask."""
        refused = [code for code in codes if code >= mqtt5.FAILURE_FROM]
        if refused:
            raise mqtt5.BadPacket(f"it refuses a subscription: {_reason(refused[0])}")
        if len(codes) != len(subscriptions(self._share)):
            raise mqtt5.BadPacket(f"it answers {len(codes)} subscriptions")
        self._told = ""
        self._subscribed()

    def _incoming(self, packet: mqtt5.Packet) -> Incoming:
        message = mqtt5.parse_publish(packet)
        topic = self._topics.get(message.topic)
        if topic is None:
            topic = message.topic.decode("utf-8", "replace")  # no broker lets anything else through
            if len(self._topics) >= MAX_WAITING:
                self._topics.clear()
            self._topics[message.topic] = topic
        return Incoming(topic, message.payload, message.properties, message.mid, self._connection)

    def _tell(self, what: str) -> None:
        """Once for each cause, not at every attempt."""
        if what != self._told:
            self._told = what
            _log.warning(what)


def _reason(code: int) -> str:
    return f"{HUNG_UP[code]} ({code:#x})" if code in HUNG_UP else f"reason {code:#x}"
