"""The independent check: a finished artefact on air that was made otherwise (`elsewhere`), without torch.

Windows at every sixth minute, all detectors on the same; and the agent's days, every minute. What the model
loses between the card's own tables and these is what it has of its recipe.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.air_anomaly.baselines import simple_scores
from models.air_anomaly.batch import windows
from models.air_anomaly.dataset import MIN_COVERAGE, Progress
from models.air_anomaly.elsewhere import EPISODES, From, Made, scene
from models.air_anomaly.evaluate import DEMO_HOURS, FALSE_RATE, detection
from models.air_anomaly.metrics import auc, recall_at, threshold_at
from models.air_anomaly.new_year import nights
from models.air_anomaly.recipe import Source
from models.air_anomaly.reference import Floats, Station, stations
from models.air_anomaly.runtimes import score_litert
from models.air_anomaly.split import Part
from models.air_anomaly.streams import STRONG, WATCHED, Stream, replay
from models.air_anomaly.thresholds import HOURS
from models.features.manifest import MANIFEST_FILE, Thresholds, parse_manifest

MAIN = "model, int8 LiteRT"
SEED, EACH, EVERY_MIN = 2026, 24, 6
AGES_MIN = ((2, 10), (10, 30), (30, 60), (60, 1000))


@dataclass(frozen=True)
class Watched:
    """A scene's eight hours as everybody sees them: `scores` by detector, minute by minute."""

    origin: From
    kind: Made
    stream: Stream
    scores: dict[str, Floats]


def check(folder: Path, data: Path, each: int, progress: Progress) -> dict[str, Any]:
    """The tables for the card, of `each` scenes of every kind in either air. Raises BadManifest."""
    manifest = parse_manifest((folder / MANIFEST_FILE).read_bytes())
    model = (folder / manifest.files["litert"].file).read_bytes()
    posts, seen = stations(data), list[Watched]()
    source = Source(posts, Part.TEST)
    for origin in From:
        progress(f"  independent check: {each} scenes of each kind, {origin}")
        seen += [_watched(source, origin, kind, i, model) for kind in Made for i in range(each)]
    return (
        {"seed": SEED, "scenes": len(seen)}
        | _windows_tables(seen)
        | _days_tables(seen, manifest.thresholds)
        | {"new_year": _new_year(posts, model, manifest.thresholds)}
    )


def _watched(source: Source, origin: From, kind: Made, index: int, model: bytes) -> Watched:
    rng = np.random.default_rng([SEED, list(From).index(origin), list(Made).index(kind), index])
    made = scene(kind, origin, source.any_stretch(rng), rng)
    x, usable = windows(made.readings, WATCHED, MIN_COVERAGE)
    scores: dict[str, Floats] = {MAIN: score_litert(model, x)[:, 0].astype(np.float64)}
    scores |= simple_scores(made.readings, WATCHED)
    onset = None if made.onset is None else made.onset - int(WATCHED[0])
    label, unsure = made.label[WATCHED], made.unsure[WATCHED]
    score = scores[MAIN].astype(np.float32)
    stream = Stream(origin, kind, score, scores["rule"], usable, label, unsure, onset, made.strength)
    return Watched(origin, kind, stream, scores)


def _windows_tables(seen: Sequence[Watched]) -> dict[str, Any]:
    """Every EVERY_MIN-th window that has an answer: by air, by kind, by age."""
    picked = [np.flatnonzero(_asked(s.stream))[::EVERY_MIN] for s in seen]
    positive = np.concatenate([s.stream.label[rows] == 1 for s, rows in zip(seen, picked, strict=True)])
    origin, kind = (
        np.repeat([str(getattr(s, name)) for s in seen], [len(rows) for rows in picked])
        for name in ("origin", "kind")
    )
    age = np.concatenate([rows - (s.stream.onset or 0) for s, rows in zip(seen, picked, strict=True)])
    scores = {
        name: np.concatenate([s.scores[name][rows] for s, rows in zip(seen, picked, strict=True)])
        for name in seen[0].scores
    }
    limits = {name: threshold_at(score, positive, FALSE_RATE) for name, score in scores.items()}

    def called(rows: NDArray[np.bool_]) -> dict[str, Any]:
        shares = {name: _round((score[rows] > limits[name]).mean()) for name, score in scores.items()}
        return {"windows": int(rows.sum())} | shares

    return {
        "detectors": {name: _worth(score, positive, origin) for name, score in scores.items()},
        "per_kind": {
            made.value: {"episode": made in EPISODES}
            | called((kind == made) & (positive == (made in EPISODES)))
            for made in Made
        },
        "per_age": {
            f"{low}-{high} min" if high < 1000 else f"{low} min and more": called(
                positive & (age >= low) & (age < high)
            )
            for low, high in AGES_MIN
        },
    }


def _asked(stream: Stream) -> NDArray[np.bool_]:
    return np.asarray(stream.usable & ((stream.label == 1) | ((stream.label == 0) & ~stream.unsure)))


def _worth(score: Floats, positive: NDArray[np.bool_], origin: NDArray[np.str_]) -> dict[str, float]:
    row = {}
    for name in From:
        rows = origin == name
        row[f"AUC, {name}"] = _round(auc(score[rows], positive[rows]))
        row[f"recall at 1 %, {name}"] = _round(recall_at(score[rows], positive[rows], FALSE_RATE))
    return row


def _days_tables(seen: Sequence[Watched], thresholds: Thresholds) -> dict[str, Any]:
    """False episodes where there is none, and how soon an episode is opened."""
    outcomes = [(s, replay(s.stream, thresholds)) for s in seen]
    quiet = [(s, o) for s, o in outcomes if s.kind not in EPISODES]
    false = sum(len(o.wrong) for _, o in quiet)
    table: dict[str, Any] = {
        "quiet_unit_hours": HOURS * len(quiet),
        "false_episodes": false,
        "false_in": sorted({s.kind.value for s, o in quiet if o.wrong}),
        "false_per_288_unit_hours": _round(DEMO_HOURS * false / (HOURS * len(quiet)), 3),
    }
    found = [(s.stream, o) for s, o in outcomes if s.stream.onset is not None]
    kinds: dict[str, Any] = {
        kind.value: detection([(s, o) for s, o in found if s.event is kind]) for kind in EPISODES
    }
    strong = [(s, o) for s, o in found if s.strength >= STRONG]
    return {"days": table, "detection": kinds | {"all": detection(found), "strong, all": detection(strong)}}


def _new_year(posts: Sequence[Station], model: bytes, thresholds: Thresholds) -> dict[str, dict[str, int]]:
    """Nights of each sort, and in how many an episode was opened."""
    table: dict[str, dict[str, int]] = {}
    for night in nights(posts, SEED):
        x, usable = windows(night.readings, WATCHED, MIN_COVERAGE)
        rule = simple_scores(night.readings, WATCHED)["rule"]
        nothing = np.zeros(len(WATCHED), dtype=np.int8)
        score = score_litert(model, x)[:, 0]
        stream = Stream("", Made.CALM, score, rule, usable, nothing, nothing == 1, None, 0.0)
        row = table.setdefault(night.what, {"nights": 0, "opened": 0})
        row["nights"] += 1
        row["opened"] += bool(replay(stream, thresholds).wrong)
    return dict(sorted(table.items()))


def _round(value: float, digits: int = 4) -> float:
    return round(float(value), digits)
