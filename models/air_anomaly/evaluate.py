"""The card's figures: every detector on the same windows of the test part, and the agent's days."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.air_anomaly.baselines import simple_scores
from models.air_anomaly.dataset import OUTPUTS, Dataset, Floats32
from models.air_anomaly.events import EPISODES, FAULTS, Event
from models.air_anomaly.metrics import auc, recall_at, threshold_at
from models.air_anomaly.recipe import Source
from models.air_anomaly.reference import Floats
from models.air_anomaly.streams import STRONG, Stream, delay, replay
from models.air_anomaly.thresholds import HOURS
from models.features.manifest import Thresholds

FALSE_RATE = 0.01
SIMPLE = ("z-score", "seasonal residual", "rise over the hour", "rule")
# Windows this many minutes after the onset: the first of each pair is in, the second out.
AGES_MIN = ((2, 5), (5, 10), (10, 20), (20, 60), (60, 1000))
PROMISED_DELAY_MIN = 10
DEMO_HOURS = 288  # six lampposts, two days

Scores = Mapping[str, NDArray[np.floating[Any]]]


def simple_on(data: Dataset, source: Source, seed: int) -> dict[str, Floats]:
    """The learning-free baselines on the windows of `data`, whose segments are made again."""
    scores = {name: np.zeros(len(data)) for name in SIMPLE}
    for index in np.unique(data.segment):
        rows = np.flatnonzero(data.segment == index)
        found = simple_scores(source.segment(seed, int(index)).readings, data.last[rows].astype(np.int64))
        for name in SIMPLE:
            scores[name][rows] = found[name]
    return scores


def asked(data: Dataset) -> NDArray[np.bool_]:
    return np.asarray(data.y[:, 0] >= 0)


def windows_table(data: Dataset, scores: Scores) -> dict[str, dict[str, float]]:
    """Detector -> AUC and recall at FALSE_RATE, for "episode" on every window that is asked."""
    rows = asked(data)
    positive = data.y[rows, 0] == 1
    return {
        name: {
            "auc": _round(auc(score[rows], positive)),
            "recall_at_1pct_fpr": _round(recall_at(score[rows], positive, FALSE_RATE)),
        }
        for name, score in scores.items()
    }


def per_station(data: Dataset, scores: Scores) -> dict[str, dict[str, Any]]:
    """Each station alone: AUC and recall at its own FALSE_RATE, by detector."""
    table: dict[str, dict[str, Any]] = {}
    for index, name in enumerate(data.stations):
        rows = asked(data) & (data.station == index)
        positive = data.y[rows, 0] == 1
        table[name] = {"windows": int(rows.sum())}
        for detector, score in scores.items():
            table[name][detector] = _round(recall_at(score[rows], positive, FALSE_RATE))
        table[name]["auc"] = _round(auc(next(iter(scores.values()))[rows], positive))
    return table


def per_event(data: Dataset, scores: Scores) -> dict[str, dict[str, Any]]:
    """Share of windows called, at the one threshold of FALSE_RATE over all: recall for episodes, false
    positives for the rest."""
    rows = asked(data)
    called = {
        name: score > threshold_at(score[rows], data.y[rows, 0] == 1, FALSE_RATE)
        for name, score in scores.items()
    }
    table: dict[str, dict[str, Any]] = {}
    for index, event in enumerate(Event):
        positive = event in EPISODES
        of_kind = (data.event == index) & (data.y[:, 0] == int(positive))
        table[event.value] = {"episode": positive, "windows": int(of_kind.sum())}
        table[event.value] |= {name: _share(hit[of_kind]) for name, hit in called.items()}
    return table


def per_age(data: Dataset, scores: Scores) -> dict[str, dict[str, Any]]:
    """Recall at the threshold of FALSE_RATE by minutes since the onset: the early ones are hard."""
    rows = asked(data)
    table: dict[str, dict[str, Any]] = {}
    for low, high in AGES_MIN:
        of_age = (data.y[:, 0] == 1) & (data.since >= low) & (data.since < high)
        key = f"{low}-{high} min" if high < 1000 else f"{low} min and more"
        table[key] = {"windows": int(of_age.sum())}
        for name, score in scores.items():
            limit = threshold_at(score[rows], data.y[rows, 0] == 1, FALSE_RATE)
            table[key][name] = _share(score[of_age] > limit)
    return table


def faults_table(data: Dataset, outputs: Mapping[str, Floats32]) -> dict[str, dict[str, float]]:
    """The other outputs: AUC of each fault class, by the model's form."""
    table: dict[str, dict[str, float]] = {}
    for index, name in enumerate(OUTPUTS[1:], start=1):
        rows = data.y[:, index] >= 0
        table[name] = {
            form: _round(auc(score[rows, index], data.y[rows, index] == 1)) for form, score in outputs.items()
        }
    return table


def streams_table(streams: Sequence[Stream], thresholds: Thresholds) -> dict[str, Any]:
    """False episodes and detection delay of the agent's days at the shipped thresholds."""
    outcomes = [(stream, replay(stream, thresholds)) for stream in streams]
    quiet = [o for s, o in outcomes if s.event in (Event.NONE, Event.REGIONAL)]
    hours = HOURS * len(quiet)
    false = sum(len(o.wrong) for o in quiet)
    table: dict[str, Any] = {
        "quiet_unit_hours": hours,
        "false_episodes": false,
        "false_per_288_unit_hours": _round(DEMO_HOURS * false / hours, 3),
        "opened_at_fast_rises_of_the_reference": sum(len(o.unsure) for o in quiet),
        "unsure_minutes_share": _round(_unsure_share(streams, thresholds), 5),
        "faulty_streams_with_a_false_episode": {
            event.value: _share([bool(o.wrong) for s, o in outcomes if s.event is event]) for event in FAULTS
        },
    }
    table["detection"] = {
        event.value: detection([(s, o) for s, o in outcomes if s.event is event and s.onset is not None])
        for event in EPISODES
    }
    episodes = [(s, o) for s, o in outcomes if s.onset is not None]
    table["detection"]["all"] = detection(episodes)
    strong = [(s, o) for s, o in episodes if s.strength >= STRONG]
    table["detection"]["strong, all kinds"] = detection(strong)
    return table


def detection(found: Sequence[tuple[Stream, Any]]) -> dict[str, Any]:
    """How many episodes were opened, and how soon; of (stream, outcome)."""
    delays = [delay(stream, outcome) for stream, outcome in found]
    seen = sorted(d for d in delays if d is not None)
    return {
        "episodes": len(delays),
        "found": _share([d is not None for d in delays]),
        "within_10_min": _share([d is not None and d <= PROMISED_DELAY_MIN for d in delays]),
        "median_delay_min": float(np.median(seen)) if seen else None,
        "p90_delay_min": _round(np.quantile(seen, 0.9), 1) if seen else None,
    }


def _unsure_share(streams: Sequence[Stream], thresholds: Thresholds) -> float:
    scores = np.concatenate([s.score[s.usable] for s in streams])
    return float((np.maximum(scores, 1 - scores) < thresholds.confident).mean())


def _share(hits: Any) -> float | None:
    return _round(float(np.mean(hits))) if len(hits) else None


def _round(value: float, digits: int = 4) -> float:
    return round(float(value), digits)
