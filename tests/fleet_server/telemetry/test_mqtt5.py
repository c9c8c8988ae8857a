"""MQTT packets as the ingest reads and writes them: whole whatever the cuts; garbage is one kind of error."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from fleet_server.telemetry.ingest import mqtt5
from fleet_server.telemetry.ingest.mqtt5 import BadPacket, Kind, Packet, Reader

_text = st.text(st.characters(codec="utf-8"), max_size=60)
_pairs = st.lists(st.tuples(_text, _text), max_size=6)
_mid = st.integers(0, mqtt5.PACKET_IDS)
_PARSERS = {
    Kind.PUBLISH: mqtt5.parse_publish,
    Kind.CONNACK: mqtt5.parse_connack,
    Kind.SUBACK: mqtt5.parse_suback,
    Kind.PUBACK: mqtt5.parse_puback,
    Kind.DISCONNECT: mqtt5.parse_disconnect,
}


@given(
    st.lists(st.tuples(_text.filter(bool), st.binary(max_size=400), _mid, _pairs), min_size=1, max_size=5),
    st.lists(st.integers(1, 300), max_size=8),
)
@settings(max_examples=150, deadline=None)
def test_what_is_published_is_read_whatever_the_cuts(
    messages: list[tuple[str, bytes, int, list[tuple[str, str]]]], cuts: list[int]
) -> None:
    stream = b"".join(
        mqtt5.publish(topic, payload, mid=mid, expiry_s=300 if mid % 2 else None, properties=pairs)
        for topic, payload, mid, pairs in messages
    )
    reader, packets = Reader(), []
    for cut in (*cuts, len(stream)):
        packets += reader.feed(stream[:cut])
        stream = stream[cut:]
    read = [mqtt5.parse_publish(packet) for packet in packets]
    assert [(p.topic.decode(), p.payload, p.mid, list(p.properties)) for p in read] == messages


@given(_pairs, st.integers(0, 2**32 - 1), _text)
@settings(max_examples=60, deadline=None)
def test_properties_beside_ours_are_passed_over(pairs: list[tuple[str, str]], expiry: int, kind: str) -> None:
    """As another client packs them."""
    told = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    told.UserProperty = pairs
    told.MessageExpiryInterval = expiry
    told.ContentType = kind
    told.CorrelationData = b"\x00\xff"
    told.PayloadFormatIndicator = 1
    body = b"\x00\x01t\x00\x07" + told.pack() + b"payload"
    read = mqtt5.parse_publish(Packet(0x32, body))
    assert (read.topic, read.payload, read.mid) == (b"t", b"payload", 7)
    assert list(read.properties) == pairs


@given(st.sampled_from(sorted(_PARSERS)), st.sampled_from([0, 2, 4]), st.binary(max_size=60))
@settings(max_examples=500, deadline=None)
def test_garbage_is_a_bad_packet_and_nothing_else(kind: Kind, flags: int, body: bytes) -> None:
    with suppress(BadPacket):
        _PARSERS[kind](Packet(kind << 4 | flags, body))


@given(st.binary(max_size=80))
@settings(max_examples=300, deadline=None)
def test_no_stream_breaks_the_reader(data: bytes) -> None:
    try:
        packets = Reader(1_000).feed(data)
    except BadPacket:
        return
    assert sum(len(packet.body) for packet in packets) <= len(data)


def test_a_packet_that_is_too_large_is_refused_before_it_is_there() -> None:
    with pytest.raises(BadPacket, match="at most 1000"):
        Reader(1_000).feed(bytes((0x30, 0xFF, 0xFF, 0xFF, 0x7F)))


def test_what_the_broker_allows_and_refuses() -> None:
    assert mqtt5.parse_connack(Packet(0x20, b"\x01\x00\x03\x21\x00\xc8")) == mqtt5.Accepted(True, 200)
    assert mqtt5.parse_connack(Packet(0x20, b"\x00\x00\x00")) == mqtt5.Accepted(False, mqtt5.PACKET_IDS)
    everything = Properties(PacketTypes.CONNACK)  # type: ignore[no-untyped-call]
    everything.SessionExpiryInterval, everything.ReceiveMaximum, everything.MaximumQoS = 900, 7, 1
    everything.RetainAvailable, everything.MaximumPacketSize, everything.TopicAliasMaximum = 1, 999, 5
    everything.AssignedClientIdentifier, everything.ReasonString = "anybody", "why not"
    everything.ServerKeepAlive, everything.UserProperty = 20, [("a", "b")]
    packed = Packet(0x20, b"\x00\x00" + everything.pack())
    assert mqtt5.parse_connack(packed) == mqtt5.Accepted(False, 7, 20, 999)
    for told in (b"\x03\x21\x00\x00", b"\x05\x27\x00\x00\x00\x00", b"\x02\x21\x00", b"\x01\x7e"):
        with pytest.raises(BadPacket):
            mqtt5.parse_connack(Packet(0x20, b"\x00\x00" + told))
    assert mqtt5.parse_connack(Packet(0x20, b"\x00\x87")) == 0x87
    assert mqtt5.parse_suback(Packet(0x90, b"\x00\x01\x00\x01\x87")) == b"\x01\x87"


def test_a_user_property_that_is_no_text_does_not_end_the_connection() -> None:
    body = b"\x00\x01t\x00\x07\x06\x26\x00\x01\xff\x00\x00payload"
    assert mqtt5.parse_publish(Packet(0x32, body)).properties == (("\ufffd", ""),)
