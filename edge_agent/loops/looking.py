"""A sensor that two may use: its sampling loop, and who asks from far away whether it answers."""

from __future__ import annotations

import threading

from edge_agent.loops.desk import physical
from edge_agent.ports import Clock, Sensor
from firmware_bridge.errors import SensorError
from firmware_bridge.kinds import KindSpec
from firmware_bridge.ports import Reading

READ_S = 5.0  # two intervals of the slowest sensor's stable mode


class SharedSensor:
    """A Sensor around a Sensor: one call at a time, whoever calls. `look` reads it beside the loop's turn.

    What a look reads is told to who asked, and is no sample.
    """

    def __init__(self, sensor: Sensor, clock: Clock) -> None:
        self._sensor, self._clock = sensor, clock
        self._lock = threading.Lock()
        self._open, self._asleep = False, False
        self._trouble = "not opened yet"
        self._pause = threading.Event()  # never set: a sleep that is no busy wait

    @property
    def spec(self) -> KindSpec:
        return self._sensor.spec

    def open(self) -> None:
        with self._lock:
            try:
                self._sensor.open()
            except SensorError as error:
                self._trouble = _told(error)
                raise
            self._open, self._asleep = True, False

    def read(self, timeout_s: float) -> Reading:
        with self._lock:
            return self._sensor.read(timeout_s)

    def wake(self) -> None:
        with self._lock:
            self._sensor.wake()
            self._asleep = False

    def sleep(self) -> None:
        with self._lock:
            self._sensor.sleep()
            self._asleep = self.spec.can_sleep

    def identity(self, timeout_s: float) -> str | None:
        with self._lock:
            return self._sensor.identity(timeout_s)

    def close(self) -> None:
        with self._lock:
            if self._open:
                self._trouble = "its port was lost; it is looked for"
            self._open = False
            self._sensor.close()

    def look(self) -> tuple[bool, str]:
        """Whether it answers, and its values or its trouble. Takes as long as it needs to warm up."""
        with self._lock:
            if not self._open:
                return False, self._trouble
            asleep = self._asleep
            try:
                if asleep:
                    self._sensor.wake()
                    self._pause.wait(self.spec.warm_up_s / self._clock.speed)
                reading = self._sensor.read(READ_S)
                if asleep:
                    self._sensor.sleep()
            except SensorError as error:
                return False, _told(error)
        values = ", ".join(
            f"{channel.name} {value:g} {channel.unit}"
            for channel, value in zip(self.spec.channels, physical(reading).values(), strict=True)
            if value is not None
        )
        warns = f"; it warns: {', '.join(reading.status)}" if reading.status else ""
        serial = f"; serial {reading.serial}" if reading.serial else ""
        return True, f"{values or 'answers without a value'}{serial}{warns}"


def _told(error: SensorError) -> str:
    return f"{error.code}: {error}"
