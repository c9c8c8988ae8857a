"""Streams: any split, any garbage; what is true is found, nothing is raised, nothing is invented."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from firmware_bridge.codecs import codec, nova, plantower, shdlc, sps30, winsen
from firmware_bridge.codecs.frames import Event, Measurement, Refused, Reply
from firmware_bridge.kinds import SensorKind

words = st.integers(0, 65535)
device_ids = st.integers(1, 65535).map("{:04x}".format)
float32 = st.floats(2**-10, 3000, width=32)

FRAMES: dict[SensorKind, st.SearchStrategy[bytes]] = {
    SensorKind.PMS5003: st.builds(plantower.measurement, st.tuples(*[words] * 12), st.integers(1, 255)),
    SensorKind.PMS5003T: st.builds(
        plantower.measurement,
        st.tuples(*[words] * 10, st.integers(-400, 800), st.integers(0, 1000)),
        st.integers(1, 255),
    ),
    SensorKind.SDS011: st.builds(nova.measurement, st.tuples(words, words), device_ids),
    SensorKind.SPS30: st.builds(sps30.measurement, st.tuples(*[float32] * 10)),
    SensorKind.MHZ19B: st.builds(winsen.measurement, st.tuples(words, st.integers(-39, 200))),
}
kinds = st.sampled_from(sorted(FRAMES))
# garbage that looks like the beginning of something, besides any bytes at all
STARTS = [
    "424d001c",
    "424d0004",
    "42",
    "424d0024",
    "424d0014",
    "424dffff",
    "aac0",
    "aa",
    "aac5",
    "ff86",
    "ffff",
]
STARTS += ["ff86", "ffff", "7e", "7d", "7e7e"]
pieces = st.sampled_from(STARTS).map(bytes.fromhex) | st.binary(max_size=40)
garbage = st.lists(pieces, max_size=6).map(b"".join)


def measurements(events: list[Event]) -> list[tuple[int | None, ...]]:
    return [event.values for event in events if isinstance(event, Measurement)]


def feed_all(kind: SensorKind, parts: list[bytes]) -> list[Event]:
    parser = codec(kind).parser()
    return [event for part in parts for event in parser.feed(part)]


def false_frames(kind: SensorKind, stream: bytes, true_starts: set[int]) -> bool:
    """Whether garbage happens to form a frame with the right sum (one in 256 for the one-byte sums): nobody
    could tell it from a true one."""
    size = {SensorKind.SDS011: 10, SensorKind.MHZ19B: 9}.get(kind)
    if size is None:
        return False
    windows = (stream[at : at + size] for at in range(len(stream)) if at not in true_starts)
    return any(not isinstance(codec(kind).event(window), Refused) for window in windows)


def split_at(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted({cut % (len(data) + 1) for cut in cuts}), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


@given(kinds, st.data())
def test_garbage_between_frames_loses_none_at_any_split(kind: SensorKind, data: st.DataObject) -> None:
    frames = data.draw(st.lists(FRAMES[kind], min_size=1, max_size=4))
    junk = data.draw(st.lists(garbage, min_size=len(frames), max_size=len(frames)))
    stream = b"".join(g + f for g, f in zip(junk, frames, strict=True))
    starts = {m.start() for f in frames for m in re.finditer(re.escape(f), stream)}
    assume(not false_frames(kind, stream, starts))
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=12))
    found = measurements(feed_all(kind, split_at(stream, cuts)))
    wanted = [measurements(feed_all(kind, [frame]))[0] for frame in frames]
    left = iter(found)
    assert all(any(one == other for other in left) for one in wanted)  # in order, none lost
    assert found[-1] == wanted[-1]  # and the newest is not held back by what came before it


@given(kinds, st.data())
def test_garbage_inside_a_frame_costs_that_frame_only(kind: SensorKind, data: st.DataObject) -> None:
    broken, after = data.draw(FRAMES[kind]), data.draw(FRAMES[kind])
    at = data.draw(st.integers(1, len(broken) - 1))
    stream = broken[:at] + data.draw(garbage) + broken[at + data.draw(st.integers(0, 5)) :] + after
    assume(not false_frames(kind, stream, {0, len(stream) - len(after)}))
    assert measurements(feed_all(kind, [stream]))[-1] == measurements(feed_all(kind, [after]))[0]


@given(kinds, st.lists(st.binary(max_size=200) | garbage, max_size=10))
def test_any_bytes_give_events_and_never_an_exception(kind: SensorKind, parts: list[bytes]) -> None:
    for event in feed_all(kind, parts):
        assert isinstance(event, Measurement | Reply | Refused)


@given(kinds, st.data())
def test_byte_by_byte_is_the_same_as_at_once(kind: SensorKind, data: st.DataObject) -> None:
    stream = data.draw(garbage) + data.draw(FRAMES[kind]) + data.draw(garbage) + data.draw(FRAMES[kind])
    one_by_one = [bytes((byte,)) for byte in stream]
    at_once = [e for e in feed_all(kind, [stream]) if not isinstance(e, Refused)]
    assert [e for e in feed_all(kind, one_by_one) if not isinstance(e, Refused)] == at_once


@given(kinds, st.data())
def test_one_flipped_bit_is_never_taken_for_a_measurement(kind: SensorKind, data: st.DataObject) -> None:
    frame = bytearray(data.draw(FRAMES[kind]))
    frame[data.draw(st.integers(0, len(frame) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    assert not measurements(feed_all(kind, [bytes(frame)]))


@given(kinds, st.binary(max_size=60))
def test_a_whole_frame_is_never_anything_but_an_event(kind: SensorKind, frame: bytes) -> None:
    assert isinstance(codec(kind).event(frame), Measurement | Reply | Refused)


@given(st.binary(max_size=255), st.integers(0, 255), st.integers(0, 255))
@example(bytes([0x7E, 0x7D, 0x11, 0x13] * 10), 3, 0)
@example(b"\x7d\x5d\x31", 3, 0)
@example(b"\x5e\x7d\x7d\x5e\x5d", 0x11, 0x13)
def test_shdlc_round_trip_with_stuffing_in_every_position(data: bytes, command: int, state: int) -> None:
    response = shdlc.Response(command, state, data)
    framed = shdlc.encode_response(response)
    assert framed[0] == framed[-1] == 0x7E
    assert not {0x7E, 0x11, 0x13} & set(framed[1:-1])
    assert shdlc.parse_response(framed[1:-1]) == response
    request = shdlc.Request(command, data)
    assert shdlc.parse_request(shdlc.encode_request(request)[1:-1]) == request
    assert [shdlc.parse_response(c) for c in shdlc.Deframer().feed(framed * 2) if isinstance(c, bytes)] == [
        response,
        response,
    ]


@pytest.mark.parametrize("stuffed", sorted(shdlc.STUFFED))
def test_a_stuffed_check_byte(stuffed: int) -> None:
    data = next(bytes((n,)) for n in range(256) if shdlc.check_byte(bytes((0, 3, 0, 1, n))) == stuffed)
    framed = sps30.reply(sps30.READ, data)
    assert framed[-3:] == bytes((0x7D, stuffed ^ 0x20, 0x7E))
    assert shdlc.parse_response(framed[1:-1]).data == data


def test_an_endless_stream_without_flags_is_not_kept() -> None:
    deframer = shdlc.Deframer()
    deframer.feed(b"\x7e" + b"\x55" * 10_000)
    assert len(deframer._chunk) <= shdlc.LONGEST_STUFFED
    good = sps30.measurement((1.0,) * 10)
    assert [type(part) for part in deframer.feed(good)] == [Refused, bytes]


def test_a_loss_of_sync_is_one_event() -> None:
    good = plantower.measurement((1,) * 12)
    junk = b"\x00" * 500 + b"\x42" * 50 + b"\x42\x4d\x00\x00" * 9
    events = codec(SensorKind.PMS5003).parser().feed(junk + good)
    assert [type(event) for event in events] == [Refused, Measurement]
