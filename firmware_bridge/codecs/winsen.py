"""Winsen MH-Z19B: 9600 8N1, nine bytes both ways.

Question: FF 01 | command | five data bytes | check.
Answer to 86: FF 86 | CO2 hi lo | T+40 | status | two bytes | check.
check = two's complement of the sum of the bytes between the first and itself.
The temperature is not in the manual (the board's, in whole degrees); clones leave it zero, which gives None.
Command 87 calibrates the zero point at once to whatever air is there: it ruins a sensor in the street
and is nowhere built in this package.
Source: Winsen MH-Z19B manual V1.5; standards.md 5.4.
"""

from __future__ import annotations

from dataclasses import dataclass

from firmware_bridge.codecs.frames import (
    Command,
    DamagedFrame,
    Dialogue,
    Empty,
    Event,
    Measurement,
    Parser,
    Refused,
    Reply,
    WrongChecksum,
    WrongHeader,
)
from firmware_bridge.codecs.scanner import Layout, Scanner
from firmware_bridge.kinds import SensorKind

START, SENSOR_ADDRESS, LENGTH = 0xFF, 0x01, 9
READ, AUTO_CALIBRATION, RANGE, VERSION = 0x86, 0x79, 0x99, 0xA0
NAMES = {READ: "read", AUTO_CALIBRATION: "auto_calibration", RANGE: "range", VERSION: "firmware_version"}
TEMPERATURE_OFFSET_CEL = 40


def checksum(frame: bytes) -> int:
    return -sum(frame[1:8]) & 0xFF


def _framed(body: bytes) -> bytes:
    frame = bytes((START,)) + body.ljust(7, b"\0")
    return frame + bytes((checksum(frame),))


def read_command() -> bytes:
    return _framed(bytes((SENSOR_ADDRESS, READ)))


def auto_calibration_command(on: bool) -> bytes:
    """Automatic baseline correction: the lowest value of a day is taken for 400 ppm, fair outdoors."""
    return _framed(bytes((SENSOR_ADDRESS, AUTO_CALIBRATION, 0xA0 if on else 0)))


def reply(code: int, data: int) -> bytes:
    """The nine bytes with which a device answers another command."""
    return _framed(bytes((code, data)))


def measurement(values: tuple[int, ...], status: int = 0) -> bytes:
    """The nine bytes that answer the question: (CO2 ppm, temperature Cel)."""
    co2, temperature = values
    return _framed(
        bytes((READ, co2 >> 8, co2 & 0xFF, max(0, min(255, temperature + TEMPERATURE_OFFSET_CEL)), status))
    )


def _size(head: bytes) -> int:
    if head[1] not in NAMES:
        raise WrongHeader(f"starts with {head.hex()}, not ff86")
    return LENGTH


def _command_size(head: bytes) -> int:
    if head[1] != SENSOR_ADDRESS:
        raise WrongHeader(f"starts with {head.hex()}, not ff01")
    return LENGTH


def _check(frame: bytes) -> None:
    computed, found = checksum(frame), frame[8]
    if computed != found:
        raise WrongChecksum(computed, found)


def _interpret(frame: bytes) -> Event:
    code = frame[1]
    if code != READ:
        return Reply(code, NAMES[code], {"data": frame[2]}, frame)
    if not any(frame[2:8]):
        return Refused(Empty("all values zero"), frame)
    co2 = frame[2] << 8 | frame[3]
    temperature = frame[4] - TEMPERATURE_OFFSET_CEL if frame[4] else None
    floats = (float(co2), float("nan") if temperature is None else float(temperature))
    return Measurement((co2, temperature), floats, None, (), frame, {"status": frame[5]})


def _interpret_command(frame: bytes) -> Command:
    return Command(frame[2], NAMES.get(frame[2], "unknown"), {"data": frame[3]})


LAYOUT: Layout[Event] = Layout(START, 2, _size, _check, _interpret)
COMMAND_LAYOUT: Layout[Command] = Layout(START, 2, _command_size, _check, _interpret_command)


@dataclass(frozen=True)
class WinsenCodec:
    """A `Codec` for the MH-Z19B. It measures by itself and only answers questions: no mode, no sleep."""

    kind: SensorKind

    @property
    def dialogue(self) -> Dialogue:
        return Dialogue(prepare=(), ask=read_command(), asked=READ)

    def parser(self) -> Parser:
        return Scanner(LAYOUT)

    def event(self, frame: bytes) -> Event:
        try:
            return LAYOUT.whole(frame)
        except DamagedFrame as error:
            return Refused(error, frame)
