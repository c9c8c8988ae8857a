"""No bytes whatever stop a consumer: a message, or a WireError, and nothing else."""

from __future__ import annotations

import contextlib
import zlib

import msgspec
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.wire_contract.strategies import messages
from wire_contract.channels import ON_DOWN, ON_UP
from wire_contract.classes import Class
from wire_contract.decode_numpy import decode_any
from wire_contract.envelope import HEADER, KIND_OF_TAG, decode, encode, seal
from wire_contract.errors import BadProperties, TruncatedMessage, WireError
from wire_contract.messages import Message
from wire_contract.properties import Delivery
from wire_contract.topics import parse_topic

FUZZ = settings(max_examples=300, deadline=None)


def survives(payload: bytes) -> None:
    for decoder in (decode, decode_any):
        with contextlib.suppress(WireError):
            decoder(payload)


def resealed(body: bytes, encoding: int = 0) -> bytes:
    return HEADER.pack(1, encoding, len(body), zlib.crc32(body)) + body


@given(st.binary(max_size=300))
@FUZZ
def test_random_bytes(payload: bytes) -> None:
    survives(payload)
    survives(b"\x01\x00" + payload)


@given(st.binary(max_size=300), st.sampled_from([0, 1]))
@FUZZ
def test_random_bodies_with_a_right_header(body: bytes, encoding: int) -> None:
    survives(resealed(body, encoding))


@given(st.binary(max_size=100), st.sampled_from(sorted(KIND_OF_TAG)))
@FUZZ
def test_random_fields_behind_a_right_tag(fields: bytes, tag: str) -> None:
    for count in (0x92, 0x95, 0x97):
        survives(resealed(bytes([count, 0xA1]) + tag.encode() + fields))


_ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=40)
    | st.datetimes(timezones=st.timezones()),
    lambda inner: st.lists(inner, max_size=9) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=25,
)


@given(st.sampled_from([*sorted(KIND_OF_TAG), "Zz"]), st.lists(_ANYTHING, max_size=10))
@FUZZ
def test_wrong_types_behind_a_right_tag(tag: str, fields: list[object]) -> None:
    survives(seal(msgspec.msgpack.encode([tag, *fields])))


@given(messages(), st.data())
@FUZZ
def test_one_field_replaced_by_anything(message: Message, data: st.DataObject) -> None:
    fields = msgspec.to_builtins(message, builtin_types=(bytes,))
    fields[data.draw(st.integers(1, len(fields) - 1))] = data.draw(_ANYTHING)
    survives(seal(msgspec.msgpack.encode(fields)))


@given(messages(), st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=4))
@FUZZ
def test_damaged_messages(message: Message, damage: list[tuple[int, int]]) -> None:
    payload = bytearray(encode(message))
    for at, byte in damage:
        payload[at % len(payload)] = byte
    survives(bytes(payload))
    survives(resealed(bytes(payload[HEADER.size :]), payload[1] & 1))


@given(messages(), st.data())
@FUZZ
def test_truncated_messages(message: Message, data: st.DataObject) -> None:
    payload = encode(message)
    size = data.draw(st.integers(0, len(payload) - 1))
    with pytest.raises(TruncatedMessage):
        decode(payload[:size])
    survives(resealed(payload[HEADER.size : size], payload[1]))  # cut off, and the header says so too


@given(
    st.binary(min_size=1, max_size=200),
    st.lists(st.tuples(st.integers(0, 500), st.integers(0, 255)), max_size=3),
)
@FUZZ
def test_damaged_compression(body: bytes, damage: list[tuple[int, int]]) -> None:
    frame = bytearray(zstandard.ZstdCompressor().compress(body * 20))
    for at, byte in damage:
        frame[at % len(frame)] = byte
    survives(resealed(bytes(frame), 1))


@given(st.text(max_size=60) | st.from_regex(r"lp/1/[a-z-]{0,4}/[a-z0-9]{0,4}/(up|down)/[a-z]{0,9}"))
@FUZZ
def test_topics(topic: str) -> None:
    try:
        address, channel = parse_topic(topic)
    except WireError:
        return
    assert channel in set(ON_UP) or channel in set(ON_DOWN)
    assert str(address) in topic


_KEY = st.sampled_from(["e", "c", "s", "h", "traceparent", "x"]) | st.text(max_size=3)
_VALUE = st.text(max_size=30) | st.sampled_from(["1", "-1", "4", "5", "٣", "1e3", "A" * 22, "0" * 99])


@given(st.lists(st.tuples(_KEY, _VALUE), max_size=6))
@FUZZ
def test_user_properties(pairs: list[tuple[str, str]]) -> None:
    with contextlib.suppress(BadProperties):
        Delivery.from_user_properties(pairs, Class.LIVE)
