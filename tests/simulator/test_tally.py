"""Counts of several processes as one, and what is said of them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.report import lines, report, write_ledger
from simulator.settings import Settings, Where
from simulator.tally import STEP, Latency, Tally, total


@given(st.lists(st.floats(1e-5, 1e4), min_size=1), st.floats(0.01, 1.0))
def test_a_percentile_is_at_most_one_bucket_too_high(seconds: list[float], share: float) -> None:
    latency = Latency()
    for each in seconds:
        latency.add(each)
    ordered = sorted(seconds)
    exact_ms = 1000 * next(s for i, s in enumerate(ordered, start=1) if i >= share * len(ordered))
    told_ms = latency.percentile_ms(share)
    assert told_ms is not None
    assert exact_ms * 0.999 - 0.06 <= told_ms <= max(exact_ms, 0.01) * STEP * 1.001 + 0.06


def test_no_latency_of_nothing() -> None:
    assert Latency().percentile_ms(0.5) is None


def test_processes_add_up_and_survive_json() -> None:
    one = Tally(lampposts=2, connected=1, taken=10, acked=9, behind_s=0.5, handshakes=Counter({7: 2}))
    one.latency.add(0.01)
    two = Tally(lampposts=3, connected=3, taken=1, acked=1, behind_s=1.5, handshakes=Counter({7: 1, 8: 1}))
    two.latency.add(0.01)
    both = total([Tally.heard(json.loads(json.dumps(each.told()))) for each in (one, two)])
    assert (both.lampposts, both.connected, both.taken, both.acked, both.behind_s) == (5, 4, 11, 10, 1.5)
    assert both.handshakes == Counter({7: 3, 8: 1})
    assert both.latency.buckets.total() == 2


def outcome(name: str, samples: int, acked: int, waiting: int = 0, shed: int = 0) -> dict[str, Any]:
    return {
        "name": name, "epoch": "00", "samples": samples, "times_ms": 1, "values": 2,
        "left": 0, "acked": acked, "shed": shed, "waiting": waiting,
    }  # fmt: skip


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(2, tmp_path, Where("127.0.0.1", 1, tmp_path, "city"))


def test_a_report_says_that_all_is_acked(settings: Settings, tmp_path: Path) -> None:
    outcomes = [outcome("sim-00001", 5, 5), outcome("sim-00002", 6, 6)]
    made = report(settings, Tally(sent_messages=11), outcomes, 12.3)
    told = json.loads(made.text)
    assert (told["taken"], told["acked"], told["lost"], told["complete"]) == (11, 11, 0, True)
    assert told["latency_ms"] == {"p50": None, "p95": None, "p99": None, "most": None}
    assert lines(made, outcomes)[-1] == "everything that was spooled is acked"
    write_ledger(tmp_path / "ledger.jsonl", outcomes)
    kept = [json.loads(line) for line in (tmp_path / "ledger.jsonl").read_text().splitlines()]
    assert kept[1] == {
        "name": "sim-00002", "epoch": "00", "samples": 6, "times_ms": 1, "values": 2, "acked": 6,
    }  # fmt: skip


def test_a_report_names_what_is_not_acked(settings: Settings) -> None:
    outcomes = [outcome("sim-00001", 5, 3, waiting=1), outcome("sim-00002", 6, 5, shed=1)]
    made = report(settings, Tally(), outcomes, 1.0)
    assert (made.waiting, made.shed, made.lost, made.complete, made.troubled) == (1, 1, 1, False, 2)
    said = lines(made, outcomes)
    assert "NOT everything is acked, at 2 lampposts" in said
    assert any("sim-00002: 6 spooled, 5 acked, 0 waiting, 1 shed" in line for line in said)


def test_a_lamppost_that_told_no_outcome_is_trouble(settings: Settings) -> None:
    assert report(settings, Tally(), [outcome("sim-00001", 5, 5)], 1.0).troubled == 1
