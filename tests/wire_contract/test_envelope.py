"""The envelope: what goes in comes out, and everything else is told apart by type."""

from __future__ import annotations

import struct
import threading
import zlib
from typing import get_args

import msgspec
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.sensor_noise import sensor_block
from tests.wire_contract.strategies import BY_KIND, messages
from wire_contract import limits
from wire_contract.envelope import HEADER, KIND_OF_TAG, decode, encode, seal
from wire_contract.errors import (
    FutureVersion,
    MalformedMessage,
    OversizedMessage,
    TruncatedMessage,
    UnknownKind,
)
from wire_contract.messages import CommandReply, Message, SampleBatch, TwinReported

REPLY = CommandReply("c-17", True, "done", 1_790_000_000_000)
pack = msgspec.msgpack.encode


def framed(body: bytes, version: int = 1, encoding: int = 0) -> bytes:
    return struct.pack("<BBII", version, encoding, len(body), zlib.crc32(body)) + body


def test_every_message_has_a_strategy_and_a_tag_of_its_own() -> None:
    assert set(BY_KIND) == set(get_args(Message))
    assert len(KIND_OF_TAG) == len(get_args(Message))


@pytest.mark.parametrize("kind", BY_KIND, ids=lambda kind: kind.__name__)
def test_what_is_encoded_is_decoded(kind: type) -> None:
    @settings(max_examples=60, deadline=None)
    @given(messages([kind]))
    def holds(message: Message) -> None:
        decoded = decode(encode(message))
        assert decoded == message
        assert type(decoded) is type(message)

    holds()


def test_the_header_is_ten_bytes_little_endian() -> None:
    body = pack(REPLY)
    assert encode(REPLY) == b"\x01\x00" + struct.pack("<II", len(body), zlib.crc32(body)) + body
    assert HEADER.size == 10


@pytest.mark.parametrize(
    "message", [REPLY, SampleBatch((sensor_block("sps30", 60),))], ids=["plain", "samples"]
)
def test_cut_off_anywhere_is_truncated(message: Message) -> None:
    payload = encode(message)
    for size in range(len(payload)):
        with pytest.raises(TruncatedMessage):
            decode(payload[:size])


def test_a_cut_off_compressed_message_is_truncated() -> None:
    payload = encode(TwinReported(1, 1, {f"key.{i}": "the same text" for i in range(50)}))
    assert payload[1] == 1
    for size in range(len(payload)):
        with pytest.raises(TruncatedMessage):
            decode(payload[:size])


@pytest.mark.parametrize("version", [2, 3, 255])
def test_a_future_version_is_told_before_anything_else_is_read(version: int) -> None:
    with pytest.raises(FutureVersion):
        decode(bytes([version]))
    with pytest.raises(FutureVersion):
        decode(framed(b"whatever it may hold", version=version, encoding=9))


def test_an_unknown_kind_is_told_by_its_tag() -> None:
    with pytest.raises(UnknownKind, match="'Zz'"):
        decode(seal(pack(["Zz", 1, 2])))


@pytest.mark.parametrize(
    "payload",
    [
        framed(pack(REPLY), version=0),
        framed(pack(REPLY), encoding=2),
        framed(pack(REPLY), encoding=1),
        framed(pack(REPLY)) + b"\0",
        framed(pack(REPLY))[:-1] + b"\xff",
        framed(b""),
        framed(b"\x90"),
        framed(pack({"R": 1})),
        framed(pack([7, "R"])),
        framed(pack(["R!", 1])),
        framed(pack(["", 1])),
        framed(b"\xdc\x00\x05"),
        framed(pack(REPLY) + b"\0"),
        framed(pack(["R", "c-17", True, "done"])),
        framed(pack(["R", "c-17", 1, "done", 5])),
        framed(b"\x92\xa1R\xa4\xff\xff\xff\xff"),
        framed(b"\x95\xa1R\xa1\xff\xc3\xa1x\x00"),
    ],
    ids=lambda payload: payload.hex()[:44],
)
def test_everything_else_is_malformed(payload: bytes) -> None:
    with pytest.raises(MalformedMessage):
        decode(payload)


def test_fields_a_newer_program_adds_at_the_end_are_ignored() -> None:
    fields = msgspec.to_builtins(REPLY)
    assert decode(seal(pack([*fields, "new", {"and": "more"}]))) == REPLY
    assert decode(seal(pack([*fields, *range(20)]))) == REPLY  # more than MessagePack's short arrays hold


def test_a_message_larger_than_the_limit_is_oversized() -> None:
    with pytest.raises(OversizedMessage):
        decode(b"\x01" * (limits.MAX_MESSAGE_BYTES + 1))
    with pytest.raises(OversizedMessage):
        decode(struct.pack("<BBII", 1, 0, 2**32 - 1, 0) + b"few")


def test_a_bomb_is_refused_before_it_is_decompressed() -> None:
    bomb = zstandard.ZstdCompressor().compress(bytes(200 * 1024 * 1024))
    assert len(bomb) < limits.MAX_MESSAGE_BYTES
    with pytest.raises(OversizedMessage):
        decode(framed(bomb, encoding=1))


def test_a_frame_that_hides_its_size_is_refused() -> None:
    with pytest.raises(MalformedMessage, match="size"):
        decode(framed(zstandard.ZstdCompressor(write_content_size=False).compress(pack(REPLY)), encoding=1))


def test_a_frame_that_lies_about_its_size_is_refused() -> None:
    honest = bytearray(zstandard.ZstdCompressor().compress(bytes(200)))
    parameters = zstandard.get_frame_parameters(bytes(honest))
    assert parameters.content_size == 200
    at = honest.index(200)
    for lie in (0, 1, 199, 201, 255):
        honest[at] = lie
        with pytest.raises(MalformedMessage):
            decode(framed(bytes(honest), encoding=1))


def test_bytes_behind_a_compressed_body_are_refused() -> None:
    frame = zstandard.ZstdCompressor().compress(pack(REPLY))
    assert decode(framed(frame, encoding=1)) == REPLY
    for extra in (b"\0", frame):
        with pytest.raises(MalformedMessage):
            decode(framed(frame + extra, encoding=1))


def test_compression_is_used_where_it_is_smaller_and_only_there() -> None:
    assert encode(REPLY)[1] == 0
    assert encode(TwinReported(1, 1, {f"key.{i}": "the same text" for i in range(50)}))[1] == 1
    noise = SampleBatch((sensor_block("sps30", 60),))
    assert encode(noise)[1] == 0  # bit-packed noise does not compress


def test_many_threads_may_encode_and_decode_at_once() -> None:
    message = TwinReported(1, 1, {f"key.{i}": "the same text" for i in range(50)})
    wrong: list[object] = []

    def work() -> None:
        wrong.extend(d for d in (decode(encode(message)) for _ in range(200)) if d != message)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@given(st.integers(1, 20))
@settings(max_examples=5, deadline=None)
def test_a_body_beyond_the_limit_is_not_encoded(extra: int) -> None:
    with pytest.raises(OversizedMessage):
        seal(bytes(limits.MAX_BODY_BYTES + extra))
