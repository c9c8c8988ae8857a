"""The manifest's parser: what ships is accepted, all else is refused with a reason, never with a crash."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.features.channels import CHANNELS
from models.features.manifest import (
    LARGEST_MANIFEST_BYTES,
    MANIFEST_FILE,
    BadManifest,
    Golden,
    Manifest,
    parse_manifest,
    rule_manifest,
    shipped_directory,
)

SHIPPED = (shipped_directory() / MANIFEST_FILE).read_bytes()
DOCUMENT: dict[str, Any] = json.loads(SHIPPED)

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)


def paths(value: Any, here: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Where there is something to replace: every key of every object."""
    found = [here] if here else []
    if isinstance(value, dict):
        for key, inner in value.items():
            found += paths(inner, (*here, key))
    return found


def replaced(path: tuple[str, ...], value: Any) -> bytes:
    document = copy.deepcopy(DOCUMENT)
    at = document
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return json.dumps(document).encode()


def test_what_ships_is_read() -> None:
    manifest = parse_manifest(SHIPPED)
    assert manifest.title == f"air_anomaly@{manifest.version}"
    assert manifest.channels == CHANNELS
    assert manifest.outputs[0] == "episode"
    assert set(manifest.files) == {"litert", "onnx"} == set(manifest.golden.output)
    assert len(manifest.golden.input) == 60 * len(CHANNELS)


@given(st.binary(max_size=300))
def test_bytes_are_refused(content: bytes) -> None:
    with pytest.raises(BadManifest):
        parse_manifest(content)


@given(anything)
def test_any_json_is_refused(value: Any) -> None:
    with pytest.raises(BadManifest):
        parse_manifest(json.dumps(value).encode())


@given(st.sampled_from(paths(DOCUMENT)), anything)
def test_one_thing_replaced_is_refused_or_makes_a_manifest(path: tuple[str, ...], value: Any) -> None:
    answer: Manifest | BadManifest
    try:
        answer = parse_manifest(replaced(path, value))
    except BadManifest as refused:
        answer = refused
    assert isinstance(answer, Manifest) or (str(answer) and "\n" not in str(answer))


@given(st.integers(0, len(SHIPPED) - 2))
def test_a_truncated_file_is_refused(length: int) -> None:
    with pytest.raises(BadManifest):
        parse_manifest(SHIPPED[:length])


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        (("contract",), 2, "contract"),
        (("contract",), None, "contract"),
        (("window", "channels"), list(CHANNELS[:-1]), "window.channels"),
        (("window", "channels"), list(reversed(CHANNELS)), "window.channels"),
        (("window", "steps"), 61, "60 steps"),
        (("outputs",), ["spike", "episode"], "outputs"),
        (("outputs",), [], "outputs"),
        (("outputs",), ["episode", "episode"], "outputs"),
        (("files",), {}, "files"),
        (("files",), {"tensorrt": {"file": "a", "sha256": "0" * 64}}, "files"),
        (("files", "litert", "file"), "../model.tflite", "file"),
        (("files", "litert", "file"), "/etc/passwd", "file"),
        (("files", "litert", "sha256"), "0" * 63, "sha256"),
        (("thresholds", "open"), 1.5, "open"),
        (("thresholds", "open"), float("nan"), "open"),
        (("thresholds", "open"), True, "open"),
        (("thresholds", "open"), 0.01, "close <= open"),
        (("thresholds", "min_coverage"), 0.0, "min_coverage"),
        (("normalisation", "channels", "level", "low"), 5.0, "low < high"),
        (("normalisation", "floor_ug_m3"), 0.0, "floor_ug_m3"),
        (("golden", "input"), "not base64!", "golden.input"),
        (("golden", "input"), "AAAA", "golden.input"),
        (("golden", "input"), "AADAfw==" * (60 * len(CHANNELS)), "golden.input"),
        (("golden", "output", "litert"), [0.5], "golden.output"),
        (("golden", "tolerance"), 1.0, "tolerance"),
        (("name",), "Air Anomaly", "name"),
        (("version",), "1.0", "version"),
    ],
)
def test_what_is_wrong_is_named(path: tuple[str, ...], value: Any, says: str) -> None:
    with pytest.raises(BadManifest, match=says.replace(".", r"\.")):
        parse_manifest(replaced(path, value))


def test_a_huge_file_is_refused_before_it_is_read() -> None:
    with pytest.raises(BadManifest, match="bytes"):
        parse_manifest(SHIPPED + b" " * LARGEST_MANIFEST_BYTES)


def test_a_golden_answer_of_nan_or_of_another_length_never_agrees() -> None:
    golden = parse_manifest(SHIPPED).golden
    right = golden.output["litert"]
    assert golden.agrees("litert", right)
    assert not golden.agrees("litert", (float("nan"), *right[1:]))
    assert not golden.agrees("litert", right[:-1])
    assert not golden.agrees("litert", (right[0] + 2 * golden.tolerance, *right[1:]))


def test_the_rules_manifest_needs_no_files() -> None:
    manifest = rule_manifest()
    assert manifest.channels == CHANNELS
    assert not manifest.files
    assert isinstance(manifest.golden, Golden)
