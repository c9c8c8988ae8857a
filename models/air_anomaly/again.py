"""Measuring a finished artefact again, without torch: its two files on the test part."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from models.air_anomaly.dataset import Progress, draw
from models.air_anomaly.evaluate import simple_on, windows_table
from models.air_anomaly.recipe import RECIPE, Source
from models.air_anomaly.reference import stations
from models.air_anomaly.runtimes import score_litert, score_onnx
from models.air_anomaly.split import Part
from models.features.manifest import MANIFEST_FILE, BadManifest, parse_manifest


def measure_again(folder: Path, data: Path, segments: int, progress: Progress) -> dict[str, dict[str, float]]:
    """Detector -> AUC and recall, as in the card, on the first `segments` of the card's test windows; raises
    BadManifest where the artefact is of another recipe, since its figures would be of other windows."""
    manifest = parse_manifest((folder / MANIFEST_FILE).read_bytes())
    recipe, seed = manifest.trained.get("recipe"), manifest.trained.get("seed")
    if recipe != RECIPE or not isinstance(seed, int):
        raise BadManifest(f"trained by {recipe!r} with seed {seed!r}: this is {RECIPE}")
    source = Source(stations(data), Part.TEST)
    progress(f"drawing {segments} segments of {', '.join(source.stations)}")
    windows = draw(source, seed, segments, progress)
    litert = (folder / manifest.files["litert"].file).read_bytes()
    onnx = (folder / manifest.files["onnx"].file).read_bytes()
    scores: dict[str, Any] = {
        "model, int8 LiteRT": score_litert(litert, windows.x)[:, 0],
        "model, int8 ONNX": score_onnx(onnx, windows.x)[:, 0],
        **simple_on(windows, source, seed),
    }
    return windows_table(windows, scores)
