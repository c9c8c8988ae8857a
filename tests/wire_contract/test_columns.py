"""Columns: lossless, as small as promised, and refused by type when they are not columns."""

from __future__ import annotations

import contextlib
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wire_contract.columns import DIFFERENCES, MAX_VALUE, RICE, decode_column, encode_column
from wire_contract.errors import MalformedMessage
from wire_contract.varints import MAX_MAGNITUDE, read_signed, read_unsigned, write_signed, write_unsigned


@given(st.lists(st.integers(-MAX_VALUE, MAX_VALUE), min_size=1, max_size=80))
@settings(deadline=None)
def test_any_integers_come_back(values: list[int]) -> None:
    assert decode_column(encode_column(values), len(values)) == values


@given(st.integers(-(2**31), 2**31 - 1), st.integers(0, 34), st.integers(0, 2**32), st.integers(1, 400))
@settings(deadline=None)
def test_any_width_comes_back(base: int, width: int, seed: int, rows: int) -> None:
    rng = random.Random(seed)
    values = [base + rng.getrandbits(width) if width else base for _ in range(rows)]
    assert decode_column(encode_column(values), rows) == values


def test_a_constant_costs_its_value() -> None:
    assert encode_column([7] * 4096) == b"\x00\x0e"


def test_a_straight_line_costs_next_to_nothing() -> None:
    assert len(encode_column(list(range(5, 50_000, 17)))) <= 6


def test_a_drift_is_coded_as_differences_and_noise_as_it_is() -> None:
    rng = random.Random(1)
    drift = [i * 40 + rng.randint(-1, 1) for i in range(200)]
    noise = [rng.randint(-500, 500) for _ in range(200)]
    assert encode_column(drift)[0] & DIFFERENCES
    assert not encode_column(noise)[0] & DIFFERENCES


def test_even_noise_is_packed_to_its_width_and_bell_shaped_noise_beats_that() -> None:
    rng = random.Random(2)
    even = encode_column([rng.randrange(32) for _ in range(400)])
    assert even[0] == 5
    assert len(even) <= 2 + 400 * 5 / 8
    bell = [round(rng.gauss(0, 12)) for _ in range(400)]
    width = (max(bell) - min(bell)).bit_length()
    coded = encode_column(bell)
    assert coded[0] & RICE
    assert len(coded) < 400 * width / 8 - 10


def test_one_outlier_does_not_cost_every_row_its_width() -> None:
    rng = random.Random(3)
    calm = [rng.randint(0, 7) for _ in range(240)]
    struck = [*calm[:100], 400, *calm[101:]]
    assert len(encode_column(struck)) < 1.5 * len(encode_column(calm))


def test_values_beyond_the_limit_are_not_encoded() -> None:
    for values in ([MAX_VALUE + 1], [0, -MAX_VALUE - 1]):
        with pytest.raises(MalformedMessage):
            encode_column(values)


@pytest.mark.parametrize(
    ("data", "n"),
    [
        (b"", 1),
        (b"\x00", 1),
        (b"\x00\x80", 1),  # a varint without its end
        (b"\x31\x00" + bytes(7), 1),  # 49 bits an element
        (b"\x61\x00" + bytes(9), 1),  # Rice with k = 33
        (b"\x08\x00", 1),  # elements missing
        (b"\x08\x00\x01\x02", 1),  # one too many
        (b"\x00" + b"\xff" * 9 + b"\x01", 1),  # a reference beyond 2**49
        (b"\x00" + b"\xff" * 10 + b"\x01", 1),  # a varint beyond 64 bits
        (b"\x40\x00\x01\x00", 1),  # Rice without its one
        (b"\x40\x00\x01\xc0", 1),  # two ones for one element
        (b"\x40\x00\xff\xff\xff\xff\x0f\x80", 1),  # a unary part of 4 GiB
    ],
)
def test_what_is_no_column_is_refused(data: bytes, n: int) -> None:
    with pytest.raises(MalformedMessage):
        decode_column(data, n)


@given(st.binary(max_size=60), st.integers(1, 40))
@settings(max_examples=500, deadline=None)
def test_any_bytes_are_a_column_or_malformed(data: bytes, n: int) -> None:
    with contextlib.suppress(MalformedMessage):
        assert len(decode_column(data, n)) == n


@given(st.integers(0, 2**64 - 1), st.integers(-MAX_MAGNITUDE, MAX_MAGNITUDE))
def test_varints_come_back(unsigned: int, signed: int) -> None:
    assert read_unsigned(write_unsigned(unsigned) + b"x", 0) == (unsigned, len(write_unsigned(unsigned)))
    assert read_signed(b"x" + write_signed(signed), 1) == (signed, 1 + len(write_signed(signed)))
