"""Sensirion SPS30 over SHDLC: 115200 8N1.

Started with float output, a read answers ten big-endian float32: PM1, 2.5, 4, 10 in ug/m3; particles above
0.3 um and up to 0.5, 1, 2.5, 4, 10 um per cm3; typical size in um. With integer output ten u16, size in nm.
An answer without data means that nothing was measured since the last read.
Source: SPS30 data sheet 1.0, section 5.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

from firmware_bridge.codecs import shdlc
from firmware_bridge.codecs.frames import (
    Command,
    DamagedFrame,
    DeviceState,
    Dialogue,
    Empty,
    Event,
    Measurement,
    NoNewData,
    Refused,
    Reply,
    Step,
    WrongLength,
    scaled,
)
from firmware_bridge.kinds import SPECS, SensorKind

START, STOP, READ, SLEEP, WAKE, CLEAN = 0x00, 0x01, 0x03, 0x10, 0x11, 0x56
AUTO_CLEAN, INFO, VERSION, STATUS, RESET = 0x80, 0xD0, 0xD1, 0xD2, 0xD3
NAMES = {
    START: "start_measurement",
    STOP: "stop_measurement",
    READ: "read_measurement",
    SLEEP: "sleep",
    WAKE: "wake_up",
    CLEAN: "start_fan_cleaning",
    AUTO_CLEAN: "auto_cleaning_interval",
    INFO: "device_information",
    VERSION: "version",
    STATUS: "status_register",
    RESET: "reset",
}
FLOAT_OUTPUT, INTEGER_OUTPUT = b"\x01\x03", b"\x01\x05"
INFO_PRODUCT_TYPE, INFO_SERIAL = b"\x00", b"\x03"
STATE_TEXT = {
    0x01: "wrong data length",
    0x02: "unknown command",
    0x03: "no access right",
    0x04: "illegal parameter",
    0x28: "internal function argument out of range",
    0x43: "not allowed in this state",
}
WRONG_STATE = 0x43
DEVICE_ERROR_BIT = 0x80  # set in every state byte while the status register holds an error
STATUS_BITS = {21: "fan_speed", 5: "laser", 4: "fan"}  # data sheet 4.4
WAKE_PULSE = b"\xff"  # any byte wakes the interface of a sleeping device, and is lost


def command(code: int, data: bytes = b"") -> bytes:
    return shdlc.encode_request(shdlc.Request(code, data))


def reply(code: int, data: bytes = b"", state: int = 0) -> bytes:
    return shdlc.encode_response(shdlc.Response(code, state, data))


def measurement(floats: tuple[float, ...], state: int = 0) -> bytes:
    """The answer to a read in float output: ten numbers by slot, in the channels' units."""
    return reply(READ, struct.pack(">10f", *floats), state)


def _text(data: bytes) -> str:
    return data.split(b"\0", 1)[0].decode("ascii", "replace")


def _fields(code: int, data: bytes) -> Mapping[str, int | str]:
    if code == INFO:
        return {"text": _text(data)}
    if code == VERSION and len(data) >= 7:
        return {
            "firmware": f"{data[0]}.{data[1]}",
            "hardware": data[3],
            "shdlc": f"{data[5]}.{data[6]}",
        }
    if code == STATUS and len(data) >= 4:
        register = int.from_bytes(data[:4], "big")
        faults = (name for bit, name in STATUS_BITS.items() if register >> bit & 1)
        return {"register": register, "faults": " ".join(faults)}
    if code == AUTO_CLEAN and len(data) == 4:
        return {"interval_s": int.from_bytes(data, "big")}
    return {}


def _measurement(response: shdlc.Response, raw: bytes) -> Event:
    data = response.data
    if not data:
        return Refused(NoNewData("nothing measured since the last read"), raw)
    if len(data) == 40:
        floats: tuple[float, ...] = struct.unpack(">10f", data)
    elif len(data) == 20:
        words = struct.unpack(">10H", data)
        floats = (*(float(w) for w in words[:9]), words[9] / 1000)  # the size in nm
    else:
        return Refused(WrongLength(f"{len(data)} data bytes, a measurement has 40 or 20"), raw)
    if not any(data):
        return Refused(Empty("all values zero"), raw)
    channels = SPECS[SensorKind.SPS30].channels
    values = tuple(scaled(f, c.exponent) for f, c in zip(floats, channels, strict=True))
    status = ("device_error",) if response.state & DEVICE_ERROR_BIT else ()
    return Measurement(values, floats, None, status, raw, {"state": response.state})


def interpret(chunk: bytes) -> Event:
    """What the bytes between two flags mean. Never raises."""
    try:
        response = shdlc.parse_response(chunk)
    except DamagedFrame as error:
        return Refused(error, chunk)
    state, code = response.state & ~DEVICE_ERROR_BIT, response.command
    if state:
        return Refused(DeviceState(code, state, STATE_TEXT.get(state, "unknown state")), chunk)
    if code == READ:
        return _measurement(response, chunk)
    fields = {"state": response.state, **_fields(code, response.data)}
    return Reply(code, NAMES.get(code, "unknown"), fields, chunk)


def decode_command(frame: bytes) -> Command:
    """One whole frame to the device. Raises DamagedFrame."""
    request = shdlc.parse_request(shdlc.strip_flags(frame))
    return Command(request.command, NAMES.get(request.command, "unknown"), {"data": request.data.hex()})


class Sps30Parser:
    """A `Parser` over the deframer."""

    def __init__(self) -> None:
        self._deframer = shdlc.Deframer()

    def reset(self) -> None:
        self._deframer.reset()

    def feed(self, data: bytes) -> list[Event]:
        return [part if isinstance(part, Refused) else interpret(part) for part in self._deframer.feed(data)]


@dataclass(frozen=True)
class Sps30Codec:
    """A `Codec` for the SPS30. It measures once a second between start and stop; a read takes the newest."""

    kind: SensorKind = SensorKind.SPS30

    @property
    def dialogue(self) -> Dialogue:
        # Firmware before 2.0 has no sleep and refuses both; stopping already switches fan and laser off.
        wake = Step(WAKE_PULSE + command(WAKE), WAKE, timeout_s=0.1)
        start = Step(command(START, FLOAT_OUTPUT), START)
        return Dialogue(
            prepare=(wake, start),
            ask=command(READ),
            asked=READ,
            wake=(wake, start),
            sleep=(Step(command(STOP), STOP), Step(command(SLEEP), SLEEP)),
            identify=(Step(command(INFO, INFO_SERIAL), INFO),),
            release=(Step(command(STOP), STOP),),
            restart=(start,),
            restart_on=WRONG_STATE,
        )

    def parser(self) -> Sps30Parser:
        return Sps30Parser()

    def event(self, frame: bytes) -> Event:
        try:
            return interpret(shdlc.strip_flags(frame))
        except DamagedFrame as error:
            return Refused(error, frame)
