"""What a shipped version wrote is read for ever."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract.golden import FOLDER, KINDS, examples, expected, payload
from tests.wire_contract.test_decode_numpy import as_lists
from wire_contract.block_codec import parse_block
from wire_contract.decode_numpy import decode_any
from wire_contract.envelope import VERSION, Blocks, decode, decode_body, open_body
from wire_contract.messages import SampleBatch

FILES = sorted(FOLDER.rglob("*.hex"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_golden_bytes_decode_to_the_message_beside_them(file: Path) -> None:
    message = expected(file)
    assert decode(payload(file)) == message
    decoded = decode_any(payload(file))
    if isinstance(decoded, list):
        decoded = SampleBatch(tuple(as_lists(block) for block in decoded))
    assert decoded == message


def test_golden_bytes_cover_every_kind_of_message_of_this_version() -> None:
    files = [file for file in FILES if file.parent.name == f"v{VERSION}"]
    assert {type(expected(file)) for file in files} == set(KINDS.values())
    assert {file.stem for file in files} >= examples().keys()
    assert {payload(file)[0] for file in files} == {VERSION}
    assert {payload(file)[1] for file in files} == {0, 1}


def test_golden_bytes_cover_every_way_a_column_is_coded() -> None:
    modes = set()
    for file in FILES:
        content = decode_body(open_body(payload(file)))
        if isinstance(content, Blocks):
            for block in map(parse_block, content.blocks):
                modes |= {(column.differences, column.rice) for column in (block.times, *block.columns)}
    assert modes == {(False, False), (False, True), (True, False), (True, True)}
