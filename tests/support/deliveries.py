"""Which delivery a published message is, by its topic and user properties."""

from __future__ import annotations

from collections.abc import Sequence

from wire_contract.properties import Delivery
from wire_contract.topics import Up, channel_class, parse_topic


def delivery_of(topic: str, pairs: Sequence[tuple[str, str]]) -> Delivery:
    """Of a topic on which something spooled travels. Raises BadProperties, UnknownTopic."""
    channel = parse_topic(topic)[1]
    cls = channel_class(channel) if isinstance(channel, Up) else None
    assert cls is not None, topic
    return Delivery.from_user_properties(pairs, cls)
