"""What one window means: the model's word where there is a model and it is sure, else the rule's. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edge_agent.core.watching import Signal
from models.features.baseline_rule import rule_score
from models.features.manifest import Manifest, Thresholds, rule_manifest
from models.features.window import Window
from wire_contract.verdict_kinds import RULE

RULE_MANIFEST = rule_manifest()
WORTH_A_WORD = 0.5  # another kind of event is named beside the score where it is likelier than not


@dataclass(frozen=True)
class Judgement:
    """`model`: who decided, as a verdict tells it. `unsure`: there is a model, and it was not sure."""

    score: float
    confidence: float
    signal: Signal
    reason: str
    model: str
    input_hash: bytes
    unsure: bool = False


def by_rule(window: Window, why: str = "") -> Judgement:
    """`why` no model decides."""
    score, confidence = rule_score(window)
    signal = _signal(score, RULE_MANIFEST.thresholds)
    because = f"; by rule: {why}" if why else "; by rule"
    return Judgement(score, confidence, signal, _air(window) + because, RULE, window.hash())


def by_model(window: Window, outputs: Sequence[float], manifest: Manifest, runtime: str) -> Judgement:
    """`outputs`: finite, as many as the manifest names."""
    score = min(1.0, max(0.0, outputs[0]))
    if not manifest.thresholds.is_confident(score):
        ruled = by_rule(window, f"{manifest.title} is not sure ({score:.2f})")
        return Judgement(
            ruled.score, ruled.confidence, ruled.signal, ruled.reason, RULE, ruled.input_hash, unsure=True
        )
    confidence = max(score, 1.0 - score)
    others = zip(manifest.outputs[1:], outputs[1:], strict=True)
    like = "".join(f"; {name} {value:.2f}" for name, value in others if value >= WORTH_A_WORD)
    reason = _air(window) + like
    title = f"{manifest.title}/{runtime}"
    return Judgement(score, confidence, _signal(score, manifest.thresholds), reason, title, window.hash())


def sound(outputs: Sequence[float], manifest: Manifest) -> bool:
    """Whether this can be a model's answer at all."""
    return len(outputs) == len(manifest.outputs) and all(math.isfinite(value) for value in outputs)


def _signal(score: float, thresholds: Thresholds) -> Signal:
    if score >= thresholds.open:
        return Signal.HIGH
    return Signal.BETWEEN if score >= thresholds.close else Signal.LOW


def _air(window: Window) -> str:
    now = "unknown" if window.recent is None else f"{window.recent:.0f} ug/m3"
    return (
        f"PM2.5 {now} in the last 5 min, {window.before:.0f} before, {window.background.median:.0f} in 24 h"
    )
