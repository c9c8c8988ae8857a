"""docs/technician.md from its first command to its last: a real server, a real lamppost behind a real sshd.

A lamppost is set up, tested and handed over; then its sensor unit is replaced, then its computer. The site's
history stays one: the same series goes on, and a unit's calibration stays its own.
"""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

import lamppost
from provisioning.technician.home import HOME_VARIABLE
from tests.provisioning.technician.sshd import Sshd, sshd
from tests.provisioning.technician.test_photos import JPEG
from tests.support.serve import PASSWORD, Serve
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

HOST = "lamp-07.local"
Said = pytest.CaptureFixture[str]
DEVICE = "/api/v1/devices/city/lamp-07"
SOON_S = 60.0


class Day:
    """What the technician has at hand: a folder of their own, and what the desk sees."""

    def __init__(self, serve: Serve, folder: Path, post: Sshd, sensor: str, said: Said) -> None:
        self.serve, self.folder, self.post, self.sensor, self._said = serve, folder, post, sensor, said
        self.desk = httpx.Client(base_url=serve.api, timeout=60)

    def typed(self, *arguments: str, given: str = "", status: int = 0) -> Any:
        """`lamppost ARGUMENTS --json`, and what it said."""
        self._said.readouterr()
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("sys.stdin", io.StringIO(given))
            ended = lamppost.main([*arguments, "--json"])
        said = self._said.readouterr()
        if ended != status:  # whole: pytest would cut it short
            pytest.fail(f"{arguments} ended with {ended}: {said.out}{said.err}", pytrace=False)
        return json.loads(said.out)

    def provision(self, *arguments: str, given: str = "", status: int = 0) -> Any:
        return self.typed("provision", *arguments, given=given, status=status)

    def fleet(self, *arguments: str) -> Any:
        return self.typed("fleet", *arguments, "--config", str(self.serve.file))

    def ask(self, path: str, **query: Any) -> Any:
        answer = self.desk.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def pending(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask("/api/v1/enrolments", state="pending")
        return found

    @property
    def units(self) -> dict[str, dict[str, Any]]:
        """By serial number."""
        return {each["serial"]: each for each in self.ask(f"{DEVICE}/sensors")}

    def series(self, serial: str) -> int:
        found = next(each for each in self.units[serial]["series"] if each["channel"] == "pm2_5")
        return int(found["id"])

    def samples(self, serial: str) -> int:
        return len(self.ask(f"/api/v1/telemetry/series/{self.series(serial)}", resolution="raw")["points"])

    def installed(self, name: str) -> Path:
        """Runs the bundle's install.sh there and accepts who asks, as two people do; the configuration."""
        etc = self.post.there / name
        bundle = self.post.there / "lamppost-bundle"
        own = bundle / "agent.toml"  # a computer of a test has no /etc and /var/lib of its own, and no minute
        text = own.read_text().replace("/etc/lamppost/", f"{etc}/").replace("every_s = 60", "every_s = 1")
        text = text.replace("[device]\n", f'[device]\ndata_dir = "{etc}/data"\n')
        own.write_text(text + '[telemetry]\nflush_interval_s = 1\n[model]\nruntime = "rule"\n')
        script = f"cd lamppost-bundle && LAMPPOST_ETC={etc} sh install.sh"
        ssh = subprocess.Popen(["ssh", HOST, script], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        wait_until(lambda: ssh.poll() is not None or self.pending(), SOON_S, "who asks")
        assert ssh.poll() is None, ssh.communicate()[0]
        (asks,) = self.pending()
        self.fleet("enrolments", "accept", str(asks["id"]), "--fingerprint", asks["key_fingerprint"])
        said = ssh.communicate(timeout=SOON_S)[0].decode()
        assert ssh.returncode == 0, said
        assert asks["key_fingerprint"] in re.sub(r"\s", "", said), "the same eight groups at the post"
        assert not own.exists(), "the claim does not stay behind"
        return etc / "agent.toml"

    @contextmanager
    def running(self, config: Path) -> Iterator[None]:
        command = [sys.executable, "-m", "lamppost", "agent", "run", "--config", str(config)]
        with (self.folder / "agent.log").open("ab") as log:
            agent = subprocess.Popen(command, stderr=log)
        try:
            yield
        finally:
            agent.send_signal(signal.SIGTERM)
            agent.wait(60)


@pytest.fixture
def day(
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Said,
) -> Iterator[Day]:
    serve = Serve(tmp_path, database=database_url)
    there = tmp_path / "there"
    there.mkdir()
    serve.start()
    sensor = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "lamppost",
            "sensors",
            "emulate",
            "--kind",
            "pms5003",
            "--link",
            tmp_path / "pm",
        ],
        stdout=subprocess.DEVNULL,
    )
    try:
        with sshd(tmp_path / "ssh", there) as post:
            monkeypatch.setenv("PATH", f"{post.folder / 'client'}:{os.environ['PATH']}")
            monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
            program = post.folder / "bin" / "lamppost"
            unit = '[ "$2" = install ] && exit 0\n'  # no systemd for a test: the agent is started by hand
            program.write_text(program.read_text().replace("\n", f"\n{unit}", 1))
            (post.folder / "bin" / "id").write_text("#!/bin/sh\necho 0\n")
            (post.folder / "bin" / "id").chmod(0o755)
            serve.wait_ready()
            wait_until((tmp_path / "pm").exists, SOON_S, "the emulated sensor")
            made = Day(serve, tmp_path, post, str((tmp_path / "pm").resolve()), capsys)
            yield made
            made.desk.close()
        assert serve.stop() == 0
    finally:
        sensor.terminate()
        sensor.wait(30)
        serve.kill_all()


def set_up(day: Day) -> None:
    password = day.folder / "password"
    password.write_text(f"{PASSWORD}\n")
    day.fleet("operators", "add", "ana", "--role", "technician", "--password-file", str(password))
    told = day.provision("sign-in", "--server", day.serve.api, "--name", "ana", given=f"{PASSWORD}\n")
    assert told["signed_in_as"] == "ana"
    answer = day.desk.post("/api/v1/session", json={"name": "ana", "password": PASSWORD})
    day.desk.headers["Authorization"] = f"Bearer {answer.json()['token']}"


def until(day: Day, more: Callable[[], bool], what: str) -> None:
    wait_until(more, SOON_S, f"{what}; {(day.folder / 'agent.log').read_text()[-2000:]}")


def test_from_an_empty_card_to_another_computer(day: Day) -> None:
    set_up(day)
    sensor, photo, out = f"pm:pms5003:{day.sensor}", day.folder / "front.jpg", str(day.folder / "r.html")
    photo.write_bytes(JPEG)
    where = ("--ssh", HOST, "--has-clock")
    place = ("--site", "Market Square 3", "--at", "41.1496,-8.6109", "--district", "Harbour")
    told = day.provision("bundle", "lamp-07", *place, "--sensor", sensor, *where)
    label = day.provision(
        "label", told["claim"], "--device", "lamp-07", "--out", str(day.folder / "label.svg")
    )
    assert label["url"].endswith(f"/c/{told['claim']}")
    first = day.installed("first")
    reached = ("--ssh", HOST, "--config", str(first))
    with day.running(first):
        tested = day.provision("test", *reached, "--seconds", "1", "--ack-within", "60")
        assert tested["passed"], tested
        handed = ("--technician", "Ana Reis", "--received-by", "Rui Melo", "--height", "3.2")
        told = day.provision("handover", "lamp-07", *handed, "--photo", str(photo), "--out", out)
        assert (told["state"], told["passed"]) == ("sent", True)
        key = day.provision("key")["key"]
        assert day.provision("verify-report", out, "--fingerprint", key)["site_test"] == "passed"
        day.provision("calibrate", "lamp-07", "--slope", "0.5", "--source", "beside station 4")
        serial = ("--sensor", "pm", "--new-serial", "2F81")
        day.provision("replace", "unit", "lamp-07", *serial, *reached)
        early = day.provision("calibrate", "lamp-07", "--slope", "0.9", status=1)
        assert "2F81 has not told of itself" in early["refused"]
    with day.running(first):
        until(day, lambda: "2F81" in day.units and day.samples("2F81") > 0, "the new unit's samples")
        assert day.provision("sync", "--retry", early["work"])["sent"] == 1
        before, old = day.samples("2F81"), day.samples("")
    entries = {each["sensor_unit"]: each["slope"] for each in day.ask(f"{DEVICE}/calibrations")}
    assert entries == {day.units[""]["id"]: 0.5, day.units["2F81"]["id"]: 0.9}, "each its own"
    series = day.series("2F81")
    day.provision("replace", "device", "lamp-07", "--reason", "drowned", *place, "--sensor", sensor, *where)
    second = day.installed("second")
    with day.running(second):
        until(day, lambda: day.samples("2F81") > before, "samples of the new computer")
    assert day.series("2F81") == series, "one series of the site, of two computers"
    assert day.samples("") == old
    points = day.ask(f"/api/v1/telemetry/series/{series}", resolution="raw")["points"]
    times = [datetime.fromisoformat(each["time"]) for each in points]
    assert times == sorted(set(times))
    done = [each["what"] for each in day.provision("history", "lamp-07")["history"]]
    assert sorted(done) == ["calibrate", "calibrate", "handover", "place", "replace-device", "replace-unit"]
    revoked = [bool(each["revoked"]) for each in day.fleet("certificates", "list", "lamp-07")]
    assert sorted(revoked) == [False, True], "the drowned one is out"
