"""A model's folder: nothing of it is believed before its manifest, its hash, its shape and its golden vector
agree, at every load.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from edge_agent.errors import ModelMissing, ModelRefused
from edge_agent.io.litert_runner import LitertRunner
from edge_agent.io.onnx_runner import OnnxRunner
from edge_agent.ports import Model, ModelShape, Runner
from models.features.manifest import (
    LARGEST_MANIFEST_BYTES,
    MANIFEST_FILE,
    BadManifest,
    Manifest,
    parse_manifest,
    shipped_directory,
)

__all__ = ["MANIFEST_FILE", "load_model", "model_directory", "read_manifest"]

LARGEST_MODEL_BYTES = 4 << 20  # ours has 100 kB; a device of 512 MB must survive any file it is given
AGAIN = "Put the whole folder there again, as it was made; or leave [model] directory empty."

RUNNERS: Mapping[str, Callable[[], Runner]] = MappingProxyType({"litert": LitertRunner, "onnx": OnnxRunner})


def model_directory(configured: str) -> Path:
    """The configured folder; without one, that of the model that came with the agent."""
    return Path(configured) if configured else shipped_directory()


def load_model(directory: Path, runtime: str, runners: Mapping[str, Callable[[], Runner]] = RUNNERS) -> Model:
    """The model, ready to score. Raises ModelMissing, ModelRefused; the runner is closed then."""
    manifest = read_manifest(directory)
    if runtime not in manifest.files or runtime not in manifest.golden.output:
        known = ", ".join(sorted(manifest.files))
        remedy = f"Set [model] runtime to one of: {known}, rule."
        raise ModelRefused(f"{directory}: the model is not there for {runtime}", remedy)
    file = manifest.files[runtime]
    content = _read(directory / file.file, LARGEST_MODEL_BYTES)
    if hashlib.sha256(content).hexdigest() != file.sha256:
        raise ModelRefused(f"{directory / file.file}: it is not the file that the manifest describes", AGAIN)
    runner = runners[runtime]()
    try:
        runner.load(content, ModelShape(manifest.steps, len(manifest.channels), len(manifest.outputs)))
        _check_golden(directory, manifest, runner)
    except ModelRefused:
        runner.close()
        raise
    return Model(manifest, runner)


def read_manifest(directory: Path) -> Manifest:
    """Raises ModelMissing where there is none, ModelRefused where it cannot be used."""
    content = _read(directory / MANIFEST_FILE, LARGEST_MANIFEST_BYTES)
    try:
        return parse_manifest(content)
    except BadManifest as error:
        raise ModelRefused(f"{directory / MANIFEST_FILE}: {error}", AGAIN) from error


def _read(path: Path, most_bytes: int) -> bytes:
    try:
        with open(path, "rb", opener=_at_once) as file:
            content = file.read(most_bytes + 1) or b""
    except FileNotFoundError as error:
        raise ModelMissing(f"{path} is not there", AGAIN) from error
    except OSError as error:
        raise ModelRefused(f"{path} cannot be read: {error.strerror}", AGAIN) from error
    if len(content) > most_bytes:
        raise ModelRefused(f"{path} is larger than {most_bytes} bytes", AGAIN)
    return content


def _at_once(path: str, flags: int) -> int:
    """A pipe in a file's place must not keep anybody waiting."""
    return os.open(path, flags | os.O_NONBLOCK)


def _check_golden(directory: Path, manifest: Manifest, runner: Runner) -> None:
    """One window whose answer is known: a runtime once ran a model to garbage without an error."""
    told = runner.score(manifest.golden.input)
    if manifest.golden.agrees(runner.name, told):
        return
    wanted = manifest.golden.output[runner.name]
    if not all(math.isfinite(value) for value in told):
        what = "gives no number"
    else:
        off = max((abs(a - b) for a, b in zip(told, wanted, strict=False)), default=0.0)
        what = f"is off by {off:.2f}, {manifest.golden.tolerance:.2f} is allowed"
    remedy = (
        "Another version of the runtime may do: lamppost agent model shows it. Until then the rule decides."
    )
    raise ModelRefused(f"{directory}: on its golden vector {runner.version()} {what}", remedy)
