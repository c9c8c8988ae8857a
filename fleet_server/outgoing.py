"""A message to a device on its way to the broker."""

from __future__ import annotations

from typing import NamedTuple

EXPIRY_S = 300  # an ack that a device did not fetch in time is stale: it will ask


class Outgoing(NamedTuple):
    """expiry_s: then the broker drops it. response_topic, correlation: MQTT 5, section 4.10."""

    topic: str
    payload: bytes
    expiry_s: int = EXPIRY_S
    response_topic: str = ""
    correlation: bytes = b""


Said = tuple[str, bytes] | Outgoing
"""Topic and payload, perhaps with more."""
