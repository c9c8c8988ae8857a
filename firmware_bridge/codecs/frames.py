"""What comes out of a codec: events, and the reasons for which bytes are refused. No I/O here.

FrameError
├── DamagedFrame         the bytes are wrong
│   ├── WrongHeader      no frame of this family starts here
│   ├── WrongLength      too short, too long, or the length of another model
│   ├── WrongTail        the closing byte is not there
│   └── WrongChecksum
└── NoMeasurement        a sound frame without values
    ├── Empty            all zero: the sensor is warming up
    ├── NotAMeasurement  an acknowledgement or another command's reply
    ├── NoNewData        nothing measured since the last question
    └── DeviceState      the device refuses, with its state code
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from math import isfinite
from typing import ClassVar, Protocol, assert_never


class FrameError(Exception):
    """Base of all. `reason` is stable and short, for counters and tests."""

    reason: ClassVar[str] = "refused"


class DamagedFrame(FrameError):
    reason = "damaged"


class WrongHeader(DamagedFrame):
    reason = "wrong_header"


class WrongLength(DamagedFrame):
    reason = "wrong_length"


class WrongTail(DamagedFrame):
    reason = "wrong_tail"


class WrongChecksum(DamagedFrame):
    reason = "wrong_checksum"

    def __init__(self, computed: int, found: int) -> None:
        super().__init__(f"checksum 0x{found:02x} in the frame, 0x{computed:02x} computed")
        self.computed = computed
        self.found = found


class NoMeasurement(FrameError):
    reason = "no_measurement"


class Empty(NoMeasurement):
    reason = "empty"


class NotAMeasurement(NoMeasurement):
    reason = "not_a_measurement"


class NoNewData(NoMeasurement):
    reason = "no_new_data"


class DeviceState(NoMeasurement):
    reason = "device_state"

    def __init__(self, command: int, state: int, text: str) -> None:
        super().__init__(f"command 0x{command:02x} refused: {text} (state 0x{state:02x})")
        self.command = command
        self.state = state


@dataclass(frozen=True)
class Measurement:
    """A measurement frame. `values` by slot of the kind, scaled integers; `floats` the raw numbers in the
    channel's unit (for the SPS30 exactly what the device sent); `serial` where the frame carries one."""

    values: tuple[int | None, ...]
    floats: tuple[float, ...]
    serial: str | None
    status: tuple[str, ...]
    raw: bytes
    fields: Mapping[str, int | str] = field(default_factory=dict)  # version, error, status bytes


@dataclass(frozen=True)
class Reply:
    """A sound frame that answers a command. `command` is its byte, `name` what it is called here."""

    command: int
    name: str
    fields: Mapping[str, int | str]
    raw: bytes


@dataclass(frozen=True)
class Refused:
    """Bytes that gave nothing, and why."""

    error: FrameError
    raw: bytes


Event = Measurement | Reply | Refused


@dataclass(frozen=True)
class Command:
    """What a host sends. `arguments` as the family's module names them; `target` a device id, if any."""

    code: int
    name: str
    arguments: Mapping[str, int | str] = field(default_factory=dict)
    target: str | None = None


class Answer(Enum):
    """What a dialogue's step waits for."""

    REPLY = "reply"  # a Reply (or DeviceState) to the step's command
    NONE = "none"  # the device is not known to answer; go on at once


@dataclass(frozen=True)
class Step:
    """One command of a dialogue, and how long its answer may take before the next is sent anyway."""

    data: bytes
    command: int
    answer: Answer = Answer.REPLY
    timeout_s: float = 0.3  # the slowest (PMS) answers within 100 ms


@dataclass(frozen=True)
class Dialogue:
    """What to send to a sensor of a family, and when. Pure data; the adapter carries it out."""

    prepare: tuple[Step, ...]  # after power-on or open: awake, and silent until asked
    ask: bytes  # one measurement, please
    asked: int  # the command of that, as a refusal names it
    wake: tuple[Step, ...] = ()
    sleep: tuple[Step, ...] = ()
    identify: tuple[Step, ...] = ()
    streams: bool = False  # from the factory it talks without being asked
    release: tuple[Step, ...] = ()  # back to how it is from the factory, for who only looks
    restart: tuple[Step, ...] = ()  # when the device refuses the question because it does not measure...
    restart_on: int = -1  # ...which it says with this state
    ask_again_s: float = 0.1  # pause after NoNewData: little beside the 1 s a value takes


class Parser(Protocol):
    """Incremental: any split of the same bytes gives the same measurements and replies. Never raises."""

    def feed(self, data: bytes) -> list[Event]: ...

    def reset(self) -> None:
        """Forget a partial frame."""


class Codec(Protocol):
    """Bytes in, events out, for one kind of sensor."""

    @property
    def dialogue(self) -> Dialogue: ...

    def parser(self) -> Parser: ...

    def event(self, frame: bytes) -> Event:
        """What one whole frame means. Damaged frames come as Refused, nothing is raised."""


def measurement(event: Event) -> Measurement:
    """The measurement, or the FrameError that tells why this is none."""
    match event:
        case Measurement():
            return event
        case Reply():
            raise NotAMeasurement(f"reply to command 0x{event.command:02x} ({event.name})")
        case Refused():
            raise event.error
        case _:
            assert_never(event)


def scaled(value: float, exponent: int) -> int | None:
    """value / 10**exponent, rounded; None where it is no number or does not fit in 32 bits."""
    if not isfinite(value):
        return None
    integer = round(value * 10**-exponent)
    return integer if -(2**31) <= integer < 2**31 else None


def unit_serial(event: Event) -> str | None:
    """The unit's own serial number or id, if this event tells it."""
    if isinstance(event, Measurement):
        return event.serial
    if isinstance(event, Reply):
        told = event.fields.get("device_id") or event.fields.get("text")
        return str(told) if told else None
    return None
