"""The site test: each thing it decides, and one with the real agent, broker and acknowledgements."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from provisioning.technician import cli, site_test
from provisioning.technician.errors import LamppostUnreachable, WrongInput
from provisioning.technician.lamppost import Lamppost
from provisioning.technician.picture import Course
from provisioning.technician.site_test import Line, carry_out
from provisioning.technician.workshop import to_terminal
from tests.edge_agent.making import ADDRESS
from tests.edge_agent.test_cli import sensor_port, server, write_config
from tests.support.acking_server import AckingServer
from tests.support.mosquitto import MosquittoBroker

__all__ = ["sensor_port", "server"]


@pytest.mark.parametrize(
    ("ahead", "unsure", "ok"), [(0, 0, True), (2, 0, True), (-2.1, 0, False), (5, 3, True), (5.1, 3, False)]
)
def test_the_clock(ahead: float, unsure: float, ok: bool) -> None:
    assert site_test.clock_line(ahead, unsure).ok is ok


def test_the_signal_is_the_lampposts_own_word() -> None:
    weak = Line("signal", False, "mobile wwan0: 24 % UMTS, too weak", "Move the antenna")
    assert site_test.with_signal([weak]) == [weak]
    (line,) = site_test.with_signal([])
    assert (line.ok, line.verdict) == (True, "-"), "an older agent says nothing of it"


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
        daemon.wait(30)
    assert found.device == str(ADDRESS)
    wrong = [line for line in found.lines if not line.ok and line.name != "signal"]
    assert wrong == [], "this machine may have no way out"
    assert found.first_ack_s is not None
    assert {course.channel for course in found.courses} == {"pm2_5", "pm10"}
    assert site_test.from_json(found.as_json()) == found
    assert Line("readings", True, "2 channels, sensors: 1") in found.lines
    assert [line.name for line in found.lines].count("signal") == 1


WELL: dict[str, Any] = {
    "doctor": [{"name": "sensor pm", "ok": True, "detail": ""}],
    "spool": {"classes": {"live": {"acked_samples": 1}}},
    "status": {"tenant": "city", "device": "lamp-07", "version": "1", "latest": {"pm": {"pm2_5": 3}}},
}


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ("doctor", [5]),
        ("doctor", [{"name": "x"}]),
        ("doctor", [{"name": 5, "ok": True, "detail": ""}]),
        ("doctor", [{"name": "x", "ok": True, "detail": None}]),
        ("spool", {}),
        ("spool", {"classes": []}),
        ("spool", {"classes": {"live": {}}}),
        ("spool", {"classes": {"live": {"acked_samples": "many"}}}),
        ("status", {}),
        ("status", WELL["status"] | {"latest": [5]}),
        ("status", WELL["status"] | {"latest": {"pm": 5}}),
    ],
)
def test_what_another_version_or_a_stranger_answers_is_said_in_a_line(asked: str, answer: Any) -> None:
    class Post(Lamppost):
        def agent(self, *arguments: str) -> Any:
            return (WELL | {asked: answer})[arguments[0]]

    with Post() as post, pytest.raises(LamppostUnreachable, match="not understood"):
        carry_out(post, "agent.toml", 0.01, 0.01, sleep=lambda _: None)


@pytest.mark.parametrize(("well", "heard"), [(True, True), (False, False)])
def test_a_sensor_that_is_well_is_waited_for_though_something_is_acked(well: bool, heard: bool) -> None:
    """Its status is written each few seconds, perhaps after the first ack. A broken one is not waited for."""

    class Post(Lamppost):
        asked = 0

        def agent(self, *arguments: str) -> Any:
            self.asked += arguments[0] == "status"
            late = {"latest": {"pm": {"pm2_5": 3}} if self.asked > 2 else {}}
            told = WELL | {
                "doctor": [{"name": "sensor pm", "ok": well, "detail": ""}],
                "spool": {"classes": {"live": {"acked_samples": self.asked}}},
                "status": WELL["status"] | late,
            }
            return told[arguments[0]]

    with Post() as post:
        found = carry_out(post, "agent.toml", 0.0, 60.0, sleep=lambda _: None)
    assert found.first_ack_s is not None
    assert [line.ok for line in found.lines if line.name == "readings"] == [heard]


def test_nothing_that_a_stranger_says_commands_the_technicians_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = "\x1b[2Jup\x9b1mdate\r\u202e\nok      readings"
    lines = [{"ok": False, "what": said, "detail": said, "remedy": said}, {"by": said}]
    told = cli.shown({"lines": lines, "by": said, "more": {said: said}})
    assert told.count("\n") == 4, "a line is a line"
    cli._failed(argparse.Namespace(json=False, command="test"), WrongInput(said, said), 1)
    to_terminal(said)
    for shown in (told, *capsys.readouterr().err.splitlines()):
        assert shown.replace("\n", "").isprintable()
