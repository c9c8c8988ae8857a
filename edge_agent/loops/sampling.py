"""One sensor's loop: carries events to `core/sensing.py` and does what it decides with the serial port."""

from __future__ import annotations

import logging
import random
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from edge_agent.core.cadence import Cadence
from edge_agent.core.health import WATCHED
from edge_agent.core.records import UnitIdentity
from edge_agent.core.sensing import Do, Event, Phase, Retimed, Sensing, Signal, Until, step
from edge_agent.loops.board import Board
from edge_agent.loops.desk import Taken
from edge_agent.ports import Clock, Sensor
from firmware_bridge.errors import (
    SensorAbsent,
    SensorBusy,
    SensorError,
    SensorForbidden,
    SensorGarbled,
    SensorGone,
    SensorWarmingUp,
)
from firmware_bridge.ports import Reading

log = logging.getLogger("lamppost")

READ_TIMEOUT_S = 3.0  # the slowest sensor's stable mode answers each 2.3 s (PMS5003 data sheet)
IDENTITY_TIMEOUT_S = 3.0
WARM_UPS = 2  # after so many of its kind's warm-up times a sensor without values is a trouble
_PORT_LOST = (SensorGone, SensorAbsent, SensorBusy, SensorForbidden)


@dataclass(frozen=True)
class SensorPlan:
    """One sensor as configured. `serial` and `site` name the unit where it does not name itself."""

    name: str
    serial: str
    site: str
    cadence: Cadence


class SamplingLoop:
    """Runs in a thread of its own (`run`) until `stop`. `take` receives every reading."""

    def __init__(
        self, plan: SensorPlan, sensor: Sensor, clock: Clock, board: Board, take: Callable[[Taken], None]
    ) -> None:
        self._plan, self._sensor, self._clock, self._board, self._take = plan, sensor, clock, board, take
        self._state = Sensing(plan.cadence)
        self._stopped = False
        self._woken = threading.Event()
        self._every_s = plan.cadence.every_s  # as it is to be; the state's cadence is as it is
        self._until: Until | None = Until(wire_s=0.0)
        self._events: deque[Event] = deque()
        self._serial: str | None = None
        self._rumour: str | None = None  # another serial number, told once
        self._warming_since_s: float | None = None  # street; since when it answers without values
        self.beat_s = clock.wire_s()  # the watchdog's: when the loop last turned, or will turn next

    @property
    def name(self) -> str:
        return self._plan.name

    @property
    def configured_every_s(self) -> float:
        return self._plan.cadence.every_s

    def stop(self) -> None:
        self._stopped = True
        self._woken.set()

    def sample_each(self, every_s: float) -> None:
        """From now on one sample each so many street seconds. From any thread."""
        if every_s != self._every_s:
            self._every_s = every_s
            self._woken.set()

    def run(self) -> None:
        while self._state.phase is not Phase.STOPPED:
            try:
                self._sleep()
                self._turn()
                self._drain()
            except Exception as error:  # the loop's top
                if self._board.loop_failed(self._plan.name, error):
                    log.exception("the loop of sensor %s failed; it starts over", self._plan.name)
                self._events.clear()
                self._signal(Signal.POWER_LOST)
                self._sensor.close()
                self._until = Until(wire_s=1.0)
                self._drain()

    def _turn(self) -> None:
        """What woke it: it is to stop, the interval changed, or a sample is due."""
        every_s, cadence = self._every_s, self._state.cadence
        if self._stopped:
            self._signal(Signal.STOP)
        elif every_s != cadence.every_s:
            self._events.append(
                Retimed(Signal.RETIMED, self._clock.street_s(), cadence=replace(cadence, every_s=every_s))
            )
        else:
            self._signal(Signal.DUE)

    def _sleep(self) -> None:
        until = self._until or Until(wire_s=1.0)
        if until.wire_s is not None:
            self._wait(until.wire_s)
            return
        self._wait((until.at_s - self._clock.street_s()) / self._clock.speed)
        while (left_s := until.at_s - self._clock.street_s()) > 0 and not self._to_turn():
            self._wait(left_s / self._clock.speed)  # the street's clock became slower meanwhile

    def _to_turn(self) -> bool:
        return self._stopped or self._every_s != self._state.cadence.every_s

    def _wait(self, wire_s: float) -> None:
        self.beat_s = self._clock.wire_s() + max(wire_s, 0.0)
        self._woken.wait(max(wire_s, 0.0))
        self._woken.clear()
        if self._stopped:
            self._woken.set()

    def _signal(self, signal: Signal) -> None:
        jitter = random.random()  # noqa: S311 jitter
        self._events.append(Event(signal, self._clock.street_s(), jitter))

    def _drain(self) -> None:
        while self._events:
            self._state, actions = step(self._state, self._events.popleft())
            for action in actions:
                if isinstance(action, Until):
                    self._until = action
                else:
                    self._do(action)

    def _do(self, action: Do) -> None:
        match action:
            case Do.OPEN:
                self._try(self._open, Signal.OPENED)
            case Do.READ:
                self._try(self._read, Signal.TAKEN)
            case Do.WAKE:
                self._try(self._sensor.wake, None)
            case Do.SLEEP:
                self._try(self._sensor.sleep, None)
            case Do.CLOSE:
                self._sensor.close()

    def _try(self, call: Callable[[], None], done: Signal | None) -> None:
        """Do it; what it raises is this sensor's condition and its event. `done` None: nobody waits."""
        try:
            call()
        except SensorWarmingUp as error:  # it answers, there is only no value yet
            self._still_warming(error)
            if done is not None:
                self._signal(done)
        except SensorError as error:
            self._board.raise_(error.code, self._plan.name, str(error), error.remedy)
            if isinstance(error, _PORT_LOST):
                self._port_lost()
            elif done is not None:
                self._signal(Signal.TROUBLE)
        else:
            if done is not None:
                self._signal(done)

    def _still_warming(self, error: SensorWarmingUp) -> None:
        """A sensor without values is well while it warms up, and in trouble when that does not end."""
        now_s = self._clock.street_s()
        if self._warming_since_s is None:
            self._warming_since_s = now_s
        if now_s - self._warming_since_s > WARM_UPS * self._sensor.spec.warm_up_s:
            self._board.raise_(error.code, self._plan.name, str(error))

    def _port_lost(self) -> None:
        """One loss is one event, also when waking and reading both notice it."""
        if not any(event.signal is Signal.GONE for event in self._events):
            self._events.clear()
            self._signal(Signal.GONE)

    def _open(self) -> None:
        self._warming_since_s = None
        self._sensor.open()
        self._serial = self._sensor.identity(IDENTITY_TIMEOUT_S)

    def _check_serial(self, reading: Reading) -> None:
        """Another serial number counts from the second reading that tells it: the checksum of an SDS011 has
        eight bits, and a flipped one would otherwise become a sensor unit for ever. Raises SensorGarbled."""
        told, before = reading.serial, self._serial
        if told is None or before is None or told == before:
            self._rumour = None
        elif told == self._rumour:
            self._serial, self._rumour = told, None
        else:
            self._rumour = told
            raise SensorGarbled(self._plan.name, f"says once that it is {told}, was {before} until now")

    def _read(self) -> None:
        reading = self._sensor.read(READ_TIMEOUT_S)
        now_ms, street_s = self._clock.now_ms(), self._clock.street_s()
        self._check_serial(reading)
        plan = self._plan
        serial = reading.serial or self._serial or plan.serial
        identity = UnitIdentity(reading.kind.value, serial, plan.site)
        self._warming_since_s = None
        if reading.status:
            told = f"{reading.kind.value} at {plan.site} reports {', '.join(reading.status)}"
            self._board.raise_("sensor_warns", plan.name, told)
        self._board.clear_subject(plan.name, but=WATCHED | {"sensor_warns"} if reading.status else WATCHED)
        self._take(Taken(plan.name, identity, reading, self._state.cadence.every_s, now_ms, street_s))
