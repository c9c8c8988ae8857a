"""Writing the artefact that ships: the two models, their manifest and golden vector. Pure numpy and json."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.air_anomaly.dataset import OUTPUTS, Floats32
from models.features.channels import CHANNELS, FLOOR_UG_M3, SCALING, STEP_S, STEPS
from models.features.manifest import CONTRACT, MANIFEST_FILE, Thresholds, parse_manifest

NAME, VERSION = "air_anomaly", "1.0.0"
FILES = {"litert": "model.tflite", "onnx": "model.onnx"}
# One 8-bit step in the middle of the network, rounded the other way by another processor's kernels, moves a
# probability by up to some hundredths; garbage is off by tenths.
GOLDEN_TOLERANCE = 0.06


@dataclass(frozen=True)
class Golden:
    """One window and its answers, by runtime."""

    window: Floats32
    answers: Mapping[str, Floats32]


def golden_row(answers: Floats32) -> int:
    """The window whose answers are the least certain: there a broken runtime shows most."""
    return int(np.argmax((answers * (1 - answers)).sum(axis=1)))


def write_artefact(
    folder: Path,
    models: Mapping[str, bytes],
    thresholds: Thresholds,
    golden: Golden,
    trained: Mapping[str, Any],
) -> None:
    """Writes the models and the manifest, and reads the manifest back as the agent will."""
    folder.mkdir(parents=True, exist_ok=True)
    for runtime, content in models.items():
        (folder / FILES[runtime]).write_bytes(content)
    manifest = {
        "contract": CONTRACT,
        "name": NAME,
        "version": VERSION,
        "window": {"steps": STEPS, "step_s": STEP_S, "channels": list(CHANNELS)},
        "outputs": list(OUTPUTS),
        "files": {
            runtime: {"file": FILES[runtime], "sha256": hashlib.sha256(content).hexdigest()}
            for runtime, content in models.items()
        },
        "normalisation": {
            "floor_ug_m3": FLOOR_UG_M3,
            "channels": {name: asdict(SCALING[name]) for name in CHANNELS},
        },
        "thresholds": asdict(thresholds),
        "golden": {
            "input": base64.b64encode(golden.window.astype("<f4").tobytes()).decode("ascii"),
            "output": {runtime: [round(float(v), 6) for v in a] for runtime, a in golden.answers.items()},
            "tolerance": GOLDEN_TOLERANCE,
        },
        "trained": dict(trained),
    }
    content = (json.dumps(manifest, indent=1) + "\n").encode("utf-8")
    parse_manifest(content)
    (folder / MANIFEST_FILE).write_bytes(content)
