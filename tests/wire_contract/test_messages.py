"""What a field may hold: `encode` refuses what `decode` refuses, both with MalformedMessage."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tests.support.sensor_noise import sensor_block
from wire_contract.envelope import decode, encode, seal
from wire_contract.errors import MalformedMessage, WireError
from wire_contract.messages import (
    Ack,
    Ask,
    CommandReply,
    Condition,
    ConditionBatch,
    FilePiece,
    Presence,
    SampleBatch,
    SensorDeclaration,
    SettingAck,
    SlotDeclaration,
    Tombstone,
    TombstoneReason,
    TwinDesired,
    TwinReported,
    Verdict,
    VerdictBatch,
)

EPOCH = bytes(16)
SLOT = SlotDeclaration("pm2_5", "ug/m3", -1)
FULL = TombstoneReason.SPOOL_FULL


def verdict(**changed: Any) -> VerdictBatch:
    fields: dict[str, Any] = {
        "time_ms": 1, "unit": 1, "kind": "smoke", "score": 0.5, "confidence": 0.5,
        "reason": "", "model": "", "input_hash": b"",
    }  # fmt: skip
    return VerdictBatch((Verdict(**{**fields, **changed}),))


REFUSED: dict[str, Callable[[], Any]] = {
    "tombstone backwards": lambda: Tombstone(9, 8, FULL, 1, 0, 0),
    "tombstone times backwards": lambda: Tombstone(8, 9, FULL, 1, 5, 4),
    "tombstone of sequence 0": lambda: Tombstone(0, 9, FULL, 1, 0, 0),
    "tombstone of -1 samples": lambda: Tombstone(1, 9, FULL, -1, 0, 0),
    "unknown reason": lambda: Tombstone(1, 9, "bored", 1, 0, 0),  # type: ignore[arg-type]
    "time before 1970": lambda: CommandReply("c", True, "", -1),
    "time beyond 2100": lambda: CommandReply("c", True, "", 4_102_444_800_001),
    "time that is a float": lambda: CommandReply("c", True, "", 1.5),  # type: ignore[arg-type]
    "integer beyond 64 bits": lambda: CommandReply("c", True, "", 2**64),
    "NUL in a text": lambda: CommandReply("c", True, "a\0b", 1),
    "NUL at the end of a text": lambda: CommandReply("c", True, "a\n\0", 1),
    "half a surrogate pair": lambda: CommandReply("c", True, "\ud800", 1),
    "text too long": lambda: CommandReply("c", True, "x" * 1025, 1),
    "name empty": lambda: CommandReply("", True, "", 1),
    "outcome unknown": lambda: CommandReply("c", True, "", 1, "bored"),  # type: ignore[arg-type]
    "piece beyond the file": lambda: FilePiece("c", "f", 1, 5, bytes(32), b"bytes"),
    "piece too short": lambda: FilePiece("c", "f", 0, 6, bytes(32), b"bytes"),
    "file beyond its limit": lambda: FilePiece("c", "f", 0, 2**20 + 1, bytes(32), bytes(32768)),
    "file name with a path": lambda: FilePiece("c", "../f", 0, 5, bytes(32), b"bytes"),
    "no slots": lambda: SensorDeclaration(1, "sds011", "", "", (), 1),
    "17 slots": lambda: SensorDeclaration(
        1, "x", "", "", tuple(SlotDeclaration(f"c{i}", "", 0) for i in range(17)), 1
    ),
    "a channel twice": lambda: SensorDeclaration(1, "sds011", "", "", (SLOT, SLOT), 1),
    "channel with a space": lambda: SensorDeclaration(
        1, "sds011", "", "", (SlotDeclaration("pm 2", "", 0),), 1
    ),
    "exponent beyond SI": lambda: SensorDeclaration(
        1, "sds011", "", "", (SlotDeclaration("pm", "", 19),), 1
    ),
    "unit key negative": lambda: SensorDeclaration(-1, "sds011", "", "", (SLOT,), 1),
    "score not a number": lambda: verdict(score=float("nan")),
    "score infinite": lambda: verdict(score=float("-inf")),
    "confidence above 1": lambda: verdict(confidence=1.01),
    "confidence not a number": lambda: verdict(confidence=float("nan")),
    "hash too long": lambda: verdict(input_hash=bytes(33)),
    "no verdicts": lambda: VerdictBatch(()),
    "severity unknown": lambda: ConditionBatch((Condition(1, "c", "", True, "fatal", "", ""),)),  # type: ignore[arg-type]
    "epoch of 15 bytes": lambda: Ask(bytes(15), (2,)),
    "class 5": lambda: Ask(EPOCH, (5,)),
    "ack range touches the prefix": lambda: Ack(EPOCH, 2, 4, ((5, 6),)),
    "ack range below the prefix": lambda: Ack(EPOCH, 2, 4, ((2, 3),)),
    "ack range backwards": lambda: Ack(EPOCH, 2, 4, ((9, 8),)),
    "ack ranges unsorted": lambda: Ack(EPOCH, 2, 4, ((20, 30), (8, 9))),
    "ack ranges overlap": lambda: Ack(EPOCH, 2, 4, ((8, 20), (20, 30))),
    "ack prefix negative": lambda: Ack(EPOCH, 2, -1),
    "setting not a number": lambda: TwinDesired(1, {"a": float("nan")}, False),
    "setting beyond JSON": lambda: TwinDesired(1, {"a": 2**53 + 1}, False),
    "setting nested": lambda: TwinDesired(1, {"a": {"b": 1}}, False),  # type: ignore[dict-item]
    "acknowledged value not a number": lambda: TwinReported(
        1, 1, {}, (SettingAck("a", float("inf"), 200, 1, ""),)
    ),
    "acknowledged with no code": lambda: TwinReported(1, 1, {}, (SettingAck("a", 1, 0, 1, ""),)),
    "too many settings": lambda: TwinDesired(1, {str(i): i for i in range(257)}, False),
    "backlog negative": lambda: Presence(True, 1, 1, EPOCH, "", True, backlog={"live": -1}),
}  # fmt: skip


@pytest.mark.parametrize("build", REFUSED.values(), ids=REFUSED.keys())
def test_a_message_outside_its_contract_is_not_encoded(build: Callable[[], Any]) -> None:
    with pytest.raises(MalformedMessage):
        encode(build())


@pytest.mark.parametrize(
    "body",
    [
        ["T", 9, 8, "spool_full", 1, 0, 0],
        ["T", 1, 2, "spool_full", 1, 5, 4],
        ["T", -1, 2, "spool_full", 1, 0, 0],
        ["T", 1, 2**64 - 1, "spool_full", 1, 0, 0],
        ["T", "1", 2, "spool_full", 1, 0, 0],
        ["K", bytes(16), 2, 4, [[5, 6]]],
        ["K", bytes(16), 2, 4, [[5]]],
        ["K", bytes(16), 2, 4, {"5": 6}],
        ["W", 1, {"a": float("inf")}, False],
        ["W", 1, {1: 2}, False],
        ["V", [[1, 1, "smoke", float("nan"), 0.5, "", "", b""]]],
        ["D", 1, "sds011", "", "", [["pm", "", 0], ["pm", "", 0]], 1],
        ["R", "c", None, "", 1],
        ["R", "c", True, "\0", 1],
        ["S"],
        ["S", None],
        ["S", []],
        ["S", ["text"]],
        ["S", [[1, [0], [1], [[1]], [1]]]],
        ["S", [b""]],
    ],
    ids=str,
)
def test_a_message_outside_its_contract_is_not_decoded(body: list[Any]) -> None:
    with pytest.raises(MalformedMessage):
        decode(seal(msgspec.msgpack.encode(body)))


@pytest.mark.parametrize("count", [b"\xdd\xff\xff\xff\xff", b"\xdc\xff\xff"])
@pytest.mark.parametrize(
    "start", [b"\x92\xa1S", b"\x92\xa1V", b"\x95\xa1K\xc4\x10" + bytes(16) + b"\x02\x04"]
)
def test_a_count_without_its_items_allocates_nothing(start: bytes, count: bytes) -> None:
    with pytest.raises(MalformedMessage):
        decode(seal(start + count))


def test_nesting_without_end_is_malformed() -> None:
    for nested in (b"\x91" * 100_000, b"\x81\xa1a" * 50_000):
        with pytest.raises(MalformedMessage):
            decode(seal(b"\x92\xa1R" + nested))
        with pytest.raises(MalformedMessage):
            decode(seal(b"\x96\xa1R\xa1c\xc3\xa0\x01" + nested))  # where newer fields would be skipped


def test_a_message_with_what_is_no_message_is_not_encoded() -> None:
    for thing in (None, 7, {"T": 1}, object(), sensor_block("sds011", 1)):
        with pytest.raises(WireError):
            encode(thing)  # type: ignore[arg-type]
    with pytest.raises(MalformedMessage):
        encode(SampleBatch(()))
