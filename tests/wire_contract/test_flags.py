"""Quality flags: four bits a slot."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire_contract.errors import MalformedMessage
from wire_contract.flags import Flag, good_word, pack_flags, unpack_flags


@given(st.lists(st.sampled_from(Flag), min_size=16, max_size=16))
def test_flags_come_back(flags: list[Flag]) -> None:
    word = pack_flags(flags)
    assert 0 <= word < 2**64
    assert unpack_flags(word) == tuple(flags)


def test_slot_i_stands_in_bits_4i_to_4i_plus_3() -> None:
    assert pack_flags([Flag.GOOD, Flag.MISSING]) == 0x91
    assert unpack_flags(0x91)[:3] == (Flag.GOOD, Flag.MISSING, Flag.NOT_SET)
    assert good_word((0, 2)) == 0x101


def test_every_flag_has_one_of_qartod_s_five_primaries() -> None:
    assert {flag.qartod for flag in Flag} == {1, 2, 3, 4, 9}
    for flag in Flag:
        for word, primary in (("SUSPECT", 3), ("FAIL", 4), ("MISSING", 9), ("GOOD", 1)):
            if flag.name.startswith(word):
                assert flag.qartod == primary


def test_what_does_not_fit_is_refused() -> None:
    for flags in ([1] * 17, [16], [-1]):
        with pytest.raises(MalformedMessage):
            pack_flags(flags)
    for word in (-1, 2**64):
        with pytest.raises(MalformedMessage):
            unpack_flags(word)
