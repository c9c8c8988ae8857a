"""A lamppost's ordinary life and its odd moments: its log lines, its watchdog, its presence."""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_agent.io.clocks import SteppedClock
from edge_agent.loops import board as board_module
from edge_agent.loops import link as link_module
from edge_agent.loops.board import Board
from firmware_bridge.errors import SensorGarbled, SensorWarmingUp
from firmware_bridge.kinds import SensorKind
from firmware_bridge.ports import Reading
from tests.edge_agent.making import (
    UNTIL_ACKED_S,
    codes,
    counting,
    on_broker,
    running,
    wait_clear,
    wait_code,
    wait_empty,
)
from tests.support.acking_server import AckingServer
from tests.support.fakes_edge import ScriptedSensor
from tests.support.mosquitto import MosquittoBroker
from tests.support.waiting import wait_until

SDS = SensorKind.SDS011


@pytest.fixture
def server(broker: MosquittoBroker) -> Iterator[AckingServer]:
    made = AckingServer.on(broker).start()
    yield made
    made.stop()


def test_presence_says_soon_that_history_waits_and_that_it_is_done(
    tmp_path: Path, broker: MosquittoBroker, server: AckingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "PRESENCE_REFRESH_S", 3600.0)
    monkeypatch.setattr(link_module, "PRESENCE_EVERY_S", 0.3)
    broker.stop()
    with running(on_broker(tmp_path, broker), counting(SDS)) as agent:
        wait_until(lambda: agent.spooler.pending() >= 4, 20, "samples that wait")
        agent.spooler.finish()
        wait_until(lambda: agent.spooler.pending() < 2, 20, "a sealed batch")
        server.hold_acks = True
        broker.start()
        wait_until(
            lambda: server.presences and server.presences[-1].backlog.get("history"), 20, "history to come"
        )
        server.release_acks()
        wait_until(lambda: not server.presences[-1].backlog.get("history"), 20, "history done")


def test_an_older_copy_of_the_spool_begins_anew_instead_of_losing_what_is_new(
    tmp_path: Path, broker: MosquittoBroker, server: AckingServer
) -> None:
    config, sensor = on_broker(tmp_path, broker), counting(SDS)
    with running(config, sensor, drain_s=UNTIL_ACKED_S):
        server.wait_samples(3)
    copy = tmp_path / "copy"
    shutil.copytree(config.spool_dir, copy)
    with running(config, sensor, drain_s=UNTIL_ACKED_S):
        server.wait_samples(sensor.reads + 8)
    shutil.rmtree(config.spool_dir)
    shutil.copytree(copy, config.spool_dir)
    with running(config, sensor, drain_s=UNTIL_ACKED_S) as agent:
        before = sensor.reads
        wait_code(agent, "spool_corrupt")
        wait_until(lambda: sensor.reads >= before + 3, 20, "samples after it")
        wait_empty(agent)
    values = {values[0] for *_, values, _ in server.samples()}
    assert values == set(range(1, sensor.reads + 1)), "every sample is there"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_the_watchdog_sees_a_sensors_loop_that_died_and_one_that_hangs(
    tmp_path: Path, broker: MosquittoBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    hangs = threading.Event()

    class Hanging(ScriptedSensor):
        def read(self, timeout_s: float) -> Reading:
            hangs.wait(30)
            return super().read(timeout_s)

    class Dying(ScriptedSensor):
        def read(self, timeout_s: float) -> Any:
            raise SystemExit  # ends a thread without a word

    from edge_agent import app

    with running(on_broker(tmp_path, broker), Dying(SDS, (1, 2))) as agent:
        wait_until(lambda: not agent.alive(), 20, "the death to be seen")
    with running(on_broker(tmp_path, broker), Hanging(SDS, (1, 2))) as agent:
        monkeypatch.setattr(app, "STUCK_AFTER_S", 1.0)
        agent.link.beat_s = agent.spooler.beat_s = float("inf")  # only the sensor's loop is looked at
        agent._identity.beat_s = float("inf")
        wait_until(lambda: not agent.alive(), 20, "the hang to be seen")
        hangs.set()


def test_a_sensor_whose_warming_up_does_not_end_is_in_trouble(
    tmp_path: Path, broker: MosquittoBroker
) -> None:
    sensor = ScriptedSensor(SDS, SensorWarmingUp("/dev/test0", "no values yet (all zero)"))
    with running(on_broker(tmp_path, broker), sensor) as agent:
        wait_until(lambda: sensor.reads >= 3, 20, "readings without values")
        assert "sensor_warming_up" not in codes(agent)
        wait_code(agent, "sensor_warming_up")
        sensor.script = [(1, 2)]
        wait_clear(agent, "sensor_warming_up")


def test_a_sensors_own_warning_is_one_condition_and_one_line(
    tmp_path: Path, broker: MosquittoBroker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "lamppost")
    warning = ["device_error"]

    class Warning(ScriptedSensor):
        def read(self, timeout_s: float) -> Reading:
            given = super().read(timeout_s)
            return Reading(given.kind, given.values, given.serial, tuple(warning))

    sensor = Warning(SDS, (1, 2))
    with running(on_broker(tmp_path, broker), sensor) as agent:
        wait_code(agent, "sensor_warns")
        reads = sensor.reads
        wait_until(lambda: sensor.reads > reads + 5, 20, "more readings")
        warning.clear()
        wait_clear(agent, "sensor_warns")
    assert len([line for line in caplog.messages if line.startswith("sensor_warns")]) == 2


def test_an_ordinary_life_is_a_few_lines(
    tmp_path: Path, broker: MosquittoBroker, server: AckingServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "lamppost")
    with running(on_broker(tmp_path, broker), counting(SDS)) as agent:
        server.wait_samples(3)
        broker.stop()
        wait_until(lambda: not agent.link.view.connected, 20, "the loss")
        wait_code(agent, "broker_unreachable")
        broker.start()
        wait_clear(agent, "broker_unreachable")
        server.wait_samples(6)
    lines = caplog.messages
    assert lines[0].startswith("lamppost agent 0.1.0 starts as city/post-1 for 127.0.0.1:")
    assert "s0 (sds011 on /dev/test0)" in lines[0]
    assert lines[1] == "connected to the broker as city/post-1"
    assert lines[-1].startswith("lamppost agent stopped;")
    ways = "the next attempt goes by"  # told where the broker is away for more than two attempts
    told = [line.split(":")[0] for line in lines[2:-1] if not line.startswith(ways)]
    assert sorted(told) == sorted(["link_lost server", "broker_unreachable server"] * 2)


def test_what_comes_and_goes_each_second_is_not_a_line_each_second(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "lamppost")
    clock = SteppedClock(1_795_000_000_000)
    board = Board(clock)
    error = SensorGarbled("/dev/ttyUSB0", "noise")
    for _ in range(30):
        board.raise_(error.code, "front", str(error), error.remedy)
        board.clear(error.code, "front")
        clock.step_to(clock.now_ms() + 1000)
    assert len(caplog.messages) == 2, "raised, over: once"
    clock.step_to(clock.now_ms() + int(board_module.QUIET_S * 1000))
    board.raise_(error.code, "front", str(error), error.remedy)
    assert len(caplog.messages) == 3


def test_a_serial_number_that_is_told_once_makes_no_unit(
    tmp_path: Path, broker: MosquittoBroker, server: AckingServer
) -> None:
    class Noisy(ScriptedSensor):
        def read(self, timeout_s: float) -> Reading:
            given = super().read(timeout_s)
            serial = "0001" if self.reads % 4 == 3 else given.serial
            return Reading(given.kind, given.values, serial, ())

    sensor = Noisy(SDS, (1, 2))
    sensor.serial = "58d9"
    with running(on_broker(tmp_path, broker), sensor):
        wait_until(lambda: sensor.reads >= 8, 20, "readings, two of them with another serial number")
        server.wait_samples(5)
        sensor.serial = "546f"  # changed without the port noticing
        wait_until(lambda: len(server.declarations()) == 2, 20, "the new unit")
    assert [each.serial for each in server.declarations()] == ["58d9", "546f"]
