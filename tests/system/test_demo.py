"""`lamppost demo` as a newcomer runs it: unattended with a report, from a recording, interrupted, killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from demo.api import Api
from demo.layout import TENANT
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

RECORDING = "time,station,PM25,PM10,TEMP\n" + "".join(
    f"2014-01-{1 + hour // 24:02d}T{hour % 24:02d}:00,{station},{20 + hour % 24 + bias},{40 + hour % 24},5\n"
    for station, bias in (("North", 0), ("South", 30))
    for hour in range(96)
)


def demo(*args: str) -> list[str]:
    return [sys.executable, "-m", "lamppost", "demo", *args]


def processes_of(folder: Path) -> list[str]:
    """Live processes that name the city's folder, or work inside it as PostgreSQL's children do."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            inside = str((entry / "cwd").resolve(strict=True)).startswith(str(folder))
        except OSError:
            continue
        if command and (str(folder) in command or inside):
            found.append(f"{entry.name} {command}")
    return found


def test_unattended_run_reports_a_city_that_lost_nothing(tmp_path: Path) -> None:
    city, report = tmp_path / "city", tmp_path / "report.json"
    run = subprocess.run(
        demo("--for", "12s", "--report", str(report), "--dir", str(city), "--history", "12h"),
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert run.returncode == 0, run.stderr
    told = json.loads(report.read_text())
    assert (told["enrolled"], told["lost"], told["duplicated"], told["unspooled"]) == (6, 0, 0, 0)
    assert told["history_stored"] == told["history_expected"] == 6 * 12 * 60
    assert told["spooled"] == told["stored"] > told["history_stored"]
    assert told["live_samples"] >= 6 * 5
    assert told["bytes_per_reading"] <= 1.5
    assert told["agent_pss_mb"] <= 60, "with the model, on LiteRT"
    assert 0 < told["latency_p50_ms"] <= told["latency_p99_ms"]
    assert processes_of(city) == []


def test_a_recording_feeds_the_sensors(tmp_path: Path) -> None:
    recording = tmp_path / "recording.csv"
    recording.write_text(RECORDING)
    city, report = tmp_path / "city", tmp_path / "report.json"
    options = ("--for", "5s", "--report", str(report), "--dir", str(city), "--history", "6h", "--no-measure")
    run = subprocess.run(
        demo(*options, "--posts", "2", "--replay", str(recording), "--station", "South"),
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert run.returncode == 0, run.stderr
    told = json.loads(report.read_text())
    assert (told["enrolled"], told["lost"], told["duplicated"]) == (2, 0, 0)
    first = json.loads((city / "post-02" / "ledger.jsonl").read_text().splitlines()[0])
    assert 40 < first["values"][0] / 10 < 65, "the SDS011 sees South's 50 µg/m³, noise aside"


def test_an_unknown_station_is_named_and_nothing_stays_running(tmp_path: Path) -> None:
    recording = tmp_path / "recording.csv"
    recording.write_text(RECORDING)
    city = tmp_path / "city"
    run = subprocess.run(
        demo("--for", "5s", "--dir", str(city), "--replay", str(recording), "--station", "East"),
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert run.returncode == 2
    assert "East" in run.stderr
    assert "North, South" in run.stderr
    assert processes_of(city) == []


def signs_in_as_any_role(told: str) -> None:
    lines = dict(
        line.split(None, 1) for line in told.splitlines() if line.startswith("  ") and " " in line.strip()
    )
    api = Api(lines["api"].removesuffix("/api/v1"))
    _admin, password = lines["sign"].removeprefix("in").strip().split(" / ")
    for role in lines["or"].removeprefix("as").partition(", with")[0].strip().split(", "):
        api.sign_in(role, password)
        who = api.call("GET", "/api/v1/session")
        assert (who["name"], who["tenant"], who["roles"]) == (role, TENANT, [role])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_stopped_in_any_way_it_leaves_no_process_behind(tmp_path: Path, number: signal.Signals) -> None:
    city, told = tmp_path / "city", tmp_path / "told"
    with told.open("w") as output:
        run = subprocess.Popen(
            demo("--dir", str(city), "--history", "1h", "--posts", "2"), stdout=output, stderr=output
        )
    try:
        if number is signal.SIGTERM:  # in the middle of its start
            wait_until((city / "server" / "serve.json").exists, 60, "a server that starts")
        else:
            wait_until(lambda: len(list(city.glob("*/data/status.json"))) == 2, 120, "two running lampposts")
        if number is signal.SIGINT:
            wait_until(lambda: "  logs  " in told.read_text(), 60, "what there is to be told")
            signs_in_as_any_role(told.read_text())
            assert not (city / "password").exists()
        run.send_signal(number)
        status = run.wait(60)
    finally:
        run.kill()
    assert status == (-signal.SIGKILL if number is signal.SIGKILL else 0)
    wait_until(lambda: not processes_of(city), 30, f"no process of the city after {number.name}")
