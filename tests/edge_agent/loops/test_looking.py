"""A look at a sensor beside its sampling loop: awake, asleep, in trouble, lost."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from edge_agent.errors import AgentError
from edge_agent.io import diagnostics
from edge_agent.io.clocks import ScaledClock
from edge_agent.loops.looking import SharedSensor
from firmware_bridge.errors import SensorAbsent, SensorGone
from firmware_bridge.kinds import SensorKind
from tests.edge_agent.making import make_config
from tests.support.fakes_edge import ScriptedSensor

CLOCK = ScaledClock(3_600.0, 0, 0)  # half a minute of warming up is a hundredth of a second


def shared(sensor: ScriptedSensor) -> SharedSensor:
    made = SharedSensor(sensor, CLOCK)
    made.open()
    return made


def test_one_that_is_awake_is_read_and_left_awake() -> None:
    sensor = ScriptedSensor(SensorKind.SDS011, (31, None))
    sensor.serial = "58d9"
    assert shared(sensor).look() == (True, "pm2_5 3.1 ug/m3; serial 58d9")
    assert (sensor.reads, sensor.woken, sensor.slept) == (1, 0, 0)


def test_one_that_sleeps_is_woken_read_and_sleeps_again() -> None:
    sensor = ScriptedSensor(SensorKind.SDS011, (31, 52))
    made = shared(sensor)
    made.sleep()
    assert made.look()[0]
    assert (sensor.woken, sensor.slept) == (1, 2)
    made.wake()
    assert made.look()[0]
    assert (sensor.woken, sensor.slept) == (2, 2), "the loop has woken it"


def test_trouble_is_told_and_is_nobodys_elses() -> None:
    sensor = ScriptedSensor(SensorKind.SDS011, SensorGone("/dev/x", "unplugged"), (1, 2))
    made = shared(sensor)
    answers, told = made.look()
    assert (answers, told.partition(":")[0]) == (False, "sensor_gone")
    assert made.look()[0]
    made.close()
    assert made.look() == (False, "its port was lost; it is looked for")
    sensor.absent = SensorAbsent("/dev/x", "no such port")
    with pytest.raises(SensorAbsent):
        made.open()
    made.close()
    assert made.look()[1].startswith("sensor_absent: ")
    assert SharedSensor(sensor, CLOCK).look() == (False, "not opened yet")


def test_a_computer_that_does_not_start_again_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess([], 1, "", "Interactive authentication required.\n")

    monkeypatch.setattr(subprocess, "run", refused)
    with pytest.raises(AgentError, match="Interactive authentication required"):
        diagnostics.reboot()


def test_without_systemd_there_is_no_reboot_and_a_doctor_that_hangs_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(AgentError, match="systemctl reboot"):
        diagnostics.reboot()
    monkeypatch.setattr(diagnostics, "DOCTOR_S", 0.01)
    assert "gave no answer" in diagnostics.doctor(make_config(tmp_path))
