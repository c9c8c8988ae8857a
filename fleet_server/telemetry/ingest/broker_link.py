"""The ingest's side of MQTT: subscribe, hand messages on, publish acks, acknowledge by hand after the commit.

The client id is fixed for each worker slot and its session outlives it for a while, so what a killed worker
had not acknowledged comes back to the one that takes its place. Nothing depends on it: a device sends again
what is not acked. One thread of paho's reads and writes; it reconnects for ever.
"""

from __future__ import annotations

import hashlib
import logging
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from fleet_server.config import BrokerConfig
from fleet_server.telemetry.ingest.intake import Incoming
from wire_contract.topics import PREFIX, Up

KEEPALIVE_S = 30
RECEIVE_MAXIMUM = 100  # a group is 64: one in work, the next on its way; more only lengthens a redelivery
# While it lasts the broker keeps a dead worker its share of the messages; devices send those again in 30 s.
SESSION_EXPIRY_S = 900
MESSAGE_EXPIRY_S = 300  # an ack that a device did not fetch in time is stale: it will ask
RECONNECT_FROM_S, RECONNECT_TO_S = 1, 15
SHARED_BY = "ingest"  # first part of the name of the workers' shared subscription
QOS = 1

_log = logging.getLogger(__name__)


def subscriptions(share: str) -> list[tuple[str, SubscribeOptions]]:
    """Shared among workers: every channel. Each for itself: presence (retained)."""
    shared = [channel for channel in Up if channel is not Up.PRESENCE]
    filters = [f"$share/{share}/{PREFIX}/+/+/up/{channel}" for channel in shared]
    filters.append(f"{PREFIX}/+/+/up/{Up.PRESENCE}")
    return [(each, SubscribeOptions(qos=QOS)) for each in filters]


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
    """`deliver` and `subscribed` are called on paho's thread."""

    def __init__(
        self,
        config: BrokerConfig,
        client_id: str,
        deliver: Callable[[Incoming], None],
        subscribed: Callable[[], None],
    ) -> None:
        self._config = config
        self._deliver = deliver
        self._subscribed = subscribed
        self._connection = 0  # counts connections: a PUBACK belongs to the one its message came by
        self._told = ""
        self._lock = threading.Lock()
        self._context = ssl.create_default_context(cafile=str(config.ca_file))
        self._load_certificate()
        self._share = unguessable(SHARED_BY, config.key_file)
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=unguessable(client_id, config.key_file),
            protocol=mqtt.MQTTv5,
            manual_ack=True,
        )
        client.tls_set_context(self._context)
        client.reconnect_delay_set(RECONNECT_FROM_S, RECONNECT_TO_S)
        client.max_queued_messages_set(0)
        client.max_inflight_messages_set(RECEIVE_MAXIMUM)
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        self._client = client

    def start(self) -> None:
        """Connect, now or as soon as the broker answers."""
        properties = _properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = SESSION_EXPIRY_S
        properties.ReceiveMaximum = RECEIVE_MAXIMUM
        self._client.connect_async(
            self._config.host, self._config.port, KEEPALIVE_S, clean_start=False, properties=properties
        )
        self._client.loop_start()

    def stop(self) -> None:
        """Disconnect and end the thread. The session stays with the broker for SESSION_EXPIRY_S."""
        self._client.disconnect()
        self._client.loop_stop()

    def publish(self, topic: str, payload: bytes) -> None:
        """Hand a message to the broker; where there is none just now, it is dropped: devices ask again."""
        properties = _properties(PacketTypes.PUBLISH)
        properties.MessageExpiryInterval = MESSAGE_EXPIRY_S
        if self._client.is_connected():
            self._client.publish(topic, payload, qos=QOS, properties=properties)

    def acknowledge(self, incoming: Incoming) -> None:
        """PUBACK, if the connection it came by still stands; else the broker delivers it again."""
        with self._lock:
            if incoming.connection == self._connection and incoming.mid:
                self._client.ack(incoming.mid, QOS)

    def _load_certificate(self) -> None:
        self._context.load_cert_chain(self._config.certificate_file, self._config.key_file)

    def _on_connect(
        self, client: mqtt.Client, _user: Any, flags: mqtt.ConnectFlags, reason: ReasonCode, _p: Any
    ) -> None:
        if reason.is_failure:
            self._tell(f"the broker refuses the ingest: {reason}")
            return
        with self._lock:
            self._connection += 1
        _log.info("connected to the broker, session %s", "resumed" if flags.session_present else "new")
        self._told = ""
        client.subscribe(subscriptions(self._share))

    def _on_subscribe(self, _c: mqtt.Client, _u: Any, _mid: int, codes: list[ReasonCode], _p: Any) -> None:
        refused = [code for code in codes if code.is_failure]
        if refused:
            self._tell(f"the broker refuses a subscription: {refused[0]}")
        else:
            self._subscribed()

    def _on_connect_fail(self, _client: mqtt.Client, _user: Any) -> None:
        self._tell(f"the broker at {self._config.host}:{self._config.port} does not answer, trying again")
        self._reload()

    def _on_disconnect(
        self, _c: mqtt.Client, _user: Any, _f: mqtt.DisconnectFlags, reason: ReasonCode, _p: Any
    ) -> None:
        with self._lock:
            self._connection += 1
        if reason.is_failure:
            self._tell(f"the connection to the broker is gone: {reason}")
        self._reload()

    def _reload(self) -> None:
        """The certificate may have been renewed since: the next handshake shows the new one."""
        try:
            self._load_certificate()
        except OSError as error:
            _log.warning("the ingest's certificate cannot be read again: %s", error)

    def _on_message(self, _client: mqtt.Client, _user: Any, message: mqtt.MQTTMessage) -> None:
        pairs = tuple(getattr(message.properties, "UserProperty", ()))
        mid = message.mid if message.qos else 0
        try:
            topic = message.topic
        except UnicodeDecodeError:  # no broker should let it through; an empty topic goes to the dead letters
            topic = ""
        self._deliver(Incoming(topic, bytes(message.payload), pairs, mid, self._connection))

    def _tell(self, what: str) -> None:
        """Once for each cause, not at every attempt."""
        if what != self._told:
            self._told = what
            _log.warning(what)


def _properties(packet: int) -> Properties:
    return Properties(packet)  # type: ignore[no-untyped-call]
