"""A short run of the suite itself: a real city, a fixed seed, every part killed in history and again in live.

By hand, and longer: `make chaos ARGS="--minutes 30"` (docs/chaos.md).
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.chaos.faults import Kind
from tests.chaos.plan import IN_THE_DRAIN

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]

# Chosen among forty thousand: all of these kinds, live, within forty seconds of faults.
SEED, MINUTES = 14058, 0.6
PROCESSES = "agent-kill,ingest-kill,broker-wipe,database-kill,database-backend,upkeep-kill"
SURROUNDINGS = "net-throttle,net-cut,net-reset,packet-loss,disk-full,clock-back,race"
ENDS_S = 840.0  # it takes a minute and a half; the rest is a machine that does ten other things


def test_nothing_is_lost_doubled_or_altered(tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    arguments = ["--seed", str(SEED), "--minutes", str(MINUTES), "--only", f"{PROCESSES},{SURROUNDINGS}"]
    ran = subprocess.run(
        [sys.executable, "-m", "tests.chaos", *arguments, "--report", str(file)],
        capture_output=True,
        text=True,
        timeout=ENDS_S,
        check=False,
    )
    assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr}"
    report = json.loads(file.read_text())
    assert report["kept"]
    struck = Counter((done["fault"]["kind"], done["fault"]["act"] == 0) for done in report["faults"])
    for kind in IN_THE_DRAIN:
        assert struck[kind, True], f"no {kind} in the middle of history"
        assert struck[kind, False], f"no {kind} in the middle of live"
    in_history = [done for done in report["faults"] if done["fault"]["act"] == 0]
    assert all(done["waiting"] for done in in_history if done["fault"]["kind"] in IN_THE_DRAIN), ran.stdout
    assert report["duplicates_refused"] > 0, "no batch came twice: the race was none"
    bitten = Counter[str]()
    for counts in report["lines"].values():
        bitten.update(counts)
    assert bitten["cuts"]
    assert bitten["resets"]
    assert bitten["lost"] or struck[Kind.PACKET_LOSS, False] == 0, "no packet was lost"
    assert all(account["produced"] > account["excused"] * 10 for account in report["lampposts"])
