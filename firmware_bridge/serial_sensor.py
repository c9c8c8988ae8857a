"""The `Sensor` port over a serial line: carries out a codec's dialogue, and knows no family itself."""

from __future__ import annotations

import time
from collections.abc import Iterator

from firmware_bridge.codecs import codec
from firmware_bridge.codecs.frames import (
    Answer,
    DamagedFrame,
    DeviceState,
    Empty,
    Event,
    FrameError,
    Measurement,
    NoNewData,
    Refused,
    Reply,
    Step,
    unit_serial,
)
from firmware_bridge.errors import SensorFault, SensorGarbled, SensorSilent, SensorWarmingUp
from firmware_bridge.kinds import SPECS, KindSpec, SensorKind
from firmware_bridge.ports import Reading, Sensor
from firmware_bridge.serial_link import SerialLink

POWER_STEPS_S = 2.0  # in which a sleep or wake-up is acknowledged, or given up
ASK_AGAIN_AFTER_DAMAGE_S = 0.2  # longer than the rest of the damaged frame needs to arrive


def open_sensor(kind: SensorKind, port: str) -> Sensor:
    """The sensor of this kind on this port, not yet opened."""
    return SerialSensor(kind, port)


class SerialSensor:
    """See `ports.Sensor` for the contract.

    A sensor that lost power comes back in its factory's mode: whatever was heard without a question, and any
    silence, leads to the dialogue's `prepare` being said again, so it recovers within a read or two.
    """

    def __init__(self, kind: SensorKind, port: str) -> None:
        self.spec: KindSpec = SPECS[kind]
        codec_of_kind = codec(kind)
        self._dialogue = codec_of_kind.dialogue
        self._parser = codec_of_kind.parser()
        self._link = SerialLink(port, self.spec.baud)
        self._prepared = False
        self._serial: str | None = None

    def open(self) -> None:
        self._link.open()
        self._parser.reset()
        self._prepared = False
        self._serial = None  # it may be another unit than before

    def close(self) -> None:
        self._link.close()

    def read(self, timeout_s: float) -> Reading:
        deadline = time.monotonic() + timeout_s
        if self._talked_unasked() or not self._prepared:
            self._prepare(deadline)
        try:
            return self._ask(deadline)
        except (SensorSilent, SensorFault):
            self._prepared = False
            raise

    def wake(self) -> None:
        self._say(self._dialogue.wake, time.monotonic() + POWER_STEPS_S)
        self._prepared = False

    def sleep(self) -> None:
        self._say(self._dialogue.sleep, time.monotonic() + POWER_STEPS_S)
        self._prepared = False

    def identity(self, timeout_s: float) -> str | None:
        deadline = time.monotonic() + timeout_s
        if self._serial is None and self.spec.reports_serial:
            if not self._prepared:
                self._prepare(deadline)  # some tell it with every word
            if self._serial is None and not self._say(self._dialogue.identify, deadline):
                raise SensorSilent(self._link.port, f"{self.spec.title} does not tell its serial number")
        return self._serial

    def _prepare(self, deadline: float) -> None:
        self._say(self._dialogue.prepare, deadline)
        self._prepared = True
        self._talked_unasked()

    def _talked_unasked(self) -> bool:
        """Throw away what came before the question. True if a measurement was among it: it is streaming."""
        events = self._heard(self._link.drain())
        self._parser.reset()
        return any(isinstance(event, Measurement) for event in events)

    def _heard(self, data: bytes) -> list[Event]:
        if not data:
            return []
        events = self._parser.feed(data)
        for event in events:
            self._serial = unit_serial(event) or self._serial
        return events

    def _say(self, steps: tuple[Step, ...], deadline: float) -> bool:
        """Send each step and wait for its answer. True if all that are due came."""
        complete = True
        for step in steps:
            self._link.write(step.data)
            if step.answer is Answer.REPLY:
                limit = min(deadline, time.monotonic() + step.timeout_s)
                complete &= any(_answers(event, step) for event in self._events_until(limit))
        return complete

    def _events_until(self, limit: float) -> Iterator[Event]:
        """What is heard up to `limit` (monotonic seconds)."""
        while (left_s := limit - time.monotonic()) > 0:
            yield from self._heard(self._link.wait(left_s))

    def _ask(self, deadline: float) -> Reading:
        """Put the question until it is answered: again when a refusal passes, and once after silence."""
        patience_s = (deadline - time.monotonic()) / 2
        problem: FrameError | None = None
        while True:
            self._link.write(self._dialogue.ask)
            heard = self._verdict(min(deadline, time.monotonic() + patience_s))
            if isinstance(heard, Measurement):
                serial = heard.serial or self._serial
                return Reading(self.spec.kind, heard.values, serial, heard.status)
            problem = heard or problem
            if time.monotonic() >= deadline:
                raise self._no_answer(problem)
            if heard is None:
                self._prepare(deadline)
            else:
                self._after_refusal(heard, deadline)

    def _verdict(self, limit: float) -> Measurement | FrameError | None:
        """The measurement, or why there is none, or None for silence.

        After a damaged frame it listens a little longer: a sound one may be right behind it.
        """
        damage: FrameError | None = None
        while (left_s := limit - time.monotonic()) > 0:
            for event in self._heard(self._link.wait(left_s)):
                if isinstance(event, Measurement):
                    return event
                if isinstance(event, Refused) and not isinstance(event.error, DamagedFrame):
                    if isinstance(event.error, DeviceState) and event.error.command != self._dialogue.asked:
                        continue  # the late refusal of an earlier command says nothing of this one
                    return event.error
                if isinstance(event, Refused) and damage is None:
                    damage = event.error
                    limit = min(limit, time.monotonic() + ASK_AGAIN_AFTER_DAMAGE_S)
        return damage

    def _after_refusal(self, refusal: FrameError, deadline: float) -> None:
        """Do what makes the next question worth asking. Raises SensorWarmingUp, SensorFault."""
        port, title = self._link.port, self.spec.title
        match refusal:
            case Empty():
                raise SensorWarmingUp(port, f"{title} has no values yet (all zero)")
            case DeviceState(state=state) if state != self._dialogue.restart_on:
                raise SensorFault(port, f"{title}: {refusal}")
            case DeviceState():
                self._say(self._dialogue.restart, deadline)
                self._pause(self._dialogue.ask_again_s, deadline)
            case NoNewData():
                self._pause(self._dialogue.ask_again_s, deadline)

    def _pause(self, pause_s: float, deadline: float) -> None:
        for _ in self._events_until(min(deadline, time.monotonic() + pause_s)):
            pass

    def _no_answer(self, problem: FrameError | None) -> SensorSilent | SensorGarbled:
        port, title = self._link.port, self.spec.title
        match problem:
            case None:
                return SensorSilent(port, f"{title} does not answer")
            case DamagedFrame():
                return SensorGarbled(port, f"what arrives is no frame of a {title}: {problem}")
            case _:
                return SensorSilent(port, f"{title} gives no new value: {problem}")


def _answers(event: Event, step: Step) -> bool:
    """Whether this is the device's word on the step's command, be it a refusal."""
    if isinstance(event, Refused):
        return isinstance(event.error, DeviceState) and event.error.command == step.command
    return isinstance(event, Reply) and event.command == step.command
