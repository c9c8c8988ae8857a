"""`lamppost sensors`: what is on which port, and the commands as a person runs them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from firmware_bridge import cli
from firmware_bridge.errors import SensorAbsent
from firmware_bridge.kinds import SPECS, SensorKind
from firmware_bridge.ports import Reading
from firmware_bridge.probe import probe_port
from firmware_bridge.probe_command import show
from tests.firmware_bridge.bench import HISTORY, TIMEOUT_S, bench
from tests.support.waiting import wait_until

TOLD_AS = {
    SensorKind.PMS7003: SensorKind.PMS5003,
    SensorKind.PMSA003: SensorKind.PMS5003,
    SensorKind.SDS021: SensorKind.SDS011,
}
FAST = {"speed": 10, "street_zero_ms": 1_760_000_000_000, "wall_zero_ms": 0}


@pytest.mark.parametrize("kind", list(SensorKind))
def test_a_waiting_sensor_is_recognized(kind: SensorKind, tmp_path: Path) -> None:
    with bench(tmp_path, {"kind": kind, "history": HISTORY, "streaming": False, "serial": "a160"}) as b:
        found = probe_port(b.port(kind))
    assert found is not None
    assert found.kind is TOLD_AS.get(kind, kind)
    assert kind in (found.kind, *found.alike)
    assert found.was == ("idle" if kind is SensorKind.SPS30 else "waiting")
    assert found.serial == ("a160" if SPECS[kind].reports_serial else None)


@pytest.mark.parametrize("kind", [SensorKind.PMS5003, SensorKind.PMS5003T, SensorKind.SDS011])
def test_a_streaming_sensor_is_recognized(kind: SensorKind, tmp_path: Path) -> None:
    with bench(tmp_path, {"kind": kind}, clock=FAST) as b:
        found = probe_port(b.port(kind))
    assert found is not None
    assert (found.kind, found.was) == (kind, "streaming")


@pytest.mark.parametrize("kind", [SensorKind.PMS5003, SensorKind.SDS011, SensorKind.SPS30])
def test_a_sleeping_sensor_is_woken(kind: SensorKind, tmp_path: Path) -> None:
    with bench(tmp_path, {"kind": kind, "history": HISTORY}) as b:
        sensor = b.sensor(kind)
        sensor.read(TIMEOUT_S)
        sensor.sleep()
        sensor.close()
        found = probe_port(b.port(kind))
    assert found is not None
    assert (found.kind, found.was) == (kind, "asleep")


def test_only_the_kind_asked_for(tmp_path: Path) -> None:
    with bench(tmp_path, {"kind": SensorKind.SDS011, "history": HISTORY, "streaming": False}) as b:
        assert probe_port(b.port("sds011"), SensorKind.SPS30) is None
        found = probe_port(b.port("sds011"), SensorKind.SDS021)
    assert found is not None
    assert found.kind is SensorKind.SDS021


def test_an_absent_port() -> None:
    with pytest.raises(SensorAbsent):
        probe_port("/dev/ttyNONE")


def test_values_are_shown_with_their_decimals() -> None:
    reading = Reading(
        SensorKind.SPS30, (520, 950, None, 1330, 2630, 3700, 4150, 4240, 4250, 835), None, ("device_error",)
    )
    shown = show(reading)
    assert shown.startswith("pm1 5.20 µg/m³  pm2_5 9.50 µg/m³  pm4 – µg/m³")
    assert shown.endswith("typical_size 0.835 µm  [device_error]")


def run_json(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, list[dict[str, Any]]]:
    status = cli.main(list(args))
    return status, [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_probe_once_leaves_a_streaming_sensor_streaming(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with bench(tmp_path, {"kind": SensorKind.SDS011, "serial": "a160"}, clock=FAST) as b:
        status, lines = run_json(capsys, "probe", "--once", "--json", "--port", b.port("sds011"))
        before = len(b.ledger("sds011"))
        sensor = b.sensor(SensorKind.SDS011)
        wait_until(lambda: len(b.ledger("sds011")) > before, TIMEOUT_S, "a frame that nobody asked for")
        sensor.close()
    assert status == 0
    assert [line["kind"] for line in lines] == ["sds011", "sds011"]
    assert lines[0]["was"] == "streaming"
    assert lines[1]["serial"] == "a160"
    assert set(lines[1]["values"]) == {"pm2_5", "pm10"}


def test_probe_of_ports_where_nothing_is(capsys: pytest.CaptureFixture[str]) -> None:
    master, slave = os.openpty()
    status, lines = run_json(
        capsys, "probe", "--once", "--json", "--port", os.ttyname(slave), "--port", "/dev/ttyNONE"
    )
    os.close(master)
    os.close(slave)
    assert status == 1
    assert lines[0] == {"port": lines[0]["port"], "kind": None}
    assert lines[1]["error"] == "sensor_absent"


def test_probe_without_any_port(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("firmware_bridge.probe_command.existing_ports", list)
    assert cli.main(["probe"]) == 1
    assert "no serial port on this machine" in capsys.readouterr().err


def test_kinds(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["kinds"]) == 0
    text = capsys.readouterr().out
    assert all(kind in text for kind in SensorKind)
    status, (document,) = run_json(capsys, "kinds", "--json")
    assert status == 0
    assert len(document) == len(SensorKind)


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--kind", "sds011", "--serial", "zz"], "four hex digits"),
        (["--kind", "sds011", "--replay", "/nowhere.csv"], "/nowhere.csv: there is no such recording"),
        (["--kind", "sds011", "--fault", "fire"], "fault 'fire': allowed is garbage|"),
        (["--plan", "/nowhere.json"], "plan /nowhere.json: cannot be read"),
        (["--kind", "sds011", "--link", "/proc/none/x"], "link /proc/none/x: cannot be made"),
        (["--kind", "sds011", "--link", "/etc/passwd"], "no symbolic link is there already"),
    ],
)
def test_emulate_with_wrong_input(args: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["emulate", *args]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1


def test_emulate_with_a_wrong_clock_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "clock.json").write_text('{"speed": "fast"}')
    plan = {"units": [{"kind": "sds011"}], "clock_file": str(tmp_path / "clock.json")}
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    assert cli.main(["emulate", "--plan", str(tmp_path / "plan.json")]) == 2
    error = capsys.readouterr().err
    assert "clock.json: a clock is {speed, street_zero_ms, wall_zero_ms}" in error
    assert error.count("\n") == 1


def spawn(*args: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "lamppost", "sensors", *args]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_emulate_and_probe_as_processes_end_cleanly(ending: signal.Signals, tmp_path: Path) -> None:
    link = tmp_path / "co2"
    emulator = spawn("emulate", "--kind", "mhz19b", "--link", str(link), "--seed", "3")
    assert emulator.stdout is not None
    ready = json.loads(emulator.stdout.readline())
    assert ready == {"ready": True, "units": [{"name": "mhz19b", "kind": "mhz19b", "port": str(link)}]}
    probe = spawn("probe", "--port", str(link), "--kind", "mhz19b")
    assert probe.stdout is not None
    lines = [probe.stdout.readline() for _ in range(4)]
    assert "co2" in lines[-1]
    assert "ppm" in lines[-1]
    for process in (probe, emulator):
        process.send_signal(ending)
        _, error = process.communicate(timeout=TIMEOUT_S)
        assert (process.returncode, error) == (0, "")
    assert not link.is_symlink()
