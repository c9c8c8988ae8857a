"""What the data sheets say and the recorded frames do not show."""

from __future__ import annotations

import math
import struct

import pytest

from firmware_bridge.codecs import codec, decode, nova, plantower, sps30, winsen
from firmware_bridge.codecs.frames import (
    DeviceState,
    Empty,
    FrameError,
    NotAMeasurement,
    Refused,
    Reply,
    WrongHeader,
    WrongLength,
    scaled,
    unit_serial,
)
from firmware_bridge.kinds import SPECS, SensorKind


def test_pms5003t_below_zero() -> None:
    frame = plantower.measurement((1, 2, 3, 1, 2, 3, 900, 300, 50, 4, -123, 875))
    assert frame[24:26] == b"\xff\x85"
    event = decode(SensorKind.PMS5003T, frame)
    assert event.values[10:] == (-123, 875)
    assert event.floats[10:] == pytest.approx((-12.3, 87.5))


def test_plantower_counts_use_the_whole_word() -> None:
    frame = plantower.measurement((1, 2, 3, 1, 2, 3, 65535, 40000, 32768, 4, 3, 2))
    assert decode(SensorKind.PMS5003, frame).values[6:9] == (65535, 40000, 32768)


def test_plantower_error_code_is_a_warning() -> None:
    event = decode(SensorKind.PMSA003, plantower.measurement((1,) * 12, version=0x97, error=0x02))
    assert event.status == ("error_0x02",)
    assert event.fields == {"version": 0x97, "error": 2}


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        ("424d0004e1000174", "passive_mode"),
        ("424d0004e1010175", "active_mode"),
        ("424d0004e4000177", "sleep"),
        ("424d0004e4010178", "wake"),
    ],
)
def test_plantower_acknowledgements(raw: str, name: str) -> None:
    event = codec(SensorKind.PMS5003).event(bytes.fromhex(raw))
    assert isinstance(event, Reply)
    assert event.name == name
    with pytest.raises(NotAMeasurement):
        decode(SensorKind.PMS5003, bytes.fromhex(raw))


def test_plantower_commands_of_the_manual() -> None:
    wanted = {
        "read": "424de200000171",
        "passive_mode": "424de100000170",
        "active_mode": "424de100010171",
        "sleep": "424de400000173",
        "wake": "424de400010174",
    }
    assert {n: plantower.command(*key).hex() for key, n in plantower.COMMANDS.items()} == wanted


@pytest.mark.parametrize("length", [20, 36])
def test_other_plantower_models_do_not_hold_the_stream_up(length: int) -> None:
    body = plantower.MAGIC + struct.pack(">H", length) + bytes(range(1, length - 1))
    other = body + sum(body).to_bytes(2, "big")
    good = plantower.measurement((7,) * 12)
    events = codec(SensorKind.PMS5003).parser().feed(other * 3 + good)
    reasons = [event.error.reason for event in events if isinstance(event, Refused)]
    assert reasons == ["wrong_length"] * 3
    assert decode(SensorKind.PMS5003, good) == events[-1]


@pytest.mark.parametrize(
    ("size", "error"), [(0, WrongLength), (1, WrongLength), (31, WrongLength), (33, WrongLength)]
)
def test_plantower_lengths(size: int, error: type[FrameError]) -> None:
    with pytest.raises(error):
        decode(SensorKind.PMS5003, (plantower.measurement((7,) * 12) + b"\0")[:size])


def test_nova_range_and_id_bytes() -> None:
    event = decode(SensorKind.SDS011, nova.measurement((9999, 19999), "ab0a"))
    assert event.floats == (999.9, 1999.9)
    assert event.serial == "ab0a"
    assert decode(SensorKind.SDS011, nova.measurement((0, 0), "0001")).values == (0, 0)


def test_nova_all_zero_is_empty() -> None:
    with pytest.raises(Empty):
        decode(SensorKind.SDS011, nova.measurement((0, 0), "0000"))


@pytest.mark.parametrize(
    ("code", "data", "fields"),
    [
        (nova.MODE, b"\x00\x00", {"action": "query", "mode": "active"}),
        (nova.MODE, b"\x01\x01", {"action": "set", "mode": "query"}),
        (nova.POWER, b"\x00\x00", {"action": "query", "power": "sleep"}),
        (nova.POWER, b"\x01\x01", {"action": "set", "power": "work"}),
        (nova.PERIOD, b"\x01\x1e", {"action": "set", "minutes": 30}),
        (nova.DEVICE_ID, b"", {}),
    ],
)
def test_nova_replies(code: int, data: bytes, fields: dict[str, object]) -> None:
    event = codec(SensorKind.SDS011).event(nova.reply(code, data, "a001"))
    assert isinstance(event, Reply)
    assert event.fields == {**fields, "device_id": "a001"}
    assert unit_serial(event) == "a001"
    with pytest.raises(NotAMeasurement):
        decode(SensorKind.SDS011, event.raw)


def test_nova_commands() -> None:
    assert nova.command(nova.QUERY, target="a160").hex() == "aab404000000000000000000000000a16005ab"
    assert nova.set_device_id("a001", "a160").hex() == "aab40500000000000000000000a001a160a7ab"
    understood = nova.COMMAND_LAYOUT.whole(nova.set_device_id("a001", "a160"))
    assert (understood.arguments, understood.target) == ({"new_id": "a001"}, "a160")
    with pytest.raises(WrongHeader):
        nova.COMMAND_LAYOUT.whole(nova.measurement((1, 1), "a160"))


def test_sps30_commands() -> None:
    wanted = {
        sps30.command(sps30.START, sps30.FLOAT_OUTPUT): "7e0000020103f97e",
        sps30.command(sps30.STOP): "7e000100fe7e",
        sps30.command(sps30.READ): "7e000300fc7e",
        sps30.command(sps30.SLEEP): "7e001000ef7e",
        sps30.command(sps30.WAKE): "7e007d3100ee7e",
        sps30.command(sps30.VERSION): "7e00d1002e7e",
    }
    assert {built.hex() for built in wanted} == set(wanted.values())


def test_sps30_integer_output() -> None:
    data = struct.pack(">10H", 5, 9, 12, 13, 26, 36, 41, 42, 43, 835)
    event = decode(SensorKind.SPS30, sps30.reply(sps30.READ, data))
    assert event.values == (500, 900, 1200, 1300, 2600, 3600, 4100, 4200, 4300, 835)


def test_sps30_numbers_that_are_none() -> None:
    floats = (math.nan, math.inf, -math.inf, 1e30, 1.0, 1.0, 1.0, 1.0, 1.0, 0.5)
    event = decode(SensorKind.SPS30, sps30.measurement(floats))
    assert event.values == (None, None, None, None, 100, 100, 100, 100, 100, 500)


def test_sps30_device_error_bit_is_a_warning_on_a_measurement() -> None:
    event = decode(SensorKind.SPS30, sps30.measurement((1.0,) * 10, state=0x80))
    assert event.status == ("device_error",)
    assert event.values[0] == 100


@pytest.mark.parametrize(
    ("state", "text"),
    [(0x01, "wrong data length"), (0x43, "not allowed"), (0xC3, "not allowed"), (0x7E, "unknown state")],
)
def test_sps30_refusals(state: int, text: str) -> None:
    with pytest.raises(DeviceState, match=text) as refused:
        decode(SensorKind.SPS30, sps30.reply(sps30.READ, state=state))
    assert refused.value.state == state & 0x7F
    assert refused.value.command == sps30.READ


def test_sps30_all_zero_is_empty_and_odd_lengths_are_wrong() -> None:
    with pytest.raises(Empty):
        decode(SensorKind.SPS30, sps30.measurement((0.0,) * 10))
    with pytest.raises(WrongLength, match="4 data bytes"):
        decode(SensorKind.SPS30, sps30.reply(sps30.READ, bytes(4)))


def test_sps30_status_register_and_serial() -> None:
    register = (1 << 21 | 1 << 4).to_bytes(4, "big") + b"\0"
    event = codec(SensorKind.SPS30).event(sps30.reply(sps30.STATUS, register))
    assert isinstance(event, Reply)
    assert event.fields["faults"] == "fan_speed fan"
    told = codec(SensorKind.SPS30).event(sps30.reply(sps30.INFO, b"8FA0A1B2C3D4E5F6\0"))
    assert unit_serial(told) == "8FA0A1B2C3D4E5F6"


def test_winsen_range_and_temperature() -> None:
    assert decode(SensorKind.MHZ19B, winsen.measurement((5000, -12))).values == (5000, -12)
    clone = bytes.fromhex("ff86026000000000")
    event = decode(SensorKind.MHZ19B, clone + bytes((winsen.checksum(clone),)))
    assert event.values == (608, None)
    assert math.isnan(event.floats[1])


def test_winsen_of_the_manual() -> None:
    assert winsen.read_command().hex() == "ff0186000000000079"
    assert winsen.auto_calibration_command(on=False).hex() == "ff01790000000000" + "86"
    event = decode(SensorKind.MHZ19B, bytes.fromhex("ff860260470000" + "00d1"))
    assert event.values == (608, 31)
    with pytest.raises(NotAMeasurement):
        decode(SensorKind.MHZ19B, winsen.reply(winsen.RANGE, 1))


def test_scaled_rounds_and_refuses() -> None:
    assert scaled(5.25, -1) == 52
    assert scaled(-0.06, -1) == -1
    assert scaled(2.0**31, 0) is None


def test_every_kind_is_described() -> None:
    for kind, spec in SPECS.items():
        assert spec.kind is kind
        assert 2 <= len(spec.channels) <= 16
        assert len({channel.name for channel in spec.channels}) == len(spec.channels)
        assert all(channel.unit.isascii() for channel in spec.channels)
        assert spec.can_sleep == bool(codec(kind).dialogue.sleep)
        assert spec.reports_serial == bool(codec(kind).dialogue.identify)
