"""Says again what lampposts said: the same batches, to the same topics, so that both workers get them.

The workers share a subscription, so the broker deals the copies to them in turn. Uses the server's own
certificate: the broker lets no stranger do this.
"""

from __future__ import annotations

import random
import threading
from collections import Counter, deque
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from wire_contract.errors import UnknownTopic
from wire_contract.topics import ALL_UP_FILTER, Up, channel_class, parse_topic

COPIES = 3
KEPT = 400  # messages of the past that may come again
PROPERTIES = "UserProperty"


class Echo:
    """`start()`; then `racing` says whether each message is repeated at once, `again` repeats old ones."""

    def __init__(self, host: str, port: int, certificates: Path) -> None:
        self._client = Client(CallbackAPIVersion.VERSION2, client_id="chaos-echo", protocol=MQTTv5)
        ca, own, key = (str(certificates / name) for name in ("ca.pem", "ingest.pem", "ingest.key"))
        self._client.tls_set(ca, own, key)
        self._client.reconnect_delay_set(1, 2)
        self._client.on_connect = self._on_connect
        self._client.on_message = self._on_message
        self._host, self._port = host, port
        self._lock = threading.Lock()
        self._kept: deque[tuple[str, bytes, list[tuple[str, str]]]] = deque(maxlen=KEPT)
        self.racing = False
        self.counts: Counter[str] = Counter()

    def start(self) -> None:
        self._client.connect_async(self._host, self._port, keepalive=15)
        self._client.loop_start()

    def stop(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def again(self, dice: random.Random) -> int:
        """Publish what is kept in another order. Returns how many."""
        with self._lock:
            old = list(self._kept)
        dice.shuffle(old)
        for said in old:
            self._say(*said)
        self.counts["late"] += len(old)
        return len(old)

    def _on_connect(self, client: Client, *_: Any) -> None:
        client.subscribe(ALL_UP_FILTER, options=SubscribeOptions(qos=1, noLocal=True))

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        if not message.payload or message.retain or not _is_data(message.topic):
            return
        pairs = list(getattr(message.properties, PROPERTIES, ()))
        said = (message.topic, bytes(message.payload), pairs)
        with self._lock:
            self._kept.append(said)
        if self.racing:
            for _ in range(COPIES):
                self._say(*said)
            self.counts["raced"] += 1

    def _say(self, topic: str, payload: bytes, pairs: list[tuple[str, str]]) -> None:
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.UserProperty = pairs
        if self._client.is_connected():
            self._client.publish(topic, payload, qos=1, properties=properties)


def _is_data(topic: str) -> bool:
    try:
        _, channel = parse_topic(topic)
    except UnknownTopic:
        return False
    return isinstance(channel, Up) and channel_class(channel) is not None
