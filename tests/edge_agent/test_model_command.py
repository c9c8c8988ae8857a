"""`lamppost agent model` and the doctor's line: what decides, and what to do where no model can."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge_agent import cli
from edge_agent.doctor import examine
from tests.edge_agent.test_cli import write_config
from wire_contract.verdict_kinds import RULE


def config(folder: Path, model: str) -> str:
    path = write_config(folder, 1, None, "/dev/not-there")
    path.write_text(path.read_text() + f"[model]\n{model}\n")
    return str(path)


@pytest.mark.parametrize("runtime", ["litert", "onnx"])
def test_it_names_model_runtime_and_golden_vector(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], runtime: str
) -> None:
    path = config(tmp_path, f'runtime = "{runtime}"')
    assert cli.main(["model", "--config", path, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["ok"] is told["golden"] is True
    assert told["decides"].startswith("air_anomaly@")
    assert told["decides"].endswith(f"/{runtime}")
    assert "numpy" in told["runtime"]
    assert cli.main(["model", "--config", path]) == 0
    assert "golden    right" in capsys.readouterr().out


def test_a_broken_model_is_a_problem_with_a_remedy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "manifest.json").write_text("{}")
    path = config(tmp_path, f'directory = "{tmp_path}/model"')
    assert cli.main(["model", "--config", path]) == cli.PROBLEM
    shown = capsys.readouterr().out
    assert f"decides   {RULE}" in shown
    assert "model_refused: " in shown
    assert "-> " in shown
    (check,) = [each for each in examine(Path(path)) if each.name == "model"]
    assert not check.ok
    assert check.remedy


def test_the_rule_by_configuration_is_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = config(tmp_path, 'runtime = "rule"')
    assert cli.main(["model", "--config", path]) == 0
    assert RULE in capsys.readouterr().out
    assert [each.ok for each in examine(Path(path)) if each.name == "model"] == [True]


def test_another_runtime_is_a_wrong_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["model", "--config", config(tmp_path, 'runtime = "tflite"')]) == cli.WRONG_INPUT
    assert "one of litert, onnx, rule" in capsys.readouterr().err
