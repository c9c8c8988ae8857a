"""What ships: small, whole, the same in both runtimes, and as good as its card says."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import pytest

from models.air_anomaly.__main__ import main
from models.air_anomaly.again import measure_again
from models.air_anomaly.card import BASELINES, CARD_JSON, CARD_MD, MAIN, bars, render
from models.air_anomaly.runtimes import score_litert, score_onnx
from models.features.manifest import MANIFEST_FILE, Manifest, parse_manifest, shipped_directory
from tests.support.shared import need_shared

FOLDER = shipped_directory()
LARGEST_BYTES = 500_000
RUN = {"litert": score_litert, "onnx": score_onnx}
# A sample of the test part: its AUC strays by about this much from the whole's.
SAMPLE_SEGMENTS, SAMPLE_STRAYS = 250, 0.02


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    return parse_manifest((FOLDER / MANIFEST_FILE).read_bytes())


@pytest.fixture(scope="module")
def card() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((FOLDER / CARD_JSON).read_text(encoding="utf-8"))
    return loaded


def test_it_is_small() -> None:
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < LARGEST_BYTES


def test_every_file_is_the_one_of_the_manifest(manifest: Manifest) -> None:
    for entry in manifest.files.values():
        assert hashlib.sha256((FOLDER / entry.file).read_bytes()).hexdigest() == entry.sha256


@pytest.mark.parametrize("runtime", ["litert", "onnx"])
def test_the_golden_vector_comes_out(manifest: Manifest, runtime: str) -> None:
    window = np.array(manifest.golden.input, dtype=np.float32).reshape(1, manifest.steps, -1)
    answer = RUN[runtime]((FOLDER / manifest.files[runtime].file).read_bytes(), window)[0]
    assert answer.dtype == np.float32
    assert manifest.golden.agrees(runtime, tuple(float(v) for v in answer))


@pytest.mark.parametrize("runtime", ["litert", "onnx"])
def test_the_golden_vector_tells_another_window(manifest: Manifest, runtime: str) -> None:
    """A runtime that answers the same to everything would be found out."""
    other = np.zeros((1, manifest.steps, len(manifest.channels)), dtype=np.float32)
    answer = RUN[runtime]((FOLDER / manifest.files[runtime].file).read_bytes(), other)[0]
    assert not manifest.golden.agrees(runtime, tuple(float(v) for v in answer))


def test_the_card_is_written_of_its_json_alone(card: dict[str, Any]) -> None:
    assert (FOLDER / CARD_MD).read_text(encoding="utf-8") == render(card)


def test_the_cards_bars_follow_from_its_tables(card: dict[str, Any]) -> None:
    assert card["bars"] == bars(card)
    for bar in card["bars"]:
        assert bar["holds"], bar


def test_the_card_is_of_this_artefact(card: dict[str, Any], manifest: Manifest) -> None:
    assert (card["model"], card["version"]) == (manifest.name, manifest.version)
    assert card["trained"] == dict(manifest.trained)
    assert card["thresholds"] == {
        "open": manifest.thresholds.open,
        "close": manifest.thresholds.close,
        "confident": manifest.thresholds.confident,
        "min_coverage": manifest.thresholds.min_coverage,
    }
    assert {MAIN, "rule", *BASELINES} <= set(card["windows"])


def test_the_card_keeps_the_split(card: dict[str, Any]) -> None:
    parts = [set(names) for names in card["split"]["stations"].values()]
    assert all(parts)
    assert not parts[0] & parts[1] | parts[0] & parts[2] | parts[1] & parts[2]


def test_a_sample_measured_again_is_as_the_card_says(card: dict[str, Any]) -> None:
    data = need_shared("beijing/hourly.parquet").parents[1]
    table = measure_again(FOLDER, data, SAMPLE_SEGMENTS, lambda _: None)
    for name, row in table.items():
        if name in (MAIN, "model, int8 ONNX"):
            assert row["auc"] == pytest.approx(card["windows"][name]["auc"], abs=SAMPLE_STRAYS)
    best = max(table[name]["recall_at_1pct_fpr"] for name in ("z-score", "seasonal residual"))
    assert table[MAIN]["recall_at_1pct_fpr"] > 2 * best


def test_the_command_says_what_is_missing(capsys: pytest.CaptureFixture[str], tmp_path: object) -> None:
    assert main(["evaluate", "--data", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "--data" in said


def test_the_command_says_where_training_lives(capsys: pytest.CaptureFixture[str]) -> None:
    data = str(need_shared("beijing/hourly.parquet").parents[1])
    pytest.importorskip("pyarrow")
    try:
        import torch  # noqa: F401
    except ModuleNotFoundError:
        pass
    else:
        pytest.skip("torch is here")
    assert main(["build", "--quick", "--data", data, "--out", "/nonexistent"]) == 2
    assert "make models" in capsys.readouterr().err
