"""The emulated devices byte for byte, without a terminal: what the data sheets say each command does."""

from __future__ import annotations

from itertools import count

import pytest

from firmware_bridge.codecs import codec, nova, plantower, sps30, winsen
from firmware_bridge.codecs.frames import Step
from firmware_bridge.emulator.devices import Device, DeviceOptions, Sample
from firmware_bridge.emulator.unit import build_device
from firmware_bridge.kinds import SPECS, SensorKind

ASK = {
    SensorKind.PMS5003: plantower.command(plantower.READ, 0),
    SensorKind.SDS011: nova.command(nova.QUERY),
    SensorKind.SPS30: sps30.command(sps30.READ),
    SensorKind.MHZ19B: winsen.read_command(),
}


def device(
    kind: SensorKind, *, streaming: bool = False, warm_up_s: float = 0, serial: str = "58d9"
) -> Device:
    numbers = count(1)

    def sampler() -> Sample:
        n = next(numbers)
        return Sample((n,) * len(SPECS[kind].channels), n)

    return build_device(kind, sampler, DeviceOptions(serial, warm_up_s, streaming), 0.0)


def says(unit: Device, data: bytes, now_s: float = 0.0) -> bytes:
    return b"".join(sent.data for sent in unit.receive(data, now_s))


@pytest.mark.parametrize("kind", list(ASK))
def test_commands_may_arrive_in_pieces_and_after_noise(kind: SensorKind) -> None:
    unit = device(kind)
    says(unit, sps30.command(sps30.START, sps30.FLOAT_OUTPUT))
    noise = b"\x7e\x7e" if kind is SensorKind.SPS30 else b"\x00\x42\xaa\xff\x01"
    pieces = [bytes((byte,)) for byte in noise + ASK[kind]]
    answers = [sent for piece in pieces for sent in unit.receive(piece, 10.0)]
    assert len([a for a in answers if a.sample]) == 1


def test_plantower_modes() -> None:
    unit = device(SensorKind.PMS5003, streaming=True)
    assert unit.stream_due_s() == 1.0
    assert unit.stream(1.0)[0].data == plantower.measurement((1,) * 12)
    assert unit.stream_due_s() == 2.0
    assert says(unit, ASK[SensorKind.PMS5003]) == b""  # active: it does not hear the read command
    assert says(unit, plantower.command(plantower.MODE, 0)).hex() == "424d0004e1000174"
    assert unit.stream_due_s() is None
    assert says(unit, ASK[SensorKind.PMS5003]) == plantower.measurement((2,) * 12)
    assert says(unit, plantower.command(plantower.POWER, 0)).hex() == "424d0004e4000177"
    assert says(unit, ASK[SensorKind.PMS5003]) == b""
    assert says(unit, plantower.command(plantower.POWER, 1)) == b""
    assert says(unit, ASK[SensorKind.PMS5003]) == plantower.measurement((3,) * 12)
    unit.power_cycle(5.0)
    assert unit.stream_due_s() == 6.0


def test_nova_settings_outlive_the_power() -> None:
    unit = device(SensorKind.SDS011, streaming=True)
    assert says(unit, nova.command(nova.MODE, b"\x01\x01")).hex() == "aac50201010058d935ab"
    says(unit, nova.command(nova.PERIOD, b"\x01\x05"))
    says(unit, nova.command(nova.POWER, b"\x01\x00"))
    assert says(unit, ASK[SensorKind.SDS011]) == b""
    unit.power_cycle(9.0)
    assert says(unit, nova.command(nova.MODE)) == nova.reply(nova.MODE, b"\x00\x01", "58d9")
    assert says(unit, nova.command(nova.PERIOD)) == nova.reply(nova.PERIOD, b"\x00\x05", "58d9")
    assert says(unit, nova.command(nova.POWER)) == nova.reply(nova.POWER, b"\x00\x01", "58d9")
    assert says(unit, ASK[SensorKind.SDS011]) == nova.measurement((1, 1), "58d9")


def test_nova_ids() -> None:
    unit = device(SensorKind.SDS011)
    assert says(unit, nova.command(nova.QUERY, target="a160")) == b""
    assert says(unit, nova.set_device_id("a160", "58d9")) == nova.reply(nova.DEVICE_ID, b"", "a160")
    assert says(unit, nova.command(nova.QUERY, target="a160")) == nova.measurement((1, 1), "a160")
    firmware = nova.LAYOUT.whole(says(unit, nova.command(nova.FIRMWARE)))
    assert getattr(firmware, "fields", {})["firmware"] == "2018-11-16"


def test_sps30_states() -> None:
    unit = device(SensorKind.SPS30, serial="SN")
    start = sps30.command(sps30.START, sps30.FLOAT_OUTPUT)

    def refuses(command: int) -> bytes:
        return sps30.reply(command, state=sps30.WRONG_STATE)

    assert says(unit, ASK[SensorKind.SPS30]) == refuses(sps30.READ)
    assert says(unit, start).hex() == "7e00000000ff7e"
    assert says(unit, start) == refuses(sps30.START)
    assert says(unit, ASK[SensorKind.SPS30], 0.5) == sps30.reply(sps30.READ)  # nothing new yet
    first = unit.receive(ASK[SensorKind.SPS30], 1.0)[0]
    assert first.sample == Sample((1,) * 10, 1)
    assert says(unit, ASK[SensorKind.SPS30], 1.5) == sps30.reply(sps30.READ)
    assert unit.receive(ASK[SensorKind.SPS30], 2.0)[0].sample
    assert says(unit, sps30.command(sps30.SLEEP)) == refuses(sps30.SLEEP)
    assert says(unit, sps30.command(sps30.STOP)) == sps30.reply(sps30.STOP)
    assert says(unit, sps30.command(sps30.CLEAN)) == refuses(sps30.CLEAN)
    assert says(unit, sps30.command(sps30.SLEEP)) == sps30.reply(sps30.SLEEP)
    assert says(unit, sps30.command(sps30.WAKE)) == b""  # its first byte only woke the interface
    assert says(unit, sps30.command(sps30.WAKE)) == sps30.reply(sps30.WAKE)
    assert says(unit, ASK[SensorKind.SPS30], 3.0) == refuses(sps30.READ)


def test_sps30_tells_about_itself() -> None:
    unit = device(SensorKind.SPS30, serial="SN42")
    assert says(unit, sps30.command(sps30.INFO, b"\x03")) == sps30.reply(sps30.INFO, b"SN42\0")
    assert says(unit, sps30.command(sps30.INFO, b"\x00")) == sps30.reply(sps30.INFO, b"00080000\0")
    assert says(unit, sps30.command(sps30.AUTO_CLEAN, b"\0")) == sps30.reply(
        sps30.AUTO_CLEAN, (604800).to_bytes(4, "big")
    )
    assert says(unit, sps30.command(0x77)) == sps30.reply(0x77, state=2)
    assert says(unit, sps30.command(sps30.START, b"\x01\x09")) == sps30.reply(sps30.START, state=4)
    assert says(unit, sps30.command(sps30.READ, b"\x01")) == sps30.reply(sps30.READ, state=1)
    version = sps30.interpret(says(unit, sps30.command(sps30.VERSION))[1:-1])
    assert getattr(version, "fields", {})["firmware"] == "2.3"
    assert says(unit, sps30.command(sps30.STATUS, b"\0")) == sps30.reply(sps30.STATUS, bytes(5))


def test_winsen_answers_only_what_is_safe() -> None:
    unit = device(SensorKind.MHZ19B, warm_up_s=180)
    assert says(unit, ASK[SensorKind.MHZ19B]).hex() == "ff860000000000007a"
    assert says(unit, ASK[SensorKind.MHZ19B], 181.0) == winsen.measurement((1, 1))
    assert says(unit, winsen.auto_calibration_command(on=False)) == winsen.reply(0x79, 1)
    zero = bytes.fromhex("ff0187000000000078")
    assert says(unit, zero) == b""
    assert winsen.auto_calibration_command(on=True).hex() == "ff0179a000000000e6"


def test_nothing_in_the_package_can_send_the_zero_command() -> None:
    sent = [step.data for kind in ASK for step in _all_steps(kind)]
    assert not any(b"\xff\x01\x87" in data for data in sent)


def _all_steps(kind: SensorKind) -> list[Step]:
    dialogue = codec(kind).dialogue
    steps = [dialogue.prepare, dialogue.wake, dialogue.sleep, dialogue.identify, dialogue.release]
    return [step for group in [*steps, dialogue.restart] for step in group]


@pytest.mark.parametrize("kind", [SensorKind.SPS30, SensorKind.MHZ19B])
def test_who_never_streams_says_so(kind: SensorKind) -> None:
    unit = device(kind)
    assert unit.stream_due_s() is None
    with pytest.raises(AssertionError):
        unit.stream(0.0)
