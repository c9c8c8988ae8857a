"""A recorded stream is judged by the lamppost's own code; what is no stream is told by its line."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.core.deciding import decide
from edge_agent.core.gathering import Seen
from edge_agent.core.judging import RULE_MANIFEST, by_rule
from edge_agent.core.post import Post, take, window_of
from edge_agent.core.records import UnitIdentity
from edge_agent.errors import ModelMissing, ModelRefused
from edge_agent.io.judge_stream import BadStream, candidate, judged
from firmware_bridge.kinds import SPECS, SensorKind
from models.features.manifest import shipped_directory
from wire_contract.flags import good_word
from wire_contract.messages import Verdict

MINUTE_MS = 60_000
BEGUN_MS = 1_763_640_000_000 // MINUTE_MS * MINUTE_MS
DECLARATION = {
    "type": "declaration",
    "device": "city/lamp-01",
    "unit": 7,
    "kind": "sds011",
    "serial": "A1",
    "site": "",
    "cadence_s": 60.0,
    "channels": [],
}


def sample(minute: int, mass: float) -> dict[str, Any]:
    values = {"pm2_5": mass, "pm10": round(mass * 1.5, 1)}
    return {
        "type": "sample",
        "time": datetime.fromtimestamp(BEGUN_MS / 1000 + minute * 60 + 5, UTC).isoformat(),
        "device": "city/lamp-01",
        "unit": 7,
        "values": values,
        "flags": dict.fromkeys(values, 1),
    }


def plume(minute: int) -> float:
    return round((90.0 if 120 <= minute < 165 else 10.0) + minute * 37 % 23 / 10, 1)


def said(lines: list[dict[str, Any]], model: str = "rule") -> list[dict[str, Any]]:
    return list(judged(map(json.dumps, lines), candidate(model)))


@pytest.mark.parametrize("model", ["rule", "shipped"])
def test_an_episode_is_found_and_is_over(model: str) -> None:
    lines = [DECLARATION, *(sample(minute, plume(minute)) for minute in range(200))]
    who, *verdicts = said(lines, "rule" if model == "rule" else str(shipped_directory()))
    assert who["who"].startswith("rule@" if model == "rule" else "air_anomaly@")
    kinds = [verdict["kind"] for verdict in verdicts]
    assert (kinds[0], kinds[-1]) == ("episode", "episode_over")
    assert {verdict["unit"] for verdict in verdicts} == {7}
    assert 120 <= (verdicts[0]["time_ms"] - BEGUN_MS) / MINUTE_MS <= 132


def test_it_is_what_the_lamppost_itself_decides() -> None:
    """The same samples straight into the core: the same verdicts."""
    post, found = Post(), []
    identity = UnitIdentity("sds011", "A1", "")
    for minute in range(200):
        values = (round(plume(minute) * 10), round(round(plume(minute) * 1.5, 1) * 10))
        time_ms = BEGUN_MS + minute * MINUTE_MS + 5_000
        kind = SensorKind.SDS011
        assert len(SPECS[kind].channels) == len(values)
        post, dues = take(post, Seen(7, "s", kind, time_ms, 60.0, values, good_word((0, 1))), identity)
        for due in dues:
            window = window_of(post, due, RULE_MANIFEST)
            post, told = decide(post, due, None if window is None else by_rule(window))
            found += [
                (each.kind, each.time_ms, round(each.score, 6)) for each in told if isinstance(each, Verdict)
            ]
    lines = [DECLARATION, *(sample(minute, plume(minute)) for minute in range(200))]
    assert [(v["kind"], v["time_ms"], v["score"]) for v in said(lines)[1:]] == found
    assert found


def test_silence_ends_what_lasted_and_a_long_one_costs_little() -> None:
    lines = [DECLARATION, *(sample(minute, plume(minute)) for minute in range(150))]
    lines.append(sample(60 * 24 * 365, 10.0))
    assert [verdict["kind"] for verdict in said(lines)[1:]][-1] == "episode_over"


def test_a_kind_that_no_lamppost_judges_is_left_out() -> None:
    assert len(said([DECLARATION | {"kind": "a_new_one"}, sample(0, 1.0)])) == 1


@given(st.one_of(st.text(), st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps)))
def test_garbage_is_told_by_its_line(line: str) -> None:
    with pytest.raises(BadStream, match="line 2 is not of a replay"):
        list(judged([json.dumps(DECLARATION), line], None))


@pytest.mark.parametrize("change", [{"unit": 8}, {"time": "noon"}, {"values": None}, {"flags": {"pm10": 99}}])
def test_a_sample_that_is_none_is_told(change: dict[str, Any]) -> None:
    with pytest.raises(BadStream, match="line 2"):
        said([DECLARATION, sample(0, 1.0) | change])


def test_a_candidate_that_cannot_be_used_is_refused() -> None:
    with pytest.raises(ModelRefused):
        candidate("/nowhere")


@pytest.mark.parametrize(
    ("not_installed", "runs"),
    [
        ([], "onnx"),
        (["onnxruntime"], "litert"),
        (["ai_edge_litert"], "onnx"),
        (["onnxruntime", "ai_edge_litert"], "pip install onnxruntime or pip install ai-edge-litert"),
    ],
)
def test_a_model_runs_on_what_is_installed(
    not_installed: list[str], runs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in not_installed:
        for module in [each for each in sys.modules if each.partition(".")[0] == package]:
            monkeypatch.delitem(sys.modules, module)
        monkeypatch.setitem(sys.modules, package, None)
    if len(not_installed) == 2:
        with pytest.raises(ModelMissing, match=runs):
            candidate(str(shipped_directory()))
        return
    model = candidate(str(shipped_directory()))
    assert model is not None
    assert model.runner.name == runs
    model.runner.close()
