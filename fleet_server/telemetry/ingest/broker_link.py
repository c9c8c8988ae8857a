"""The ingest's side of MQTT: subscribe, hand messages on, publish acks, acknowledge by hand after the commit.

The client id is fixed for each worker slot and its session outlives it for a while, so what a killed worker
had not acknowledged comes back to the one that takes its place. Nothing depends on it: a device sends again
what is not acked. One thread reads, and connects again for ever; whoever calls `publish` or `acknowledge`
writes at once what the socket takes, and the thread the rest.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from fleet_server.config import BrokerConfig
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
MESSAGE_EXPIRY_S = 300  # an ack that a device did not fetch in time is stale: it will ask
RECONNECT_FROM_S, RECONNECT_TO_S = 1.0, 15.0
CONNECT_TIMEOUT_S = 10.0
SHARED_BY = "ingest"  # first part of the name of the workers' shared subscription
QOS = 1
MAX_PACKET_BYTES = MAX_MESSAGE_BYTES + 65_536  # what the broker lets through, with topic and properties
MAX_WAITING = 10_000  # messages to devices that the broker has no room for: they ask again

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
        self._socket: WireSocket | None = None  # one that the broker accepted
        self._room = 0  # messages that the broker takes before it acknowledges one
        self._mid = 0
        self._waiting: list[tuple[str, bytes]] = []
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
                self._socket.give_up()
        self._thread.join(CONNECT_TIMEOUT_S)

    def publish(self, messages: Sequence[tuple[str, bytes]]) -> None:
        """Hand (topic, payload) to the broker; where there is none just now, drop them: devices ask again."""
        with self._lock:
            if self._socket is not None:
                self._waiting.extend(messages[: MAX_WAITING - len(self._waiting)])
                self._publish_waiting(self._socket)

    def acknowledge(self, group: Iterable[Incoming]) -> None:
        """PUBACK what came by the connection that still stands; the broker delivers the rest again."""
        with self._lock:
            mids = [each.mid for each in group if each.mid and each.connection == self._connection]
            if self._socket is not None and mids:
                self._socket.write(mqtt5.pubacks(mids))

    def _publish_waiting(self, socket: WireSocket) -> None:
        now, self._waiting = self._waiting[: self._room], self._waiting[self._room :]
        self._room -= len(now)
        packets = []
        for topic, payload in now:
            self._mid = self._mid % mqtt5.PACKET_IDS + 1
            packets.append(mqtt5.publish(topic, payload, mid=self._mid, expiry_s=MESSAGE_EXPIRY_S))
        if packets:
            socket.write(b"".join(packets))

    def _run(self) -> None:
        pause_s = RECONNECT_FROM_S
        while not self._stopping.is_set():
            try:
                pause_s = self._connected(WireSocket.connect(self._config, CONNECT_TIMEOUT_S), pause_s)
            except (ConnectionLost, mqtt5.BadPacket) as lost:
                if not self._stopping.is_set():
                    self._tell(f"the broker at {self._config.host}:{self._config.port}: {lost}")
            self._stopping.wait(pause_s)
            pause_s = min(2 * pause_s, RECONNECT_TO_S)

    def _connected(self, socket: WireSocket, pause_s: float) -> float:
        """Read until the connection is gone; returns how long to wait before the next."""
        reader = mqtt5.Reader(MAX_PACKET_BYTES)
        opening = mqtt5.connect(self._client_id, KEEPALIVE_S, SESSION_EXPIRY_S, RECEIVE_MAXIMUM)
        try:
            socket.write(opening)
            for data in socket.read(KEEPALIVE_S, mqtt5.PINGREQ):
                if self._handle(socket, reader.feed(data)):
                    pause_s = RECONNECT_FROM_S
        except (ConnectionLost, mqtt5.BadPacket) as lost:
            if not self._stopping.is_set():
                self._tell(f"the connection to the broker is gone: {lost}")
        finally:
            with self._lock:
                self._connection += 1
                self._socket = None
                self._waiting.clear()
            socket.close()
        return pause_s

    def _handle(self, socket: WireSocket, packets: Iterable[mqtt5.Packet]) -> bool:
        """What came with one read; True where the broker accepted the connection. Raises BadPacket."""
        arrived: list[Incoming] = []
        accepted, room = False, 0
        for packet in packets:
            match packet.kind:
                case mqtt5.Kind.PUBLISH:
                    arrived.append(self._incoming(packet))
                case mqtt5.Kind.PUBACK:
                    room += 1
                case mqtt5.Kind.CONNACK:
                    self._accept(socket, mqtt5.parse_connack(packet))
                    accepted = True
                case mqtt5.Kind.SUBACK:
                    self._on_suback(mqtt5.parse_suback(packet))
                case mqtt5.Kind.DISCONNECT:
                    raise mqtt5.BadPacket(f"it hung up, reason {mqtt5.parse_disconnect(packet):#x}")
                case _:
                    pass  # PINGRESP: that something came is all it says
        if room:
            with self._lock:
                self._room += room
                self._publish_waiting(socket)
        if arrived:
            self._deliver(arrived)
        return accepted

    def _accept(self, socket: WireSocket, answer: mqtt5.Accepted | int) -> None:
        if isinstance(answer, int):
            raise mqtt5.BadPacket(f"it refuses the ingest, reason {answer:#x}")
        with self._lock:
            self._connection += 1
            self._socket = socket
            self._room = answer.receive_maximum
            socket.write(mqtt5.subscribe(mqtt5.PACKET_IDS, subscriptions(self._share)))
        _log.info("connected to the broker, session %s", "resumed" if answer.session_present else "new")
        self._told = ""

    def _on_suback(self, codes: bytes) -> None:
        refused = [code for code in codes if code >= mqtt5.FAILURE_FROM]
        if refused:
            self._tell(f"the broker refuses a subscription, reason {refused[0]:#x}")
        else:
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
