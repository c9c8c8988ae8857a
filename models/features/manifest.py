"""A model artefact's manifest: what the agent must know before it lets the model say anything.

The folder holds `manifest.json`, the model once for each runtime, `card.md` and `card.json`. Both models take
float32 [1, steps, channels] and give float32 [1, outputs] probabilities.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
import sys
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from models.features.channels import CHANNELS, FLOOR_UG_M3, SCALING, STEP_S, STEPS, Scaling

CONTRACT = 1
EPISODE = "episode"
RUNTIMES = ("litert", "onnx")
MANIFEST_FILE = "manifest.json"
# A manifest is about 10 kB; the bound keeps a hostile or broken file from filling a small device's memory.
LARGEST_MANIFEST_BYTES = 200_000
_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_VERSION = re.compile(r"[0-9]{1,6}\.[0-9]{1,6}\.[0-9]{1,6}")


class BadManifest(Exception):
    """The artefact's manifest cannot be used; the message is one line: where, and what is wrong."""


@dataclass(frozen=True)
class ModelFile:
    """One runtime's model, beside the manifest; `sha256` in lower-case hexadecimal."""

    file: str
    sha256: str


@dataclass(frozen=True)
class Thresholds:
    """Scores are probabilities. An episode opens at `open` and closes below `close`.

    `confident`: the least max(score, 1 - score) at which the model decides; between them the rule does.
    `min_coverage`: the least share of a window's minutes that must hold a PM2.5.
    """

    open: float
    close: float
    confident: float
    min_coverage: float

    def is_confident(self, score: float) -> bool:
        return max(score, 1.0 - score) >= self.confident


@dataclass(frozen=True)
class Golden:
    """A window (row-major, steps x channels) and what each runtime gave for it where the model was made."""

    input: array[float]
    output: Mapping[str, tuple[float, ...]]
    tolerance: float

    def agrees(self, runtime: str, output: tuple[float, ...]) -> bool:
        """Whether a runtime's answer here is its answer there; NaN never is."""
        wanted = self.output[runtime]
        return len(output) == len(wanted) and all(
            abs(a - b) <= self.tolerance for a, b in zip(output, wanted, strict=True)
        )


@dataclass(frozen=True)
class Manifest:
    """A model's contract with the agent. `trained` says of what it was made; nothing is decided on it."""

    name: str
    version: str
    steps: int
    step_s: int
    channels: tuple[str, ...]
    outputs: tuple[str, ...]
    files: Mapping[str, ModelFile]
    scaling: Mapping[str, Scaling]
    floor_ug_m3: float
    thresholds: Thresholds
    golden: Golden
    trained: Mapping[str, Any]

    @property
    def title(self) -> str:
        """`air_anomaly@1.0.0`; a verdict adds `/litert` or `/onnx`."""
        return f"{self.name}@{self.version}"


def shipped_directory() -> Path:
    """The folder of the artefact that comes with this package."""
    return Path(__file__).resolve().parent.parent / "artefacts" / "air_anomaly"


def rule_manifest() -> Manifest:
    """What a window is assembled by where no model is: the shipped layout, and the rule's own thresholds."""
    return Manifest(
        name="rule",
        version="1.0.0",
        steps=STEPS,
        step_s=STEP_S,
        channels=CHANNELS,
        outputs=(EPISODE,),
        files=MappingProxyType({}),
        scaling=SCALING,
        floor_ug_m3=FLOOR_UG_M3,
        thresholds=Thresholds(open=0.5, close=0.25, confident=0.0, min_coverage=0.4),
        golden=Golden(array("f"), MappingProxyType({}), 0.0),
        trained=MappingProxyType({}),
    )


def parse_manifest(content: bytes) -> Manifest:
    """The manifest in these bytes; raises BadManifest with the reason, and nothing else."""
    top = _document(content)
    _need(
        top.get("contract") == CONTRACT,
        "contract",
        f"is {top.get('contract')!r}, this agent knows {CONTRACT}",
    )
    window = _table(top, "window")
    channels = _names(window, "channels")
    _need(channels == CHANNELS, "window.channels", "are not the ones that this agent assembles")
    steps, step_s = window.get("steps"), window.get("step_s")
    _need((steps, step_s) == (STEPS, STEP_S), "window", f"must be {STEPS} steps of {STEP_S} s")
    outputs = _names(top, "outputs")
    _need(bool(outputs) and outputs[0] == EPISODE, "outputs", f"must begin with {EPISODE!r}")
    _need(len(set(outputs)) == len(outputs) <= 16, "outputs", "must be up to 16 different names")
    scaling, floor = _normalisation(_table(top, "normalisation"), channels)
    return Manifest(
        name=_text(top, "name", _NAME),
        version=_text(top, "version", _VERSION),
        steps=STEPS,
        step_s=STEP_S,
        channels=channels,
        outputs=outputs,
        files=_files(_table(top, "files")),
        scaling=scaling,
        floor_ug_m3=floor,
        thresholds=_thresholds(_table(top, "thresholds")),
        golden=_golden(_table(top, "golden"), STEPS * len(channels), len(outputs)),
        trained=MappingProxyType(dict(_table(top, "trained"))),
    )


def _need(holds: bool, where: str, wrong: str) -> None:
    if not holds:
        raise BadManifest(f"{where} {wrong}")


def _document(content: bytes) -> Mapping[str, Any]:
    _need(len(content) <= LARGEST_MANIFEST_BYTES, "the manifest", f"is over {LARGEST_MANIFEST_BYTES} bytes")
    try:
        top = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise BadManifest(f"the manifest is not JSON: {type(error).__name__}") from error
    if not isinstance(top, dict):
        raise BadManifest("the manifest is not a JSON object")
    return top


def _table(parent: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = parent.get(key)
    if not isinstance(value, dict):
        raise BadManifest(f"{key} must be an object")
    return value


def _text(parent: Mapping[str, Any], key: str, pattern: re.Pattern[str]) -> str:
    value = parent.get(key)
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise BadManifest(f"{key} must look like {pattern.pattern}")
    return value


def _number(parent: Mapping[str, Any], key: str, low: float, high: float) -> float:
    value = parent.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise BadManifest(f"{key} must be a number from {low:g} to {high:g}")
    return float(value)


def _names(parent: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = parent.get(key)
    if not isinstance(value, list) or not all(isinstance(v, str) and _NAME.fullmatch(v) for v in value):
        raise BadManifest(f"{key} must be a list of names")
    return tuple(value)


def _files(table: Mapping[str, Any]) -> Mapping[str, ModelFile]:
    _need(
        bool(table) and set(table) <= set(RUNTIMES),
        "files",
        f"must name one or more of {', '.join(RUNTIMES)}",
    )
    files = {}
    for runtime in table:
        entry = _table(table, runtime)
        files[runtime] = ModelFile(_text(entry, "file", _FILE_NAME), _text(entry, "sha256", _SHA256))
    return MappingProxyType(files)


def _normalisation(
    table: Mapping[str, Any], channels: tuple[str, ...]
) -> tuple[Mapping[str, Scaling], float]:
    columns = _table(table, "channels")
    scaling = {}
    for name in channels:
        column = _table(columns, name)
        low, high = _number(column, "low", -1e6, 1e6), _number(column, "high", -1e6, 1e6)
        _need(low < high, f"normalisation of {name}", "must have low < high")
        scaling[name] = Scaling(
            _number(column, "offset", -1e6, 1e6), _number(column, "scale", -1e6, 1e6), low, high
        )
    return MappingProxyType(scaling), _number(table, "floor_ug_m3", 0.1, 100.0)


def _thresholds(table: Mapping[str, Any]) -> Thresholds:
    thresholds = Thresholds(
        *(_number(table, k, 0.0, 1.0) for k in ("open", "close", "confident", "min_coverage"))
    )
    _need(0.0 < thresholds.close <= thresholds.open, "thresholds", "must have 0 < close <= open")
    _need(thresholds.min_coverage > 0.0, "thresholds.min_coverage", "must be above 0")
    return thresholds


def _golden(table: Mapping[str, Any], inputs: int, outputs: int) -> Golden:
    answers = _table(table, "output")
    _need(set(answers) <= set(RUNTIMES), "golden.output", "names an unknown runtime")
    output = {}
    for runtime, answer in answers.items():
        _need(
            isinstance(answer, list) and len(answer) == outputs,
            "golden.output",
            f"must hold {outputs} numbers",
        )
        output[runtime] = tuple(_number({"golden.output": v}, "golden.output", 0.0, 1.0) for v in answer)
    return Golden(
        _floats(table.get("input"), inputs), MappingProxyType(output), _number(table, "tolerance", 0.0, 0.2)
    )


def _floats(text: object, count: int) -> array[float]:
    """Base64 of little-endian float32."""
    if not isinstance(text, str):
        raise BadManifest("golden.input must be base64 text")
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadManifest("golden.input is not base64") from error
    _need(len(raw) == 4 * count, "golden.input", f"must hold {count} float32")
    values = array("f", raw)
    if sys.byteorder == "big":
        values.byteswap()
    _need(all(math.isfinite(v) for v in values), "golden.input", "must be finite")
    return values
