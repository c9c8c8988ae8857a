"""Nova SDS011, SDS018, SDS021: 9600 8N1, 10-byte frames to the host, 19-byte frames to the device.

Measurement: AA C0 | PM2.5 lo hi | PM10 lo hi | id id | sum | AB, in 0.1 ug/m3, little-endian.
Reply:       AA C5 | command | three data bytes      | id id | sum | AB.
Command:     AA B4 | command | twelve data bytes     | id id | sum | AB; id FF FF speaks to any device.
The sum is that of the bytes between the second byte and itself, modulo 256.
Source: Nova "Laser Dust Sensor Control Protocol V1.3".
"""

from __future__ import annotations

from collections.abc import Mapping
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
    Step,
    WrongChecksum,
    WrongHeader,
    WrongTail,
)
from firmware_bridge.codecs.scanner import Layout, Scanner
from firmware_bridge.kinds import SensorKind

HEAD, TAIL = 0xAA, 0xAB
DATA, REPLY, COMMAND = 0xC0, 0xC5, 0xB4
MODE, QUERY, DEVICE_ID, POWER, FIRMWARE, PERIOD = 0x02, 0x04, 0x05, 0x06, 0x07, 0x08
NAMES = {
    MODE: "reporting_mode",
    QUERY: "query_data",
    DEVICE_ID: "set_device_id",
    POWER: "sleep_work",
    FIRMWARE: "firmware_version",
    PERIOD: "working_period",
}
ANY_DEVICE = "ffff"
MODES = ("active", "query")
POWERS = ("sleep", "work")


def _framed(kind: int, body: bytes) -> bytes:
    return bytes((HEAD, kind)) + body + bytes((sum(body) & 0xFF, TAIL))


def command(code: int, data: bytes = b"", target: str = ANY_DEVICE) -> bytes:
    """The 19 bytes of a command; `data` is filled with zeros to twelve, `target` is a device id in hex."""
    return _framed(COMMAND, bytes((code,)) + data.ljust(12, b"\0") + bytes.fromhex(target))


def set_device_id(new: str, target: str) -> bytes:
    """Give the device `target` the id `new` (both four hex digits)."""
    return command(DEVICE_ID, bytes(10) + bytes.fromhex(new), target)


def measurement(values: tuple[int, ...], device_id: str) -> bytes:
    """The ten bytes of a measurement of (PM2.5, PM10) in 0.1 ug/m3."""
    return _framed(DATA, b"".join(v.to_bytes(2, "little") for v in values) + bytes.fromhex(device_id))


def reply(code: int, data: bytes, device_id: str) -> bytes:
    """The ten bytes of a reply; `data` is filled with zeros to three."""
    return _framed(REPLY, bytes((code,)) + data.ljust(3, b"\0") + bytes.fromhex(device_id))


def _fields(code: int, data: bytes) -> Mapping[str, int | str]:
    """The meaning of the data bytes of a command or a reply (they are coded alike)."""
    action = {"action": "set" if data[0] else "query"}
    if code == MODE:
        return {**action, "mode": MODES[data[1] & 1]}
    if code == POWER:
        return {**action, "power": POWERS[data[1] & 1]}
    if code == PERIOD:
        return {**action, "minutes": data[1]}
    return {}


def _reply_fields(code: int, frame: bytes) -> Mapping[str, int | str]:
    if code == FIRMWARE:
        year, month, day = frame[3:6]
        return {"year": year, "month": month, "day": day, "firmware": f"20{year:02d}-{month:02d}-{day:02d}"}
    return _fields(code, frame[3:6])


def _size(head: bytes) -> int:
    if head[1] not in (DATA, REPLY):
        raise WrongHeader(f"starts with {head.hex()}, not aac0 or aac5")
    return 10


def _command_size(head: bytes) -> int:
    if head[1] != COMMAND:
        raise WrongHeader(f"starts with {head.hex()}, not aab4")
    return 19


def _check(frame: bytes) -> None:
    if frame[-1] != TAIL:
        raise WrongTail(f"ends with 0x{frame[-1]:02x}, not 0xab")
    computed, found = sum(frame[2:-2]) & 0xFF, frame[-2]
    if computed != found:
        raise WrongChecksum(computed, found)


def _interpret(frame: bytes) -> Event:
    device_id = frame[6:8].hex()
    if frame[1] == REPLY:
        code = frame[2]
        fields = {**_reply_fields(code, frame), "device_id": device_id}
        return Reply(code, NAMES.get(code, "unknown"), fields, frame)
    if not any(frame[2:8]):
        return Refused(Empty("all values zero, the id too"), frame)
    values = (int.from_bytes(frame[2:4], "little"), int.from_bytes(frame[4:6], "little"))
    return Measurement(values, (values[0] / 10, values[1] / 10), device_id, (), frame)


def _interpret_command(frame: bytes) -> Command:
    code = frame[2]
    fields = {"new_id": frame[13:15].hex()} if code == DEVICE_ID else _fields(code, frame[3:6])
    return Command(code, NAMES.get(code, "unknown"), fields, frame[15:17].hex())


LAYOUT: Layout[Event] = Layout(HEAD, 2, _size, _check, _interpret)
COMMAND_LAYOUT: Layout[Command] = Layout(HEAD, 2, _command_size, _check, _interpret_command)


@dataclass(frozen=True)
class NovaCodec:
    """A `Codec` for SDS011 and SDS021, which speak alike."""

    kind: SensorKind

    @property
    def dialogue(self) -> Dialogue:
        wake = Step(command(POWER, b"\x01\x01"), POWER)
        return Dialogue(
            prepare=(wake, Step(command(MODE, b"\x01\x01"), MODE)),
            ask=command(QUERY),
            asked=QUERY,
            wake=(wake,),
            sleep=(Step(command(POWER, b"\x01\x00"), POWER),),
            identify=(Step(command(FIRMWARE), FIRMWARE),),
            streams=True,
            release=(Step(command(MODE, b"\x01\x00"), MODE),),
        )

    def parser(self) -> Parser:
        return Scanner(LAYOUT)

    def event(self, frame: bytes) -> Event:
        try:
            return LAYOUT.whole(frame)
        except DamagedFrame as error:
            return Refused(error, frame)
