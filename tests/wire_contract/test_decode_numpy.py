"""numpy and pure Python are one decoder: the same samples, the same refusals."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.sensor_noise import LEVELS, sensor_block
from tests.wire_contract.strategies import batches, blocks, messages
from wire_contract.block_codec import encode_block
from wire_contract.decode_group import decode_group, rows_in
from wire_contract.decode_numpy import NumpyBlock, decode_any, decode_samples
from wire_contract.envelope import Blocks, decode, encode, seal
from wire_contract.errors import UnknownKind, WireError
from wire_contract.messages import CommandReply, Message, SampleBatch, SampleBlock


def as_lists(block: NumpyBlock) -> SampleBlock:
    return SampleBlock(
        block.unit,
        block.slots,
        block.times_ms.tolist(),
        tuple(block.values.tolist()),
        block.flags.tolist(),
    )


@given(batches())
@settings(max_examples=150, deadline=None)
def test_both_decoders_give_the_same_samples(batch: SampleBatch) -> None:
    payload = encode(batch)
    assert [as_lists(block) for block in decode_samples(payload)] == list(batch.blocks)
    assert decode(payload) == batch


@pytest.mark.parametrize("kind", LEVELS)
@pytest.mark.parametrize("rows", [1, 2, 59, 60, 3600])
def test_both_decoders_give_a_sensor_s_samples(kind: str, rows: int) -> None:
    batch = SampleBatch((sensor_block(kind, rows), sensor_block(kind, 3, unit=2)))
    assert [as_lists(block) for block in decode_samples(encode(batch))] == list(batch.blocks)


def test_arrays_have_the_promised_types_and_shapes() -> None:
    (block,) = decode_samples(encode(SampleBatch((sensor_block("pms5003", 60),))))
    assert [a.dtype.name for a in (block.times_ms, block.values, block.flags)] == ["int64", "int32", "uint64"]
    assert (block.times_ms.shape, block.values.shape, block.flags.shape) == ((60,), (12, 60), (60,))


def outcome(payload: bytes, decoder: str) -> object:
    try:
        if decoder == "numpy":
            return [as_lists(block) for block in decode_samples(payload)]
        batch = decode(payload)
        assert isinstance(batch, SampleBatch)
        return list(batch.blocks)
    except WireError as error:
        return type(error)


@given(blocks(), st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=3))
@settings(max_examples=200, deadline=None)
def test_both_decoders_refuse_the_same_damage(block: SampleBlock, damage: list[tuple[int, int]]) -> None:
    data = bytearray(encode_block(block))
    for at, byte in damage:
        data[at % len(data)] = byte
    payload = seal(msgspec.msgpack.encode(Blocks((bytes(data),))))
    assert outcome(payload, "numpy") == outcome(payload, "pure")


@given(st.binary(max_size=80))
@settings(max_examples=300, deadline=None)
def test_both_decoders_refuse_the_same_bytes(data: bytes) -> None:
    payload = seal(msgspec.msgpack.encode(Blocks((data,))))
    assert outcome(payload, "numpy") == outcome(payload, "pure")


def test_largest_numbers_do_not_overflow() -> None:
    """The extremes of every field at once: 4096 differences of 48 bits each, a reference of 2**49."""
    column = b"\xb0" + b"\xfe" + b"\xff" * 6 + b"\x01" + b"\0" + b"\xff" * (6 * 4096)
    block = b"\x01\x01\x80\x20\x00\x00" + column + b"\0\0" + b"\0"
    payload = seal(msgspec.msgpack.encode(Blocks((block,))))
    assert outcome(payload, "numpy") == outcome(payload, "pure")


@given(messages())
@settings(max_examples=100, deadline=None)
def test_other_messages_pass_through_and_are_no_samples(message: Message) -> None:
    if isinstance(message, SampleBatch):
        assert isinstance(decode_any(encode(message)), list)
        return
    assert decode_any(encode(message)) == message
    with pytest.raises(UnknownKind):
        decode_samples(encode(message))


def test_a_reply_is_no_samples() -> None:
    with pytest.raises(UnknownKind, match="CommandReply"):
        decode_samples(encode(CommandReply("c", True, "", 0)))


def alone(data: bytes) -> SampleBlock | None:
    try:
        return as_lists(decode_samples(seal(msgspec.msgpack.encode(Blocks((data,)))))[0])
    except WireError:
        return None


def together(blocks: list[bytes]) -> list[SampleBlock] | None:
    found = decode_group(blocks)
    return None if found is None else [as_lists(block) for block in found]


@given(st.lists(blocks(), min_size=1, max_size=6))
@settings(max_examples=80, deadline=None)
def test_many_blocks_at_once_are_what_each_is_alone(some: list[SampleBlock]) -> None:
    encoded = [encode_block(block) for block in some]
    assert together(encoded) == some
    assert [rows_in(data) for data in encoded] == [len(block.times_ms) for block in some]


@pytest.mark.parametrize("rows", [1, 2, 59, 60])
def test_many_blocks_of_sensors_at_once(rows: int) -> None:
    some = [sensor_block(kind, rows + i % 2, unit=i) for i in range(40) for kind in LEVELS]
    assert together([encode_block(block) for block in some]) == some


@given(
    st.lists(blocks(), min_size=2, max_size=4),
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=3
    ),
    st.integers(0, 9),
)
@settings(max_examples=150, deadline=None)
def test_damage_in_one_block_is_never_taken_for_samples(
    some: list[SampleBlock], damage: list[tuple[int, int, int]], cut: int
) -> None:
    """Left to the other decoder, or decoded to the very same; the blocks beside it are never touched."""
    encoded = [bytearray(encode_block(block)) for block in some]
    for which, at, byte in damage:
        data = encoded[which % len(encoded)]
        data[at % len(data)] = byte
    damaged = [bytes(data) for data in encoded]
    damaged[0] = damaged[0][: len(damaged[0]) - cut] if cut < 5 else damaged[0]
    found = together(damaged)
    assert found is None or found == [alone(data) for data in damaged]
