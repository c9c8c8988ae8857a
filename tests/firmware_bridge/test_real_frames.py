"""Every recorded frame of our sensors is read as its source reads it, or refused with the right reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from firmware_bridge.codecs import codec, decode, nova, plantower, shdlc, sps30, winsen
from firmware_bridge.codecs.frames import (
    Command,
    FrameError,
    Measurement,
    NoNewData,
    Refused,
    Reply,
    WrongLength,
)
from firmware_bridge.kinds import SPECS, SensorKind
from tests.firmware_bridge.real_frames import REASONS, RealFrame, chosen, real_frames
from tests.support.shared import need_shared

OUR_NAMES = {"raw01": "pm1_cf1", "raw25": "pm2_5_cf1", "raw10": "pm10_cf1", "pm01": "pm1", "pm25": "pm2_5"}
OUR_NAMES |= {"pm04": "pm4", "temp": "temperature", "rhum": "humidity", "CO2": "co2", "diam": "typical_size"}
NOT_VALUES = {"time", "device_id", "version_error", "words", "all_ten_floats", "note"}


def frame_id(frame: RealFrame) -> str:
    return f"{frame.id}-{frame.kind}"


def test_the_collection_is_there_and_covers_every_family() -> None:
    need_shared("serial_frames/frames.json")
    kinds = {frame.kind for frame in real_frames()}
    assert kinds == set(SensorKind)
    assert len(real_frames()) >= 100


def read_values(frame: RealFrame, event: Measurement) -> dict[str, float]:
    return {c.name: f for c, f in zip(SPECS[frame.kind].channels, event.floats, strict=True)}


def expected_values(expected: dict[str, Any]) -> dict[str, float]:
    """Channel -> value in our unit, with the collection's two ways of counting particles."""
    values = {}
    for key, value in expected.items():
        if key in NOT_VALUES:
            continue
        name, per_decilitre = OUR_NAMES.get(key, key), key.endswith("_per_0.1L")
        values[name.removesuffix("_per_0.1L")] = float(value)
        if name.startswith("n") and not per_decilitre and "diam" not in expected:
            values[name] = float(value) * 100  # the source gives 1/cm3, we keep the frame's 1/0.1 L
    return values


@pytest.mark.parametrize("frame", chosen("measurement"), ids=frame_id)
def test_a_recorded_measurement(frame: RealFrame) -> None:
    event = decode(frame.kind, frame.raw)
    ours, theirs = read_values(frame, event), expected_values(frame.expected)
    tolerance = 0.05001 if frame.kind is SensorKind.SPS30 else 1e-6  # its source prints one decimal
    assert theirs.keys() <= ours.keys()
    assert {name: ours[name] for name in theirs} == pytest.approx(theirs, abs=tolerance)
    for value, number, channel in zip(event.values, event.floats, SPECS[frame.kind].channels, strict=True):
        assert value is not None
        assert value == pytest.approx(number / 10**channel.exponent, abs=0.5001)
    if frame.expected_floats:
        assert event.floats == pytest.approx(frame.expected_floats, rel=1e-6)
    if "words" in frame.expected:
        assert list(event.values) == frame.expected["words"][:12]
    if "all_ten_floats" in frame.expected:
        assert event.floats == (frame.expected["all_ten_floats"],) * 10
    if "version_error" in frame.expected:
        version, error = divmod(frame.expected["version_error"], 256)
        assert event.fields == {"version": version, "error": error}
    if frame.kind in (SensorKind.SDS011, SensorKind.SDS021):
        assert event.serial == frame.expected.get("device_id", frame.raw[6:8].hex())


@pytest.mark.parametrize("frame", chosen("measurement", "invalid", other_models=True), ids=frame_id)
def test_the_short_frames_of_other_models_have_the_wrong_length(frame: RealFrame) -> None:
    with pytest.raises(WrongLength, match="24 bytes"):
        decode(SensorKind.PMS5003, frame.raw)


@pytest.mark.parametrize("frame", chosen("invalid"), ids=frame_id)
def test_a_broken_frame_is_refused_with_its_reason(frame: RealFrame) -> None:
    said = str(frame.expected["error"]).split(" (")[0]
    if said.startswith("ACK followed by"):
        events = codec(frame.kind).parser().feed(frame.raw)
        assert isinstance(events[0], Reply)
        assert isinstance(events[1], Refused)
        assert isinstance(events[1].error, NoNewData)
        return
    with pytest.raises(FrameError) as refused:
        decode(frame.kind, frame.raw)
    assert refused.value.reason == REASONS[said]


@pytest.mark.parametrize("frame", chosen("invalid"), ids=frame_id)
def test_a_broken_frame_in_the_stream_does_not_hide_the_next(frame: RealFrame) -> None:
    good = next(f for f in chosen("measurement") if f.kind is frame.kind)
    parser = codec(frame.kind).parser()
    events = parser.feed(frame.raw + good.raw)
    assert isinstance(events[-1], Measurement)
    assert events[-1].values == decode(good.kind, good.raw).values
    assert all(isinstance(event, Refused | Reply) for event in events[:-1])
    assert len(events) > 1


COMMANDS: dict[SensorKind, Callable[[bytes], Command]] = {
    SensorKind.PMSA003: plantower.COMMAND_LAYOUT.whole,
    SensorKind.SDS011: nova.COMMAND_LAYOUT.whole,
    SensorKind.SPS30: sps30.decode_command,
    SensorKind.MHZ19B: winsen.COMMAND_LAYOUT.whole,
}


@pytest.mark.parametrize("frame", chosen("command"), ids=frame_id)
def test_a_recorded_command_is_understood_and_built_alike(frame: RealFrame) -> None:
    command = COMMANDS[frame.kind](frame.raw)
    assert command.name != "unknown"
    match frame.kind:
        case SensorKind.PMSA003:
            assert frame.expected["command"] == command.name
            assert plantower.command(command.code, int(command.arguments["data"])) == frame.raw
        case SensorKind.SDS011:
            assert command.target is not None
            assert nova.command(command.code, frame.raw[3:15], command.target) == frame.raw
        case SensorKind.SPS30:
            assert sps30.command(command.code, bytes.fromhex(str(command.arguments["data"]))) == frame.raw
        case SensorKind.MHZ19B:
            assert winsen.read_command() == frame.raw


REPLIES: dict[int, dict[str, int | str]] = {  # the source's decoding -> ours
    157: {"action": "query", "mode": "active"},
    158: {"action": "query", "mode": "query"},
    160: {"action": "set", "mode": "query"},
    171: {"action": "query", "power": "work"},
    176: {"action": "set", "minutes": 0},
    178: {"action": "query", "minutes": 2},
    180: {"year": 15, "month": 7, "day": 10, "firmware": "2015-07-10"},
    182: {"action": "set", "power": "work"},
    184: {"action": "set", "mode": "query"},
    188: {"action": "set", "power": "sleep"},
}


@pytest.mark.parametrize("frame", chosen("reply"), ids=frame_id)
def test_a_recorded_reply(frame: RealFrame) -> None:
    event = codec(frame.kind).event(frame.raw)
    if frame.raw[1] == nova.DATA:  # a measurement that the collection lists among the replies
        assert isinstance(event, Measurement)
        assert event.serial == frame.raw[6:8].hex()
        return
    assert isinstance(event, Reply)
    device_id = frame.raw[6:8].hex()
    assert event.name != "unknown"
    assert event.fields.items() >= {**REPLIES.get(frame.id, {}), "device_id": device_id}.items()
    assert nova.reply(event.command, frame.raw[3:6], device_id) == frame.raw


@pytest.mark.parametrize("frame", chosen("measurement"), ids=frame_id)
def test_the_encoder_gives_the_recorded_bytes_back(frame: RealFrame) -> None:
    event = decode(frame.kind, frame.raw)
    values = tuple(v for v in event.values if v is not None)
    match frame.kind:
        case SensorKind.SDS011 | SensorKind.SDS021:
            assert nova.measurement(values, event.serial or "") == frame.raw
        case SensorKind.SPS30:
            assert sps30.measurement(event.floats) == frame.raw
            assert shdlc.stuff(shdlc.destuff(frame.raw[1:-1])) == frame.raw[1:-1]
        case SensorKind.MHZ19B:
            assert winsen.measurement(values) == frame.raw
        case _:
            version, error = int(event.fields["version"]), int(event.fields["error"])
            assert plantower.measurement(values, version, error) == frame.raw
