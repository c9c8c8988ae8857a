"""One suite over both runtimes and the fake: the same contract, the same refusals."""

from __future__ import annotations

import subprocess
import sys
from array import array
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_agent.errors import ModelMissing, ModelRefused
from edge_agent.io import litert_runner, onnx_runner
from edge_agent.io.litert_runner import LitertRunner
from edge_agent.io.model_folder import model_directory, read_manifest
from edge_agent.io.onnx_runner import OnnxRunner
from edge_agent.ports import ModelShape, Runner
from models.features.manifest import Manifest
from tests.support.fakes_edge import FakeRunner

RUNNERS: dict[str, Callable[[], Runner]] = {"litert": LitertRunner, "onnx": OnnxRunner, "fake": FakeRunner}
MANIFEST = read_manifest(model_directory(""))
SHAPE = ModelShape(MANIFEST.steps, len(MANIFEST.channels), len(MANIFEST.outputs))


def model_of(name: str) -> bytes:
    if name == "fake":
        return FakeRunner.model(SHAPE)
    return (model_directory("") / MANIFEST.files[name].file).read_bytes()


@pytest.fixture(params=list(RUNNERS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def runner(name: str) -> Runner:
    return RUNNERS[name]()


def test_it_scores_a_window(name: str, runner: Runner) -> None:
    runner.load(model_of(name), SHAPE)
    told = runner.score(MANIFEST.golden.input)
    assert len(told) == SHAPE.outputs
    assert all(isinstance(each, float) and 0.0 <= each <= 1.0 for each in told)
    assert runner.score(MANIFEST.golden.input) == told, "the same window, the same answer"
    if name != "fake":
        assert MANIFEST.golden.agrees(name, told)
    assert runner.version()


def test_the_window_is_not_changed(name: str, runner: Runner) -> None:
    runner.load(model_of(name), SHAPE)
    window = array("f", MANIFEST.golden.input)
    runner.score(window)
    assert window == MANIFEST.golden.input


@pytest.mark.parametrize(
    "garbage",
    [b"", b"\0", b"\0" * 4096, b"TFL3" * 1000, b"not a model at all", bytes(range(256)) * 40],
    ids=["empty", "one byte", "zeros", "a magic word", "words", "bytes"],
)
def test_garbage_is_refused(runner: Runner, garbage: bytes) -> None:
    with pytest.raises(ModelRefused) as refused:
        runner.load(garbage, SHAPE)
    assert not isinstance(refused.value, ModelMissing)
    assert "\n" not in refused.value.detail


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_a_truncated_model_is_refused_or_of_another_shape(name: str, runner: Runner, share: float) -> None:
    whole = model_of(name)
    with pytest.raises(ModelRefused):
        runner.load(whole[: int(len(whole) * share)], SHAPE)


@pytest.mark.parametrize(
    "shape",
    [
        ModelShape(SHAPE.steps + 1, SHAPE.channels, SHAPE.outputs),
        ModelShape(SHAPE.steps, SHAPE.channels - 1, SHAPE.outputs),
        ModelShape(SHAPE.steps, SHAPE.channels, SHAPE.outputs + 1),
    ],
)
def test_another_shape_is_refused(name: str, runner: Runner, shape: ModelShape) -> None:
    with pytest.raises(ModelRefused):
        runner.load(model_of(name), shape)


@pytest.mark.parametrize("values", [0, 1, 10_000])
def test_a_window_of_another_length_is_refused(name: str, runner: Runner, values: int) -> None:
    runner.load(model_of(name), SHAPE)
    with pytest.raises(ModelRefused):
        runner.score(array("f", [0.0] * values))


def test_closing_twice_is_well(name: str, runner: Runner) -> None:
    runner.load(model_of(name), SHAPE)
    runner.close()
    runner.close()


@pytest.mark.parametrize(
    ("make", "package"),
    [(LitertRunner, "ai_edge_litert"), (OnnxRunner, "onnxruntime"), (OnnxRunner, "numpy")],
)
def test_a_runtime_that_is_not_installed_is_missing(
    make: Callable[[], Runner], package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in [each for each in sys.modules if each.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ModelMissing) as missing:
        make().load(b"", SHAPE)
    assert missing.value.code == "model_missing"
    assert "pip install" in missing.value.remedy


@pytest.mark.parametrize(("make", "package"), [(LitertRunner, "ai_edge_litert"), (OnnxRunner, "onnxruntime")])
@pytest.mark.parametrize(
    "error", ['RuntimeError("built for another processor")', 'ValueError("numpy.dtype size changed")']
)
def test_a_runtime_that_does_not_fit_this_machine_is_refused(
    make: Callable[[], Runner], package: str, error: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for module in [each for each in sys.modules if each.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, module)
    (tmp_path / f"{package}.py").write_text(f"raise {error}")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModelRefused, match="cannot be used here") as refused:
        make().load(b"", SHAPE)
    assert refused.value.code == "model_refused"
    assert refused.value.remedy


@pytest.mark.parametrize("name", ["litert", "onnx"])
def test_nothing_heavy_but_numpy_and_the_runtime_is_imported_and_that_with_the_model(name: str) -> None:
    program = f"""
import sys
from edge_agent.app import make_model
from edge_agent.config import check
from pathlib import Path
device = {{"tenant": "city", "name": "post-1", "data_dir": "/nowhere"}}
config = check({{"device": device, "server": {{"host": "h"}}, "model": {{"runtime": "{name}"}}}}, Path("x"))
print("numpy" in sys.modules)
before = set(sys.modules)
assert make_model(config).title.endswith("{name}")
print(" ".join(sorted({{each.partition(".")[0] for each in set(sys.modules) - before}})))
"""
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    before, after = told.stdout.splitlines()
    assert before == "False"
    heavy = {"numpy", "ai_edge_litert", "onnxruntime", "scipy", "ml_dtypes", "google", "flatbuffers", "sympy"}
    runtime = {"litert": "ai_edge_litert", "onnx": "onnxruntime"}[name]
    assert set(after.split()) & heavy == {"numpy", runtime}


def test_both_runtimes_agree_on_the_golden_window() -> None:
    manifest: Manifest = MANIFEST
    told = []
    for name in ("litert", "onnx"):
        runner = RUNNERS[name]()
        runner.load(model_of(name), SHAPE)
        told.append(runner.score(manifest.golden.input))
        runner.close()
    assert told[0] == pytest.approx(told[1], abs=manifest.golden.tolerance)


def test_the_adapters_import_nothing_by_themselves() -> None:
    for module in (litert_runner, onnx_runner):
        assert "numpy" not in vars(module)
        source = Path(str(module.__file__)).read_text()
        top = [line for line in source.splitlines() if line.startswith(("import ", "from "))]
        assert not [line for line in top if "numpy" in line or "runtime" in line.split(" import ")[0]]
