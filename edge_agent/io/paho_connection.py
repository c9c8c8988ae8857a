"""paho-mqtt for one connection: MQTT 5, acknowledged by hand, topics by alias, never connecting again.

paho keeps messages and sends them again in its next connection, where an alias means nothing: so a client
has one connection only. paho hands all messages of a connection on in the order in which it gets them, under
its lock of outgoing messages; it calls `on_publish` under that lock, so an alias has no other lock beside it.
"""

from __future__ import annotations

from collections.abc import Sequence

from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edge_agent.core.aliases import Aliases
from edge_agent.errors import LinkLost


class PahoConnection(Client):
    """Connect it once. `accepted` once it has answered; `speak` instead of `publish`, from any thread or
    callback."""

    def __init__(self, client_id: str) -> None:
        super().__init__(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=MQTTv5,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        self._aliases = Aliases()  # none before the broker allows them

    def accepted(self, properties: Properties | None) -> None:
        """The broker's CONNACK, and what it allows."""
        with self._out_message_mutex:
            self._aliases = Aliases(getattr(properties, "TopicAliasMaximum", 0))

    def speak(
        self, topic: str, payload: bytes, properties: Sequence[tuple[str, str]] = (), retain: bool = False
    ) -> None:
        """Publish at QoS 1, with user properties. Raises LinkLost."""
        with self._out_message_mutex:
            aliases = self._aliases
            naming = aliases.naming(topic)
            told = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            if naming.alias is not None:
                told.TopicAlias = naming.alias
            if properties:
                told.UserProperty = list(properties)
            info = self.publish(naming.topic, payload, qos=1, retain=retain, properties=told)
            if info.rc == MQTTErrorCode.MQTT_ERR_SUCCESS:
                aliases.sent(naming)
        if info.rc not in (MQTTErrorCode.MQTT_ERR_SUCCESS, MQTTErrorCode.MQTT_ERR_QUEUE_SIZE):
            raise LinkLost(f"cannot publish: {info.rc.name}")
