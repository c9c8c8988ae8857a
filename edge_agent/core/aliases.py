"""Which messages leave their topic out: a connection's topic aliases (MQTT 5, section 3.3.2.3.4). Pure.

A topic is a fifth of a small message and never changes. The first message of a topic sends it with a number,
the next ones send the number alone, as far as the broker allows numbers. An alias means nothing outside its
connection: a new connection has new `Aliases`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from wire_contract.errors import UnknownTopic
from wire_contract.topics import Up, parse_topic

ALIAS_BYTES = 3  # of the property: its identifier and two bytes of number (section 3.3.2.3.4)

# Each channel has its number, whoever speaks most the lowest: a broker that allows few keeps what counts.
NUMBERS: Mapping[Up, int] = MappingProxyType(
    {
        Up.LIVE: 1,
        Up.HISTORY: 2,
        Up.ALARM: 3,
        Up.REPLY: 4,
        Up.DIAGNOSTIC: 5,
        Up.ASK: 6,
        Up.TWIN: 7,
        Up.PRESENCE: 8,
        Up.CERTIFICATE: 9,
    }
)


class Naming(NamedTuple):
    """How a message names its topic. `topic` is empty where the alias says it; None: without an alias."""

    topic: str
    alias: int | None


class Aliases:
    """What the broker has been told in this connection. `maximum`: its Topic Alias Maximum, 0 where it gave
    none. Ask `naming` for each message in the order in which they are sent, and say `sent` of each that was.
    """

    def __init__(self, maximum: int = 0) -> None:
        self._maximum = maximum
        self._told: dict[int, str] = {}

    def naming(self, topic: str) -> Naming:
        number = _number(topic)
        if number is None or number > self._maximum:
            return Naming(topic, None)
        if self._told.get(number) == topic:
            return Naming("", number)
        self._told.pop(number, None)  # until it is known to be sent, nobody knows what the number means
        return Naming(topic, number)

    def sent(self, naming: Naming) -> None:
        if naming.topic and naming.alias is not None:
            self._told[naming.alias] = naming.topic


def _number(topic: str) -> int | None:
    try:
        _, channel = parse_topic(topic)
    except UnknownTopic:
        return None
    return NUMBERS[channel] if isinstance(channel, Up) else None
