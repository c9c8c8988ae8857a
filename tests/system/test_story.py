"""The demo's story from the planted plume to the report: what happened, by the sensors' ledgers, and what the
city made of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from firmware_bridge.kinds import SPECS, SensorKind

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

SPEED = 180.0  # a story of 88 minutes in half a minute
KINDS = {
    "post-01": "pms5003",
    "post-02": "sds011",
    "post-03": "sps30",
    "post-04": "pms5003t",
    "post-05": "pms5003",
}


def lines(city: Path, post: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (city / post / "ledger.jsonl").read_text().splitlines()]


def slot(post: str, channel: str) -> tuple[int, float]:
    """Where a lamppost's sensor says this, and in which steps."""
    channels = SPECS[SensorKind(KINDS[post])].channels
    index = [each.name for each in channels].index(channel)
    return index, 10.0 ** channels[index].exponent


def test_a_plume_is_one_incident_and_two_faults_are_none(tmp_path: Path) -> None:
    city, report = tmp_path / "city", tmp_path / "report.json"
    options = ("--for", "32s", "--speed", f"{SPEED:g}", "--posts", "5", "--history", "24h", "--no-measure")
    run = subprocess.run(
        [sys.executable, "-m", "lamppost", "demo", "--dir", str(city), "--report", str(report), *options],
        capture_output=True,
        text=True,
        timeout=220,
    )
    assert run.returncode == 0, run.stderr
    told = json.loads(report.read_text())

    plan = json.loads((city / "sensors.json").read_text())
    onset_ms = plan["events"][0]["starts_ms"]
    for post in ("post-01", "post-02", "post-03"):
        index, step = slot(post, "pm2_5")
        after = [line["values"][index] * step for line in lines(city, post) if line["street_ms"] > onset_ms]
        assert max(after) > 90, f"the plume met {post}"
    stuck = next(unit for unit in plan["units"] if unit["name"] == "post-05")["faults"][0]
    vectors = {
        tuple(line["values"])
        for line in lines(city, "post-05")
        if stuck["from_ms"] <= line["street_ms"] < stuck["until_ms"]
    }
    assert len(vectors) == 1
    index, step = slot("post-04", "humidity")
    assert lines(city, "post-04")[-1]["values"][index] * step > 90

    assert (told["lost"], told["duplicated"]) == (0, 0)
    assert (told["incidents"], told["episode_incidents"], told["false_incidents"]) == (1, 1, 0), run.stderr
    assert (told["episode_posts"], told["crossed_posts"], told["stray_posts"]) == (3, 3, 0)
    assert 0 < told["episode_detect_s"] < 1800, "found while the plume was there"
    assert (told["faults_planted"], told["faults_found"], told["false_faults"]) == (2, 2, 0)
    assert "reached  the episode is 1 incident" in run.stderr
    assert "a plume enters at Harbour Street" in run.stderr or "a plume is over" in run.stderr
