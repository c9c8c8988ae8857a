"""The site test: each thing it decides, and one with the real agent, broker and acknowledgements."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from provisioning.technician import site_test
from provisioning.technician.errors import LamppostUnreachable, WrongInput
from provisioning.technician.lamppost import Lamppost
from provisioning.technician.picture import Course
from provisioning.technician.site_test import Line
from tests.edge_agent.making import ADDRESS
from tests.edge_agent.test_cli import sensor_port, server, write_config
from tests.support.acking_server import AckingServer
from tests.support.mosquitto import MosquittoBroker

__all__ = ["sensor_port", "server"]

ROUTE = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
WIFI = "Inter-| sta-|\n face | tus |\n wlan0: 0000   54.  {level}.  -256        0      0\n"
MODEM = '{"modem": {"generic": {"signal-quality": {"recent": "yes", "value": "%s"}}}}'


def route(*ways: tuple[str, int]) -> str:
    rows = [f"{name}\t00000000\t0101A8C0\t0003\t0\t0\t{metric}\t00000000\t0\t0\t0" for name, metric in ways]
    return ROUTE + "eth9\t0001A8C0\t00000000\t0001\t0\t0\t1\t00FFFFFF\t0\t0\t0\n" + "\n".join(rows)


@pytest.mark.parametrize(
    ("ways", "wireless", "modem", "ok", "told"),
    [
        ([], "", "", False, "no default route"),
        ([("eth0", 100)], WIFI.format(level=-90), "", True, "eth0"),
        ([("wlan0", 600)], WIFI.format(level=-60), "", True, "-60 dBm"),
        ([("wlan0", 600)], WIFI.format(level=-75), "", True, "-75 dBm"),
        ([("wlan0", 600)], WIFI.format(level=-76), "", False, "-76 dBm"),
        ([("eth0", 700), ("wlan0", 600)], WIFI.format(level=-80), "", False, "-80 dBm"),
        ([("wwan0", 5)], "", MODEM % "57", True, "57 %"),
        ([("wwan0", 5)], "", MODEM % "24", False, "24 %"),
        ([("wwan0", 5)], "", "garbage", True, "wwan0"),
        ([("wwan0", 5)], "", '{"modem": 3}', True, "wwan0"),
        ([("eth0", 5)], "", MODEM % "3", True, "eth0"),
    ],
)
def test_the_signal(ways: list[tuple[str, int]], wireless: str, modem: str, ok: bool, told: str) -> None:
    line = site_test.signal_line(route(*ways), wireless, modem)
    assert (line.ok, bool(line.remedy)) == (ok, not ok)
    assert told in line.detail


@pytest.mark.parametrize(
    ("ahead", "unsure", "ok"), [(0, 0, True), (2, 0, True), (-2.1, 0, False), (5, 3, True), (5.1, 3, False)]
)
def test_the_clock(ahead: float, unsure: float, ok: bool) -> None:
    assert site_test.clock_line(ahead, unsure).ok is ok


def test_acks_and_readings() -> None:
    assert not site_test.ack_line(None, 90).ok
    assert site_test.ack_line(90.0, 90).ok
    assert not site_test.ack_line(90.1, 95).ok
    course = Course("pm", "pm2_5", ((0.0, 1.0),))
    assert site_test.readings_line([course], ["pm"]).ok
    assert "no2" in site_test.readings_line([course], ["pm", "no2"]).detail
    assert not site_test.readings_line([], []).ok
    looks = [(0.0, {"latest": {"pm": {"pm2_5": 3, "pm10": None, "x": True}}}), (1.0, {})]
    assert site_test.courses_of(looks) == (Course("pm", "pm2_5", ((0.0, 3.0),)),)


@pytest.mark.parametrize("told", [None, [], {}, {"lines": 1}, {"lines": [], "courses": [{}]}, "x", 3])
def test_what_is_no_site_test(told: Any) -> None:
    with pytest.raises(WrongInput):
        site_test.from_json(told)


def test_a_lamppost_without_an_agent_is_said_to_be_that(tmp_path: Path) -> None:
    with Lamppost(program=(str(tmp_path / "none"),)) as post, pytest.raises(LamppostUnreachable):
        site_test.carry_out(post, "agent.toml", 1)
    with Lamppost(program=("true",)) as post, pytest.raises(LamppostUnreachable):
        site_test.carry_out(post, "agent.toml", 1)


def test_a_real_agent_passes_and_the_city_has_something_new(
    tmp_path: Path, broker: MosquittoBroker, server: AckingServer, sensor_port: str
) -> None:
    path = write_config(tmp_path, broker.port, broker.device_identity(ADDRESS), sensor_port)
    program = (sys.executable, "-m", "lamppost")
    daemon = subprocess.Popen(
        [*program, "agent", "run", "--config", str(path)], stderr=subprocess.DEVNULL, env=os.environ
    )
    try:
        server.wait_samples(1)
        with Lamppost(program=program) as post:
            found = site_test.carry_out(post, str(path), 2)
    finally:
        daemon.terminate()
        daemon.wait(15)
    assert found.device == str(ADDRESS)
    wrong = [line for line in found.lines if not line.ok and line.name != "signal"]
    assert wrong == [], "this machine may have no way out"
    assert found.first_ack_s is not None
    assert {course.channel for course in found.courses} == {"pm2_5", "pm10"}
    assert site_test.from_json(found.as_json()) == found
    assert Line("readings", True, "2 channels, sensors: 1") in found.lines
