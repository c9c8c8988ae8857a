"""An emulated SPS30, firmware 2.3: idle at power-on, measuring between start and stop, asleep until woken."""

from __future__ import annotations

from enum import Enum

from firmware_bridge.codecs import shdlc, sps30
from firmware_bridge.codecs.frames import DamagedFrame, Refused
from firmware_bridge.codecs.shdlc import Request
from firmware_bridge.emulator.devices import DeviceOptions, Sampler, Sent
from firmware_bridge.kinds import SPECS, SensorKind

VALUE_EVERY_S = 1.0
SHORTEST_VALUE_S = 0.96  # "sampling interval 1 +- 0.04 s", data sheet table 1
WEEK_S = 604_800  # the factory's interval of automatic fan cleaning
PRODUCT_TYPE = b"00080000\0"
VERSION = bytes((2, 3, 0, 7, 0, 2, 0))  # firmware 2.3, hardware 7, SHDLC 2.0
OK, WRONG_LENGTH, UNKNOWN_COMMAND, ILLEGAL_PARAMETER = 0x00, 0x01, 0x02, 0x04
Answer = tuple[int, bytes]  # state, data


class State(Enum):
    IDLE = "idle"
    MEASURING = "measuring"
    ASLEEP = "asleep"


class Sps30Device:
    def __init__(self, sampler: Sampler, options: DeviceOptions, now_s: float) -> None:
        self._sampler = sampler
        self._options = options
        self._deframer = shdlc.Deframer()
        self._auto_clean_s = WEEK_S
        self.power_cycle(now_s)

    def power_cycle(self, now_s: float) -> None:
        self._state = State.IDLE
        self._interface_awake = True
        self._value_due_s = now_s
        self._ready_s = now_s
        self._deframer.reset()

    def stream_due_s(self) -> float | None:
        return None

    def stream(self, now_s: float) -> list[Sent]:
        raise AssertionError(f"an SPS30 never streams (asked at {now_s})")

    def receive(self, data: bytes, now_s: float) -> list[Sent]:
        if self._state is State.ASLEEP and not self._interface_awake:
            self._interface_awake = True  # the pulse wakes the interface, and is lost
            data = data[1:]
        sent = []
        for chunk in self._deframer.feed(data):
            if isinstance(chunk, Refused):
                continue
            try:
                request = shdlc.parse_request(chunk)
            except DamagedFrame:
                continue  # the real one keeps silent as well
            sent += self._answer(request, now_s)
        return sent

    def _answer(self, request: Request, now_s: float) -> list[Sent]:
        if request.address != 0 or (self._state is State.ASLEEP and request.command != sps30.WAKE):
            return []
        if request.command == sps30.READ and not request.data and self._state is State.MEASURING:
            return [self._measure(now_s)]
        state, data = self._obey(request, now_s)
        return [Sent(sps30.reply(request.command, data, state))]

    def _measure(self, now_s: float) -> Sent:
        if now_s < self._value_due_s:
            return Sent(sps30.reply(sps30.READ))
        self._value_due_s = now_s + SHORTEST_VALUE_S
        if now_s < self._ready_s:
            return Sent(sps30.measurement((0.0,) * 10))
        sample = self._sampler()
        channels = SPECS[SensorKind.SPS30].channels
        floats = tuple(v * 10.0**c.exponent for v, c in zip(sample.values, channels, strict=True))
        return Sent(sps30.measurement(floats), sample)

    def _obey(self, request: Request, now_s: float) -> Answer:
        """The state and data of the answer to all but a successful read."""
        match request.command:
            case sps30.READ:
                return (WRONG_LENGTH if request.data else sps30.WRONG_STATE), b""
            case sps30.START:
                return self._start(request.data, now_s)
            case sps30.STOP:
                self._state = State.IDLE if self._state is State.MEASURING else self._state
                return OK, b""
            case sps30.SLEEP:
                if self._state is not State.IDLE:
                    return sps30.WRONG_STATE, b""
                self._state, self._interface_awake = State.ASLEEP, False
                self._deframer.reset()  # asleep it loses the flags that it has heard
                return OK, b""
            case sps30.WAKE:
                self._state = State.IDLE if self._state is State.ASLEEP else self._state
                return OK, b""
            case sps30.CLEAN:
                return (OK if self._state is State.MEASURING else sps30.WRONG_STATE), b""
            case sps30.RESET:
                self.power_cycle(now_s)
                return OK, b""
            case _:
                return self._tell(request)

    def _start(self, data: bytes, now_s: float) -> Answer:
        if data != sps30.FLOAT_OUTPUT:
            return (ILLEGAL_PARAMETER if len(data) == 2 else WRONG_LENGTH), b""
        if self._state is State.MEASURING:
            return sps30.WRONG_STATE, b""
        self._state = State.MEASURING
        self._value_due_s = now_s + VALUE_EVERY_S
        self._ready_s = now_s + self._options.warm_up_s
        return OK, b""

    def _tell(self, request: Request) -> Answer:
        match request.command, request.data:
            case sps30.INFO, sps30.INFO_PRODUCT_TYPE:
                return OK, PRODUCT_TYPE
            case sps30.INFO, sps30.INFO_SERIAL:
                return OK, self._options.serial.encode() + b"\0"
            case sps30.INFO, _:
                return ILLEGAL_PARAMETER, b""
            case sps30.VERSION, b"":
                return OK, VERSION
            case sps30.STATUS, data if len(data) == 1:
                return OK, bytes(5)
            case sps30.AUTO_CLEAN, b"\0":
                return OK, self._auto_clean_s.to_bytes(4, "big")
            case sps30.AUTO_CLEAN, data if len(data) == 5:
                self._auto_clean_s = int.from_bytes(data[1:], "big")
                return OK, b""
            case _:
                return UNKNOWN_COMMAND, b""
