"""The whole way from reference hours to the artefact and its card. Needs the `train` extra."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.air_anomaly import artefact, evaluate, runtimes, thresholds
from models.air_anomaly.baselines import IsolationForest
from models.air_anomaly.card import BASELINES, made_with, split_of, write_card
from models.air_anomaly.check import EACH, check
from models.air_anomaly.dataset import Dataset, Floats32, Progress, draw
from models.air_anomaly.recipe import RECIPE, Source
from models.air_anomaly.reference import data_hashes, stations
from models.air_anomaly.split import Part
from models.air_anomaly.streams import Stream, streams

SEED = 20
MAIN = "model, int8 LiteRT"
FORMS = {"float": "model, float", "litert": MAIN, "onnx": "model, int8 ONNX"}


@dataclass(frozen=True)
class Size:
    """Segments that are drawn, epochs of learning, streams of each kind (validation and test)."""

    train: int
    test: int
    epochs: int
    streams_each: int


FULL = Size(train=8000, test=3000, epochs=16, streams_each=100)
QUICK = Size(train=400, test=200, epochs=2, streams_each=4)


def build(data: Path, out: Path, size: Size, seed: int, progress: Progress) -> dict[str, Any]:
    """Writes the artefact with its card into `out`; gives the card."""
    started = time.monotonic()
    say = _clocked(progress, started)
    say("reading the reference")
    posts = stations(data)
    sources = {part: Source(posts, part) for part in Part}
    say(f"drawing segments: {len(posts)} stations, recipe {RECIPE}, seed {seed}")
    train_set = draw(sources[Part.TRAIN], seed, size.train, say)
    test_set = draw(sources[Part.TEST], seed, size.test, say)
    say(f"training on {len(train_set)} windows")
    network, models, scorers = _learn(train_set, size, seed, say)
    say("choosing thresholds on the validation part")
    chosen = thresholds.choose(_days(sources[Part.VALIDATION], seed, size, scorers["litert"]))
    say(f"opens at {chosen.open}; measuring on the test part, {len(test_set)} windows")
    outputs = {form: score(test_set.x) for form, score in scorers.items()}
    row = artefact.golden_row(outputs["litert"])
    golden = artefact.Golden(test_set.x[row], {form: outputs[form][row] for form in ("litert", "onnx")})
    trained = {"recipe": RECIPE, "seed": seed, "windows": len(train_set), "data": data_hashes(data)}
    artefact.write_artefact(out, models, chosen, golden, trained)
    card = _card(train_set, test_set, sources, outputs, size, seed)
    card["streams"] = evaluate.streams_table(_days(sources[Part.TEST], seed, size, scorers["litert"]), chosen)
    card["independent"] = check(out, data, EACH, say)
    card |= {"trained": trained, "parameters": network, "thresholds": vars(chosen)}
    card["made"] = made_with(time.monotonic() - started)
    write_card(out, card)
    say(f"wrote {out.name}: {sum(f.stat().st_size for f in out.iterdir())} bytes")
    return card


def _learn(
    train_set: Dataset, size: Size, seed: int, say: Progress
) -> tuple[int, dict[str, bytes], dict[str, Any]]:
    from models.air_anomaly import convert
    from models.air_anomaly.network import parameters_of
    from models.air_anomaly.train import Plan, score_float, train

    network = train(train_set, Plan(size.epochs, seed), say)
    say("quantizing to 8 bits")
    rows = np.random.default_rng([seed, 5]).choice(len(train_set), convert.CALIBRATION_WINDOWS, replace=False)
    models = {
        "litert": convert.to_litert(network, train_set.x[rows]),
        "onnx": convert.to_onnx(network, train_set.x[rows]),
    }
    scorers = {
        "float": lambda x: score_float(network, x),
        "litert": lambda x: runtimes.score_litert(models["litert"], x),
        "onnx": lambda x: runtimes.score_onnx(models["onnx"], x),
    }
    return parameters_of(network), models, scorers


def _days(source: Source, seed: int, size: Size, score: Any) -> list[Stream]:
    """Other segments than the windows': a seed of their own."""
    return streams(source, seed + 1000, thresholds.plan(size.streams_each), score)


def _card(
    train_set: Dataset,
    test_set: Dataset,
    sources: dict[Part, Source],
    outputs: dict[str, Floats32],
    size: Size,
    seed: int,
) -> dict[str, Any]:
    """The tables on windows."""
    scores: dict[str, Any] = {FORMS[form]: answer[:, 0] for form, answer in outputs.items()}
    scores |= evaluate.simple_on(test_set, sources[Part.TEST], seed)
    scores["isolation forest"] = IsolationForest.grown(train_set, seed).score(test_set.x)
    few = {name: scores[name] for name in (MAIN, *BASELINES, "rule")}
    return {
        "windows": evaluate.windows_table(test_set, scores),
        "faults": evaluate.faults_table(test_set, outputs),
        "per_station": evaluate.per_station(test_set, few),
        "per_event": evaluate.per_event(test_set, few),
        "per_age": evaluate.per_age(test_set, few),
        "split": split_of(sources, {"train": size.train, "test": size.test}),
        "counts": {
            "test_windows": len(test_set),
            "asked": int(evaluate.asked(test_set).sum()),
            "positive": int((test_set.y[:, 0] == 1).sum()),
        },
    }


def _clocked(progress: Progress, started: float) -> Progress:
    return lambda text: progress(f"{time.monotonic() - started:6.1f} s  {text}")
