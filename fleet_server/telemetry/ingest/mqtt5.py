"""MQTT 5 packets as bytes, as far as the ingest speaks it: no socket, no clock, no thread.

A client of its own because of what it costs: a general one reads each packet in several calls and wakes
another thread for each answer, four times the processor time that storing the message takes
(docs/adr: the ingest's own MQTT client). Source: OASIS MQTT Version 5.0; section numbers below are its.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import NamedTuple

PROTOCOL_LEVEL = 5
MAX_REMAINING_LENGTH = 268_435_455  # four bytes of seven bits, section 1.5.5
FAILURE_FROM = 0x80  # a reason code from here on is a failure, section 2.4
PACKET_IDS = 65_535


class Kind(IntEnum):
    """Control packet types, section 2.1.2: the upper four bits of the first byte."""

    CONNECT = 1
    CONNACK = 2
    PUBLISH = 3
    PUBACK = 4
    SUBSCRIBE = 8
    SUBACK = 9
    PINGREQ = 12
    PINGRESP = 13
    DISCONNECT = 14


class BadPacket(Exception):
    """The peer broke the protocol: the connection is of no use any more."""


class Packet(NamedTuple):
    """The first byte and everything behind the remaining length."""

    first: int
    body: bytes

    @property
    def kind(self) -> int:
        return self.first >> 4


class Publish(NamedTuple):
    """A message that came. `mid` is 0 with QoS 0; `properties` are its user properties."""

    topic: bytes
    payload: bytes
    properties: tuple[tuple[str, str], ...]
    mid: int


class Accepted(NamedTuple):
    """CONNACK without failure: does the broker remember our session, and what does it take from us?

    keepalive_s: the broker's own instead of ours, None where it leaves us ours; maximum_packet in bytes.
    """

    session_present: bool
    receive_maximum: int = PACKET_IDS
    keepalive_s: int | None = None
    maximum_packet: int = MAX_REMAINING_LENGTH


# Property identifier -> bytes of its value, or how its length is found; section 2.2.2.2.
_VARINT, _TEXT, _PAIR = -1, -2, -3
_USER_PROPERTY, _RECEIVE_MAXIMUM, _SESSION_EXPIRY, _MESSAGE_EXPIRY = 0x26, 0x21, 0x11, 0x02
_SERVER_KEEP_ALIVE, _MAXIMUM_PACKET_SIZE, _RESPONSE_TOPIC, _CORRELATION = 0x13, 0x27, 0x08, 0x09
_SIZES = {
    **dict.fromkeys((0x01, 0x17, 0x19, 0x24, 0x25, 0x28, 0x29, 0x2A), 1),
    **dict.fromkeys((0x13, 0x21, 0x22, 0x23), 2),
    **dict.fromkeys((0x02, 0x11, 0x18, 0x27), 4),
    0x0B: _VARINT,
    **dict.fromkeys((0x03, 0x08, 0x09, 0x12, 0x15, 0x16, 0x1A, 0x1C, 0x1F), _TEXT),
    _USER_PROPERTY: _PAIR,
}


_CONNACK_NUMBERS = (_RECEIVE_MAXIMUM, _SERVER_KEEP_ALIVE, _MAXIMUM_PACKET_SIZE)


class Reader:
    """Cuts a stream of bytes into packets."""

    def __init__(self, most: int = MAX_REMAINING_LENGTH) -> None:
        self._most = most
        self._rest = b""

    def feed(self, data: bytes) -> list[Packet]:
        """The packets that are whole now. Raises BadPacket for a length beyond `most`."""
        buffer = self._rest + data if self._rest else data
        found: list[Packet] = []
        at, size = 0, len(buffer)
        while at + 2 <= size:
            length, body = buffer[at + 1], at + 2
            if length > 0x7F:
                read = _length(buffer, at + 1)
                if read is None:
                    break
                length, body = read
            if length > self._most:
                raise BadPacket(f"a packet of {length} bytes: at most {self._most}")
            end = body + length
            if end > size:
                break
            found.append(Packet(buffer[at], buffer[body:end]))
            at = end
        self._rest = buffer[at:]
        return found


def parse_publish(packet: Packet) -> Publish:
    """Section 3.3, with QoS 0 or 1 and a topic: we ask for no more, and allow no alias. Raises BadPacket."""
    body = packet.body
    try:
        at = 2 + (body[0] << 8 | body[1])
        topic = body[2:at]
        mid = 0
        if packet.first & 0x06:
            mid = body[at] << 8 | body[at + 1]
            at += 2
            if not mid or packet.first & 0x04:
                raise BadPacket("a PUBLISH without identifier, or with QoS 2")
        length = body[at]
        at += 1
        if length > 0x7F:
            read = _length(body, at - 1)
            if read is None:
                raise BadPacket("the length of the properties is cut off")
            length, at = read
        end = at + length
        if end > len(body):
            raise BadPacket("properties beyond the packet")
        pairs = _pairs(body, at, end) if length else ()
    except IndexError as cut:
        raise BadPacket("a PUBLISH that is cut off") from cut
    if not topic:
        raise BadPacket("a PUBLISH without topic")
    return Publish(topic, body[end:], pairs, mid)


def parse_connack(packet: Packet) -> Accepted | int:
    """Section 3.2: what the broker allows, or the reason code of its refusal. Raises BadPacket."""
    body = packet.body
    if len(body) < 2:
        raise BadPacket("a CONNACK that is cut off")
    if body[1] >= FAILURE_FROM:
        return body[1]
    found = _properties(body, *_span(body, 2)) if len(body) > 2 else {}
    told = {name: int.from_bytes(found[name], "big") for name in _CONNACK_NUMBERS if name in found}
    maximum, packet_bytes = told.get(_RECEIVE_MAXIMUM, PACKET_IDS), told.get(_MAXIMUM_PACKET_SIZE)
    if not maximum or packet_bytes == 0:
        raise BadPacket("a CONNACK that allows nothing")
    keepalive_s = told.get(_SERVER_KEEP_ALIVE)
    return Accepted(bool(body[0] & 1), maximum, keepalive_s, packet_bytes or MAX_REMAINING_LENGTH)


def parse_suback(packet: Packet) -> bytes:
    """Section 3.9: one reason code a filter. Raises BadPacket."""
    _, end = _span(packet.body, 2)
    return packet.body[end:]


def parse_puback(packet: Packet) -> int:
    """Section 3.4: the packet identifier; what the broker thinks of the message is its own matter."""
    if len(packet.body) < 2:
        raise BadPacket("a PUBACK that is cut off")
    return packet.body[0] << 8 | packet.body[1]


def parse_disconnect(packet: Packet) -> int:
    """Section 3.14: the reason code."""
    return packet.body[0] if packet.body else 0


def connect(
    client_id: str,
    keepalive_s: int,
    session_expiry_s: int,
    receive_maximum: int,
    maximum_packet: int,
    *,
    clean_start: bool = False,
) -> bytes:
    """Section 3.1: the session of this client id goes on where there is one, unless with a clean start.

    maximum_packet: bytes; what is larger the broker drops instead of sending it.
    """
    told = struct.pack(">BIBH", _SESSION_EXPIRY, session_expiry_s, _RECEIVE_MAXIMUM, receive_maximum)
    told += struct.pack(">BI", _MAXIMUM_PACKET_SIZE, maximum_packet)
    head = _text(b"MQTT") + struct.pack(">BBH", PROTOCOL_LEVEL, 0x02 if clean_start else 0, keepalive_s)
    return _packet(Kind.CONNECT << 4, head + _varint(len(told)) + told + _text(client_id.encode()))


def subscribe(mid: int, filters: Iterable[tuple[str, int]]) -> bytes:
    """Section 3.8: topic filters and their QoS."""
    body = struct.pack(">HB", mid, 0) + b"".join(_text(f.encode()) + bytes((qos,)) for f, qos in filters)
    return _packet(Kind.SUBSCRIBE << 4 | 0x02, body)


def publish(
    topic: str,
    payload: bytes,
    *,
    mid: int = 0,
    expiry_s: int | None = None,
    response_topic: str = "",
    correlation: bytes = b"",
    properties: Sequence[tuple[str, str]] = (),
) -> bytes:
    """Section 3.3: with QoS 1 where there is a packet identifier, else with QoS 0."""
    told = b"" if expiry_s is None else struct.pack(">BI", _MESSAGE_EXPIRY, expiry_s)
    if response_topic:
        told += bytes((_RESPONSE_TOPIC,)) + _text(response_topic.encode())
    if correlation:
        told += bytes((_CORRELATION,)) + _text(correlation)
    for name, value in properties:
        told += bytes((_USER_PROPERTY,)) + _text(name.encode()) + _text(value.encode())
    head = _text(topic.encode()) + (struct.pack(">H", mid) if mid else b"")
    first = Kind.PUBLISH << 4 | (0x02 if mid else 0)
    return _packet(first, head + _varint(len(told)) + told + payload)


def pubacks(mids: Iterable[int]) -> bytes:
    """Section 3.4: one success for each; reason and properties may be left out."""
    return b"".join(struct.pack(">BBH", Kind.PUBACK << 4, 2, mid) for mid in mids)


PINGREQ = bytes((Kind.PINGREQ << 4, 0))
DISCONNECT = bytes((Kind.DISCONNECT << 4, 0))


def _packet(first: int, body: bytes) -> bytes:
    return bytes((first,)) + _varint(len(body)) + body


def _text(value: bytes) -> bytes:
    return struct.pack(">H", len(value)) + value


def _varint(value: int) -> bytes:
    """Section 1.5.5, at most MAX_REMAINING_LENGTH."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _length(buffer: bytes, at: int) -> tuple[int, int] | None:
    """A variable byte integer and the offset behind it; None where it is not all there. Raises BadPacket."""
    value = 0
    for shift in (0, 7, 14, 21):
        if at >= len(buffer):
            return None
        byte = buffer[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise BadPacket("a length of more than four bytes")


def _span(body: bytes, at: int) -> tuple[int, int]:
    """Where the properties, whose length stands at `at`, begin and end. Raises BadPacket."""
    read = _length(body, at)
    if read is None or sum(read) > len(body):
        raise BadPacket("properties beyond the packet")
    return read[1], sum(read)


def _pairs(body: bytes, at: int, end: int) -> tuple[tuple[str, str], ...]:
    """The user properties in a span, in order. Raises BadPacket, IndexError.

    What is no UTF-8 is replaced: a message that somebody let through must not end the connection each time
    that it is delivered.
    """
    found = []
    while at < end:
        if body[at] == _USER_PROPERTY:
            middle = at + 3 + (body[at + 1] << 8 | body[at + 2])
            after = middle + 2 + (body[middle] << 8 | body[middle + 1])
            name, value = body[at + 3 : middle], body[middle + 2 : after]
            found.append((name.decode("utf-8", "replace"), value.decode("utf-8", "replace")))
            at = after
        else:
            at = _behind(body, at)
    if at != end:
        raise BadPacket("a property beyond the properties")
    return tuple(found)


def _properties(body: bytes, at: int, end: int) -> dict[int, bytes]:
    """Identifier -> value of the properties in a span, the last of each. Raises BadPacket."""
    found = {}
    while at < end:
        after = _behind(body, at)
        found[body[at]] = body[at + 1 : after]
        at = after
    if at != end:
        raise BadPacket("a property beyond the properties")
    return found


def _behind(body: bytes, at: int) -> int:
    """The offset behind the property at `at`. Raises BadPacket."""
    size = _SIZES.get(body[at])
    if size is None:
        raise BadPacket(f"property {body[at]:#x} is not MQTT 5's")
    at += 1
    if size > 0:
        return at + size
    if size == _VARINT:
        read = _length(body, at)
        if read is None:
            raise BadPacket("a property that is cut off")
        return read[1]
    for _ in range(2 if size == _PAIR else 1):
        at += 2 + int.from_bytes(body[at : at + 2], "big")
    return at
