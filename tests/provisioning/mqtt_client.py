"""A small MQTT 5 client for tests of the broker: connect, publish, collect; with the broker's own reasons."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from tests.support.mosquitto import IdentityFiles, MosquittoBroker
from tests.support.waiting import wait_until

ANSWER_TIMEOUT_S = 30.0


class TestClient:
    """Connected when `connected` is set; `inbox` has (topic, payload); `pubacks` the reasons."""

    __test__ = False

    def __init__(self, broker: MosquittoBroker, identity: IdentityFiles | None, client_id: str) -> None:
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id, protocol=mqtt.MQTTv5)
        context = ssl.create_default_context(cafile=str(broker.authority.files.trust))
        if identity is not None:
            context.load_cert_chain(identity.certificate, identity.key)
        self.client.tls_set_context(context)
        self.connected, self.disconnected = threading.Event(), threading.Event()
        self.inbox: list[tuple[str, bytes]] = []
        self.pubacks: dict[int, ReasonCode] = {}
        self.subscribed: dict[int, list[ReasonCode]] = {}
        self.client.on_connect = lambda *a: self.connected.set() if not a[3].is_failure else None
        self.client.on_disconnect = lambda *a: self.disconnected.set()
        self.client.on_message = lambda _c, _u, m: self.inbox.append((m.topic, bytes(m.payload)))
        self.client.on_publish = lambda _c, _u, mid, reason, _p: self.pubacks.__setitem__(mid, reason)
        self.client.on_subscribe = lambda _c, _u, mid, reasons, _p: self.subscribed.__setitem__(mid, reasons)
        kept = Properties(PacketTypes.CONNECT)
        self._address = (broker.host, broker.port, kept)

    def connect(self) -> None:
        """Raises OSError (ssl.SSLError too) when the TLS handshake is refused at once."""
        host, port, properties = self._address
        self.client.connect(host, port, keepalive=30, properties=properties)
        self.client.loop_start()

    def subscribe(self, topic: str) -> ReasonCode:
        _, mid = self.client.subscribe(topic, qos=1)
        assert mid is not None
        wait_until(lambda: mid in self.subscribed, ANSWER_TIMEOUT_S, f"SUBACK for {topic}")
        return self.subscribed[mid][0]

    def publish(self, topic: str, payload: bytes) -> ReasonCode:
        info = self.client.publish(topic, payload, qos=1)
        wait_until(lambda: info.mid in self.pubacks, ANSWER_TIMEOUT_S, f"PUBACK for {topic}")
        return self.pubacks[info.mid]

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@contextmanager
def connected(broker: MosquittoBroker, identity: IdentityFiles, client_id: str = "") -> Iterator[TestClient]:
    client = TestClient(broker, identity, client_id)
    client.connect()
    try:
        assert client.connected.wait(ANSWER_TIMEOUT_S), "the broker did not accept the connection"
        yield client
    finally:
        client.close()


def may_connect(broker: MosquittoBroker, identity: IdentityFiles | None) -> bool:
    """Does the broker let this identity in? (TLS 1.3 tells a refusal after the handshake.)"""
    client = TestClient(broker, identity, "")
    try:
        client.connect()
    except OSError:
        return False
    try:
        wait_until(
            lambda: client.connected.is_set() or client.disconnected.is_set(),
            ANSWER_TIMEOUT_S,
            "an answer of the broker",
        )
        return client.connected.is_set()
    finally:
        client.close()
