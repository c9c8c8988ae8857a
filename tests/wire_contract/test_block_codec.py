"""Blocks of samples: their contract is held at both ends, and nothing is allocated for a lie."""

from __future__ import annotations

import tracemalloc
from typing import Any

import msgspec
import pytest

from tests.support.sensor_noise import sensor_block
from wire_contract import limits
from wire_contract.block_codec import encode_block, expand_block, parse_block
from wire_contract.columns import encode_column
from wire_contract.decode_numpy import decode_samples
from wire_contract.envelope import Blocks, decode, encode, seal
from wire_contract.errors import MalformedMessage
from wire_contract.flags import Flag, good_word, pack_flags
from wire_contract.messages import SampleBatch, SampleBlock
from wire_contract.varints import write_signed, write_unsigned

GOOD = SampleBlock(1, (0, 1), [1000, 2000], ([1, 2], [3, 4]), [0x11, 0x11])


def sealed(*blocks: bytes) -> bytes:
    return seal(msgspec.msgpack.encode(Blocks(blocks)))


@pytest.mark.parametrize(
    "changed",
    [
        {"unit": -1},
        {"unit": 65_536},
        {"slots": (1, 0)},
        {"slots": (1, 1)},
        {"slots": (0, 16)},
        {"slots": (-1, 0)},
        {"slots": (), "columns": ()},
        {"slots": (0,)},
        {"times_ms": []},
        {"times_ms": [1000]},
        {"times_ms": [-1, 5]},
        {"times_ms": [1, limits.MAX_TIME_MS + 1]},
        {"times_ms": [1.0, 2.0]},
        {"columns": ([1, 2], [3])},
        {"columns": ([1, 2], [3, 4], [5, 6])},
        {"columns": ([1, 2], [3, 2**31])},
        {"columns": ([1, 2], [-(2**31) - 1, 0])},
        {"columns": ([1, 2], [2.0, 2.0])},
        {"columns": ([1, 2], [None, 2])},
        {"flags": [0x11]},
        {"flags": [0x11, -1]},
        {"flags": [0x11, 2**64]},
    ],
    ids=str,
)
def test_a_block_outside_its_contract_is_not_encoded(changed: dict[str, Any]) -> None:
    assert decode(encode(SampleBatch((GOOD,)))) == SampleBatch((GOOD,))
    with pytest.raises(MalformedMessage):
        encode(SampleBatch((msgspec.structs.replace(GOOD, **changed),)))


def test_rows_and_blocks_beyond_the_limit_are_not_encoded() -> None:
    with pytest.raises(MalformedMessage):
        encode(SampleBatch((sensor_block("sds011", 2048), sensor_block("sds011", 2049))))
    with pytest.raises(MalformedMessage):
        encode(SampleBatch((GOOD,) * (limits.MAX_BLOCKS + 1)))
    full = SampleBatch((sensor_block("pms5003", limits.MAX_ROWS),))
    assert decode(encode(full)) == full


def raw(
    unit: int = 1, mask: int = 1, rows: int = 2, start: int = 1000, step: int = 1, flags: bytes = b"\0"
) -> bytes:
    """A block with one constant column, built by hand."""
    head = write_unsigned(unit) + write_unsigned(mask) + write_unsigned(rows)
    return head + write_signed(start) + write_signed(step) + b"\0\0" + b"\0\x0e" + flags


def test_a_block_built_by_hand_is_decoded() -> None:
    block = expand_block(parse_block(raw()))
    assert block == SampleBlock(1, (0,), [1000, 1001], ([7, 7],), [1, 1])


_RUNS = write_unsigned(2) + write_unsigned(0) + write_unsigned(5)  # two words


@pytest.mark.parametrize(
    "block",
    [
        raw(unit=65_536),
        raw(mask=0),
        raw(mask=1 << 16),
        raw(mask=3),  # a column fewer than slots
        raw(rows=0),
        raw(rows=4097),
        raw(rows=2**63),
        raw(start=-1),
        raw(start=limits.MAX_TIME_MS),
        raw(step=-1001),
        raw(step=2**49),
        raw() + b"\0",
        raw()[:-1],
        raw(flags=b"\x03\0\0\0"),  # three words for two rows
        raw(flags=_RUNS + b"\0"),  # no runs
        raw(flags=_RUNS + b"\x03"),  # three runs in two rows
        raw(flags=_RUNS + b"\x02" + encode_column([1, 2]) + encode_column([0, 1])),  # three rows of flags
        raw(flags=_RUNS + b"\x02" + encode_column([2, 0]) + encode_column([0, 1])),  # an empty run
        raw(flags=_RUNS + b"\x02" + encode_column([3, -1]) + encode_column([0, 1])),
        raw(flags=_RUNS + b"\x02" + encode_column([1, 1]) + encode_column([0, 2])),  # a third word
        raw(flags=_RUNS + b"\x02" + encode_column([1, 1]) + encode_column([-1, 0])),
        raw(flags=b"\x01" + b"\xff" * 9 + b"\x02"),  # a word beyond 64 bits
    ],
    ids=lambda block: block.hex()[:60],
)
def test_a_block_that_lies_is_malformed_to_both_decoders(block: bytes) -> None:
    for decoder in (decode, decode_samples):
        with pytest.raises(MalformedMessage):
            decoder(sealed(block))


def test_a_value_beyond_32_bits_is_malformed_to_both_decoders() -> None:
    for value in (2**31, -(2**31) - 1, 2**40):
        head = raw()[: -len(b"\0\x0e\0")]
        for decoder in (decode, decode_samples):
            with pytest.raises(MalformedMessage, match="value"):
                decoder(sealed(head + encode_column([value, value]) + b"\0"))


@pytest.mark.parametrize("decoder", [decode, decode_samples])
def test_many_small_blocks_of_many_rows_are_refused_before_they_are_expanded(decoder: Any) -> None:
    wide = write_unsigned(1) + write_unsigned(0xFFFF) + write_unsigned(4096)
    block = wide + write_signed(0) + write_signed(1) + b"\0\0" * 17 + b"\0"
    payload = sealed(*[block] * 250)
    tracemalloc.start()
    try:
        with pytest.raises(MalformedMessage, match="rows"):
            decoder(payload)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * limits.MAX_BODY_BYTES


def test_all_good_costs_one_byte_and_flags_that_flicker_cost_little() -> None:
    calm = sensor_block("pms5003", 60)
    spike = pack_flags([Flag.SUSPECT_SPIKE, *[Flag.GOOD] * 11])
    once = msgspec.structs.replace(calm, flags=[calm.flags[0]] * 30 + [spike] + [calm.flags[0]] * 29)
    flicker = msgspec.structs.replace(calm, flags=[calm.flags[0], spike] * 30)
    sizes = [len(encode_block(block)) for block in (calm, once, flicker)]
    assert encode_block(calm)[-1] == 0
    assert sizes[1] - sizes[0] <= 16
    assert sizes[2] - sizes[0] <= 20
    for block in (once, flicker):
        assert expand_block(parse_block(encode_block(block))) == block


def test_flags_of_slots_outside_the_block_survive() -> None:
    missing = pack_flags([Flag.GOOD, Flag.GOOD, Flag.MISSING])
    block = msgspec.structs.replace(GOOD, flags=[missing, good_word((0, 1))])
    assert expand_block(parse_block(encode_block(block))) == block
