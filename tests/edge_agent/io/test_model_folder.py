"""A model's folder with everything that can be wrong with it: each is refused with a reason and a remedy."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import os
import shutil
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_agent.errors import ModelMissing, ModelRefused
from edge_agent.io import model_folder
from edge_agent.io.model_folder import load_model, model_directory
from edge_agent.ports import Model, ModelShape, Runner
from tests.support.fakes_edge import FakeRunner

RUNTIMES = ("litert", "onnx")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the model that ships."""
    return Path(shutil.copytree(model_directory(""), tmp_path / "model"))


def manifest(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "manifest.json").read_text()))


def rewrite(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    told = manifest(folder)
    change(told)
    (folder / "manifest.json").write_text(json.dumps(told))


def refused(folder: Path, runtime: str = "litert") -> ModelRefused:
    with pytest.raises(ModelRefused) as error:
        load_model(folder, runtime)
    assert error.value.detail
    assert error.value.remedy or error.value.code == "model_refused"
    return error.value


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_model_that_ships_passes_every_check(runtime: str) -> None:
    model = load_model(model_directory(""), runtime)
    assert model.title == f"{model.manifest.title}/{runtime}"
    model.runner.close()


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("share", [0.0, 0.3, 0.999])
def test_a_truncated_file_is_not_the_one_described(folder: Path, runtime: str, share: float) -> None:
    file = folder / manifest(folder)["files"][runtime]["file"]
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])
    assert "not the file that the manifest describes" in refused(folder, runtime).detail


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_truncated_file_with_its_own_hash_is_no_model(folder: Path, runtime: str, share: float) -> None:
    file = folder / manifest(folder)["files"][runtime]["file"]
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * share)])
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    rewrite(folder, lambda told: told["files"][runtime].update(sha256=digest))
    assert refused(folder, runtime).code == "model_refused"


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("another contract", lambda told: told.update(contract=2)),
        ("no contract", lambda told: told.pop("contract")),
        ("other channels", lambda told: told["window"]["channels"].reverse()),
        ("other steps", lambda told: told["window"].update(steps=30)),
        ("no thresholds", lambda told: told.pop("thresholds")),
        ("a threshold that is no number", lambda told: told["thresholds"].update(open=math.nan)),
        ("close above open", lambda told: told["thresholds"].update(close=1.0, open=0.5)),
        ("a path out of the folder", lambda told: told["files"]["litert"].update(file="../model.tflite")),
        ("a hash that is none", lambda told: told["files"]["litert"].update(sha256="abc")),
        ("another hash", lambda told: told["files"]["litert"].update(sha256="0" * 64)),
        ("no golden vector", lambda told: told.pop("golden")),
        ("a golden vector too short", lambda told: told["golden"].update(input="AAAA")),
        ("no golden answer for this runtime", lambda told: told["golden"]["output"].pop("litert")),
        ("not there for this runtime", lambda told: told["files"].pop("litert")),
        ("the outputs in another order", lambda told: told["outputs"].reverse()),
        ("a list instead of an object", lambda told: told.update(files=[])),
    ],
)
def test_a_manifest_that_is_wrong_is_refused(
    folder: Path, what: str, change: Callable[[dict[str, Any]], object]
) -> None:
    rewrite(folder, change)
    assert refused(folder).code == "model_refused", what


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_model_that_fails_its_golden_vector_is_refused(folder: Path, runtime: str) -> None:
    def other(told: dict[str, Any]) -> None:
        answer = told["golden"]["output"][runtime]
        answer[0] = 0.0 if answer[0] > 0.5 else 1.0

    rewrite(folder, other)
    error = refused(folder, runtime)
    assert "golden vector" in error.detail
    assert "off by" in error.detail
    assert error.remedy


def test_a_golden_window_that_is_not_finite_is_refused(folder: Path) -> None:
    count = len(base64.b64decode(manifest(folder)["golden"]["input"])) // 4
    text = base64.b64encode(array("f", [math.nan] * count).tobytes()).decode()
    rewrite(folder, lambda told: told["golden"].update(input=text))
    refused(folder)


@pytest.mark.parametrize("answer", [(math.nan,) * 4, (math.inf, 0.0, 0.0, 0.0), (0.5,), ()])
def test_a_runtime_that_gives_no_numbers_is_refused_and_closed(
    folder: Path, answer: tuple[float, ...]
) -> None:
    made: list[FakeRunner] = []

    class Careless(FakeRunner):
        def load(self, model: bytes, shape: ModelShape) -> None:
            super().load(self.model(shape), shape)
            made.append(self)

    with pytest.raises(ModelRefused, match="golden vector"):
        load_model(folder, "litert", {"litert": lambda: Careless(answer)})
    assert made[0].closed


def test_without_a_manifest_or_a_model_it_is_missing(folder: Path, tmp_path: Path) -> None:
    (folder / "model.tflite").unlink()
    assert isinstance(refused(folder), ModelMissing)
    assert isinstance(refused(tmp_path / "nowhere"), ModelMissing)


def test_what_is_too_large_is_not_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (folder / "model.tflite").open("ab") as file:
        file.truncate(model_folder.LARGEST_MODEL_BYTES + 1)
    assert "larger than" in refused(folder).detail
    with (folder / "manifest.json").open("ab") as file:
        file.truncate(1 << 30)
    assert "larger than" in refused(folder).detail


def test_a_folder_in_the_place_of_a_file_is_refused(folder: Path) -> None:
    (folder / "model.tflite").unlink()
    (folder / "model.tflite").mkdir()
    assert "cannot be read" in refused(folder).detail


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", ["manifest.json", "model.tflite"])
def test_a_pipe_in_the_place_of_a_file_is_refused_and_not_waited_for(folder: Path, name: str) -> None:
    (folder / name).unlink()
    os.mkfifo(folder / name)
    refused(folder)


def test_a_link_to_what_never_ends_is_refused(folder: Path) -> None:
    (folder / "model.tflite").unlink()
    (folder / "model.tflite").symlink_to("/dev/zero")
    assert "larger than" in refused(folder).detail


def test_one_flipped_bit_anywhere_is_noticed(folder: Path) -> None:
    file = folder / "model.tflite"
    content = bytearray(file.read_bytes())
    for at in range(0, len(content), len(content) // 20):
        content[at] ^= 1
        file.write_bytes(content)
        refused(folder)
        content[at] ^= 1


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.binary(max_size=300), st.recursive(st.none(), lambda x: st.lists(x)).map(json.dumps)))
def test_any_bytes_for_a_manifest_are_refused(tmp_path: Path, content: bytes | str) -> None:
    raw = content.encode() if isinstance(content, str) else content
    (tmp_path / "manifest.json").write_bytes(raw)
    with pytest.raises(ModelRefused):
        load_model(tmp_path, "litert")


def test_the_fake_is_a_runner(folder: Path) -> None:
    runner: Runner = FakeRunner()
    model = Model(load_model(folder, "litert").manifest, runner)
    assert model.title.endswith("/litert")
