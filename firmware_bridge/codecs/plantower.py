"""Plantower PMS1003/5003/7003/A003 and PMS5003T: 9600 8N1, big-endian.

Measurement: 42 4D | 00 1C | 13 words | sum of all bytes before. Words 1-3 PM1/2.5/10 with CF=1, 4-6
atmospheric, 7-12 particles per 0.1 L above 0.3, 0.5, 1, 2.5, 5, 10 um; 13 = version, error code. In the
PMS5003T words 11 and 12 are temperature (signed) and relative humidity, both x10: the frames look alike,
so the model has to be configured.
Command: 42 4D | command | 00 data | sum. Reply: 42 4D | 00 04 | command | data | sum.
Source: Plantower data manuals PMS5003 V2.5 (appendix I and II), PMS5003T V1.3.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from firmware_bridge.codecs.frames import (
    Answer,
    Command,
    DamagedFrame,
    Dialogue,
    Empty,
    Event,
    Measurement,
    Parser,
    Refused,
    Reply,
    Step,
    WrongChecksum,
    WrongHeader,
    WrongLength,
)
from firmware_bridge.codecs.scanner import Layout, Scanner
from firmware_bridge.kinds import SPECS, SensorKind

MAGIC = b"\x42\x4d"
MODE, READ, POWER = 0xE1, 0xE2, 0xE4
COMMANDS = {  # (command, data) -> name
    (READ, 0): "read",
    (MODE, 0): "passive_mode",
    (MODE, 1): "active_mode",
    (POWER, 0): "sleep",
    (POWER, 1): "wake",
}
MEASUREMENT_WORDS, REPLY_WORDS = 28, 4  # values of the length word: the bytes after it
OTHER_MODELS = {20: "PMS3003 or SEN0177", 36: "PMS5003ST"}  # length words of models not read here


def command(code: int, data: int) -> bytes:
    """The seven bytes of a command."""
    body = MAGIC + bytes((code, 0, data))
    return body + sum(body).to_bytes(2, "big")


def reply(code: int, data: int) -> bytes:
    """The eight bytes with which a device answers `command(code, data)`."""
    body = MAGIC + b"\x00\x04" + bytes((code, data))
    return body + sum(body).to_bytes(2, "big")


def measurement(values: tuple[int, ...], version: int = 0x97, error: int = 0) -> bytes:
    """The 32 bytes of a measurement: twelve values by slot, each as its word (negative ones as signed)."""
    body = MAGIC + struct.pack(">H12HBB", MEASUREMENT_WORDS, *(v & 0xFFFF for v in values), version, error)
    return body + sum(body).to_bytes(2, "big")


def _size(head: bytes) -> int:
    if head[:2] != MAGIC:
        raise WrongHeader(f"starts with {head[:2].hex()}, not 424d")
    length = int.from_bytes(head[2:4], "big")
    if length in OTHER_MODELS:
        raise WrongLength(f"a frame of {length + 4} bytes, as {OTHER_MODELS[length]} sends, instead of 32")
    if length not in (MEASUREMENT_WORDS, REPLY_WORDS):
        raise WrongHeader(f"length word {length}, which no frame has")
    return length + 4


def _check(frame: bytes) -> None:
    computed, found = sum(frame[:-2]), int.from_bytes(frame[-2:], "big")
    if computed != found:
        raise WrongChecksum(computed, found)


def _check_command(frame: bytes) -> None:
    if frame[:2] != MAGIC:
        raise WrongHeader(f"starts with {frame[:2].hex()}, not 424d")
    _check(frame)


def _interpret_command(frame: bytes) -> Command:
    data = int.from_bytes(frame[3:5], "big")
    return Command(frame[2], COMMANDS.get((frame[2], data), "unknown"), {"data": data})


COMMAND_LAYOUT: Layout[Command] = Layout(MAGIC[0], 7, lambda _head: 7, _check_command, _interpret_command)


@dataclass(frozen=True)
class PlantowerCodec:
    """A `Codec` for one Plantower kind."""

    kind: SensorKind

    @property
    def dialogue(self) -> Dialogue:
        wake = Step(command(POWER, 1), POWER, Answer.NONE)  # most firmwares do not acknowledge it
        passive = Step(command(MODE, 0), MODE)
        return Dialogue(
            prepare=(wake, passive),
            ask=command(READ, 0),
            asked=READ,
            wake=(wake,),
            sleep=(Step(command(POWER, 0), POWER),),
            streams=True,
            release=(Step(command(MODE, 1), MODE),),
        )

    @property
    def layout(self) -> Layout[Event]:
        return Layout(MAGIC[0], 4, _size, _check, self._interpret)

    def parser(self) -> Parser:
        return Scanner(self.layout)

    def event(self, frame: bytes) -> Event:
        try:
            return self.layout.whole(frame)
        except DamagedFrame as error:
            return Refused(error, frame)

    def _interpret(self, frame: bytes) -> Event:
        if len(frame) == REPLY_WORDS + 4:
            code, data = frame[4], frame[5]
            return Reply(code, COMMANDS.get((code, data), "unknown"), {"data": data}, frame)
        if not any(frame[4:30]):
            return Refused(Empty("all values zero"), frame)
        climate = self.kind is SensorKind.PMS5003T
        words = struct.unpack(">10HhH" if climate else ">12H", frame[4:28])
        version, error = frame[28], frame[29]
        floats = tuple(
            float(w) * 10.0**c.exponent for w, c in zip(words, SPECS[self.kind].channels, strict=True)
        )
        status = (f"error_0x{error:02x}",) if error else ()
        return Measurement(words, floats, None, status, frame, {"version": version, "error": error})
