"""Fill the spool as a lamppost without a link would have: the real sensors, a clock that is stepped.

Each sensor is read once an instant of its cadence, as fast as it answers; quality, stamping and sealing are
those of the running agent.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush

from edge_agent.app import watch_file
from edge_agent.config_keys import AgentConfig
from edge_agent.core.declaring import declaration
from edge_agent.core.gathering import Seen
from edge_agent.core.post import begin, take
from edge_agent.core.records import UnitIdentity
from edge_agent.io.clocks import SteppedClock
from edge_agent.io.sqlite_spool import SqliteSpool
from edge_agent.io.watch_file import WatchFile
from edge_agent.loops.board import Board
from edge_agent.loops.desk import Taken
from edge_agent.loops.link import LinkView
from edge_agent.loops.room import RoomKeeper
from edge_agent.loops.sampling import IDENTITY_TIMEOUT_S, READ_TIMEOUT_S, SensorPlan
from edge_agent.loops.spooler import Spooler
from edge_agent.parts import make_caps, sensor_plan
from edge_agent.ports import Sensor
from firmware_bridge.errors import SensorError
from firmware_bridge.kinds import SensorKind
from firmware_bridge.ports import Reading

ATTEMPTS = 3  # a garbled answer is asked for again; an instant without any is left out


def rehearse(
    config: AgentConfig, hours: float, until_ms: int, open_sensor: Callable[[SensorKind, str], Sensor]
) -> int:
    """Sample from `until_ms` - hours up to, not including, `until_ms` (street time). Returns the count.

    Raises SensorError when a sensor cannot be opened, SpoolError when the spool cannot be written.
    """
    start_ms = until_ms - round(hours * 3_600_000)
    clock = SteppedClock(start_ms, boot="rehearsal", real_wire=True)
    spool = SqliteSpool(config.spool_dir, declaration, config.spool.max_bytes, clock.street_s)
    board = Board(clock)
    room = RoomKeeper(clock, spool, board, make_caps(config))
    flush_s = config.telemetry.flush_interval_s
    notes = Notes(watch_file(config))
    spooler = Spooler(clock, spool, board, LinkView(), room, flush_s, _nothing, _nothing, notes.take)
    sensors = [(sensor_plan(keys), open_sensor(SensorKind(keys.kind), keys.port)) for keys in config.sensors]
    serials = []
    for _, sensor in sensors:
        sensor.open()
        serials.append(sensor.identity(IDENTITY_TIMEOUT_S))
    taken = 0
    due = [(start_ms, index) for index in range(len(sensors))]
    heapify(due)
    while due and due[0][0] < until_ms:
        at_ms, index = heappop(due)
        plan, sensor = sensors[index]
        heappush(due, (at_ms + round(plan.cadence.every_s * 1000), index))
        clock.step_to(at_ms)
        reading = _read(sensor)
        if reading is not None:
            spooler.take_now(_taken(plan, reading, serials[index], clock))
            taken += 1
    spooler.finish_now()
    for _, sensor in sensors:
        sensor.close()
    spool.close()
    notes.keep()
    return taken


class Notes:
    """What the running agent will know of the units' day; no verdict is made of the past."""

    def __init__(self, file: WatchFile) -> None:
        self._file, self._post = file, begin(file.load())

    def take(self, seen: Seen, identity: UnitIdentity) -> None:
        self._post, _ = take(self._post, seen, identity)

    def keep(self) -> None:
        """Raises SpoolFull."""
        self._file.save(self._post.to_keep())


def _taken(plan: SensorPlan, reading: Reading, serial: str | None, clock: SteppedClock) -> Taken:
    identity = UnitIdentity(reading.kind.value, reading.serial or serial or plan.serial, plan.site)
    return Taken(plan.name, identity, reading, plan.cadence.every_s, clock.now_ms(), clock.street_s())


def _read(sensor: Sensor) -> Reading | None:
    for _ in range(ATTEMPTS):
        try:
            return sensor.read(READ_TIMEOUT_S)
        except SensorError:
            continue
    return None


def _nothing() -> None:
    """No link is there to be told."""
