"""Every message the wire allows, for hypothesis."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

from wire_contract import limits
from wire_contract.flags import good_word
from wire_contract.messages import (
    Ack,
    Ask,
    CertificateIssued,
    CertificateRequest,
    Command,
    CommandName,
    CommandOutcome,
    CommandReply,
    Condition,
    ConditionBatch,
    FilePiece,
    Message,
    Presence,
    SampleBatch,
    SampleBlock,
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

_text = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=40)
_name = _text.filter(bool)
_time = st.integers(limits.MIN_TIME_MS, limits.MAX_TIME_MS)
_unit = st.integers(0, limits.MAX_UNIT_KEY)
_count = st.integers(0, limits.MAX_SEQUENCE)
_epoch = st.binary(min_size=16, max_size=16)
_number = st.floats(allow_nan=False, allow_infinity=False)
_setting = st.one_of(_text, st.integers(-(2**53), 2**53), _number, st.booleans(), st.none())
_settings = st.dictionaries(_name, _setting, max_size=5)
_setting_ack = st.builds(SettingAck, _name, _setting, st.integers(100, 599), _count, _text)
_texts = st.dictionaries(_name, _text, max_size=5)
_channel = st.from_regex(r"[a-z][a-z0-9_]{0,31}", fullmatch=True)
_slot = st.builds(SlotDeclaration, _channel, _text, st.integers(-18, 18))
_slots = st.lists(_slot, min_size=1, max_size=16, unique_by=lambda slot: slot.channel).map(tuple)
_condition = st.builds(
    Condition, _time, _name, _text, st.booleans(), st.sampled_from(["info", "warning", "error"]), _text, _text
)
_verdict = st.builds(
    Verdict, _time, _unit, _name, _number, st.floats(0, 1), _text, _text, st.binary(max_size=32)
)


def _up(first: int, second: int) -> tuple[int, int]:
    return (first, second) if first <= second else (second, first)


@st.composite
def tombstones(draw: st.DrawFn) -> Tombstone:
    first, last = _up(*draw(st.tuples(st.integers(1, 2**63 - 1), st.integers(1, 2**63 - 1))))
    from_ms, to_ms = _up(*draw(st.tuples(_time, _time)))
    return Tombstone(first, last, draw(st.sampled_from(TombstoneReason)), draw(_count), from_ms, to_ms)


@st.composite
def acks(draw: st.DrawFn) -> Ack:
    at = prefix = draw(st.integers(0, 2**62))
    ranges = []
    for gap, length in draw(st.lists(st.tuples(st.integers(2, 9), st.integers(0, 9)), max_size=5)):
        ranges.append((at + gap, at + gap + length))
        at += gap + length
    return Ack(draw(_epoch), draw(st.integers(0, 4)), prefix, tuple(ranges))


@st.composite
def pieces(draw: st.DrawFn) -> FilePiece:
    size = draw(st.integers(1, 3 * limits.FILE_PIECE_BYTES))
    index = draw(st.integers(0, (size - 1) // limits.FILE_PIECE_BYTES))
    data = bytes(min(size - index * limits.FILE_PIECE_BYTES, limits.FILE_PIECE_BYTES))
    name = draw(st.from_regex(r"[a-z0-9][a-z0-9._-]{0,63}", fullmatch=True))
    return FilePiece(draw(_name), name, index, size, draw(st.binary(min_size=32, max_size=32)), data)


def _column(rows: int) -> st.SearchStrategy[list[int]]:
    """Constants, noise, drifts, steps with an outlier, and anything at all within 32 bits."""
    whole = st.integers(limits.INT32_MIN, limits.INT32_MAX)
    near = st.integers(-1000, 1000)
    return st.one_of(
        whole.map(lambda v: [v] * rows),
        st.lists(near, min_size=rows, max_size=rows),
        st.lists(whole, min_size=rows, max_size=rows),
        st.tuples(near, near).map(lambda line: [line[0] + line[1] * i for i in range(rows)]),
        st.tuples(near, whole, st.integers(0, rows - 1)).map(
            lambda spike: [spike[1] if i == spike[2] else spike[0] for i in range(rows)]
        ),
    )


@st.composite
def blocks(draw: st.DrawFn, max_rows: int = 12) -> SampleBlock:
    rows = draw(st.integers(1, max_rows))
    slots = tuple(sorted(draw(st.sets(st.integers(0, 15), min_size=1, max_size=16))))
    regular = st.tuples(st.integers(0, 4 * 10**12), st.integers(0, 3_600_000)).map(
        lambda line: [line[0] + line[1] * i for i in range(rows)]
    )
    times = draw(st.one_of(regular, st.lists(_time, min_size=rows, max_size=rows)))
    words = [good_word(slots), *draw(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=3))]
    flags = draw(st.lists(st.sampled_from(words), min_size=rows, max_size=rows))
    columns = tuple(draw(_column(rows)) for _ in slots)
    return SampleBlock(draw(_unit), slots, times, columns, flags)


def batches(max_blocks: int = 3) -> st.SearchStrategy[SampleBatch]:
    return st.lists(blocks(), min_size=1, max_size=max_blocks).map(lambda b: SampleBatch(tuple(b)))


def _many(item: st.SearchStrategy[object], least: int = 1) -> st.SearchStrategy[tuple[object, ...]]:
    return st.lists(item, min_size=least, max_size=4).map(tuple)


BY_KIND: dict[type, st.SearchStrategy[Message]] = {
    SensorDeclaration: st.builds(SensorDeclaration, _unit, _name, _text, _text, _slots, _time),
    SampleBatch: batches(),
    VerdictBatch: st.builds(VerdictBatch, _many(_verdict)),
    Tombstone: tombstones(),
    ConditionBatch: st.builds(ConditionBatch, _many(_condition)),
    CommandReply: st.builds(
        CommandReply, _name, st.booleans(), _text, _time, st.sampled_from(CommandOutcome), _texts
    ),
    FilePiece: pieces(),
    Presence: st.builds(
        Presence,
        st.booleans(),
        _count,
        _time,
        _epoch,
        _text,
        st.booleans(),
        _many(_condition, 0),
        _texts,
        st.dictionaries(_name, _count, max_size=5),
    ),
    Ask: st.builds(Ask, _epoch, st.lists(st.integers(0, 4), max_size=5).map(tuple)),
    Ack: acks(),
    Command: st.builds(Command, _name, st.one_of(st.sampled_from(CommandName), _name), _texts, _time),
    TwinDesired: st.builds(TwinDesired, _count, _settings, st.booleans(), st.none() | _count),
    TwinReported: st.builds(TwinReported, _count, _count, _settings, st.none() | _many(_setting_ack, 0)),
    CertificateRequest: st.builds(CertificateRequest, st.binary(min_size=1, max_size=200)),
    CertificateIssued: st.builds(CertificateIssued, _text, _text),
}


def messages(kinds: Sequence[type] = tuple(BY_KIND)) -> st.SearchStrategy[Message]:
    return st.one_of([BY_KIND[kind] for kind in kinds])
