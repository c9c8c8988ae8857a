"""Whole days as the agent lives them: every minute scored, the agent's own hysteresis, episodes opened or
not.

Windows tell how well a model separates; a stream tells how often it cries wolf in a week and how soon it
sees a plume. The state machine is the one that ships (`edge_agent.core.watching`); its faults are left out,
so what the card says of faulty sensors is the model's own doing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from edge_agent.core.watching import Phase, Signal, Watch, step
from models.air_anomaly.air import DAY_MIN, MINUTES
from models.air_anomaly.baselines import simple_scores
from models.air_anomaly.batch import windows
from models.air_anomaly.dataset import MIN_COVERAGE, Floats32
from models.air_anomaly.events import MATERIAL_SHARE, MATERIAL_UG_M3, Event
from models.air_anomaly.recipe import Segment, Source
from models.features.manifest import Thresholds, rule_manifest

Score = Callable[[Floats32], Floats32]
RULE = rule_manifest().thresholds
WATCHED = np.arange(DAY_MIN, MINUTES)
# A plume that nobody would miss: its highest minute is at least four times what makes an excess material.
STRONG = 4.0


@dataclass(frozen=True)
class Stream:
    """One unit's eight hours: the episode's score, the rule's, and which minutes have a window. `onset`
    counts from the first watched minute; `label` and `unsure` are the recipe's."""

    station: str
    event: StrEnum
    score: Floats32
    rule: NDArray[np.float64]
    usable: NDArray[np.bool_]
    label: NDArray[np.int8]
    unsure: NDArray[np.bool_]
    onset: int | None
    strength: float


@dataclass(frozen=True)
class Outcome:
    """Minutes (from the first watched) at which an episode opened: in an episode, where the recipe does not
    say (aftermath, fast rises of the reference), and without any."""

    right: tuple[int, ...]
    unsure: tuple[int, ...]
    wrong: tuple[int, ...]


def streams(source: Source, seed: int, events: Sequence[Event], score: Score) -> list[Stream]:
    """One stream for each of `events`, in that order."""
    return [_stream(source.segment(seed, index, event), score) for index, event in enumerate(events)]


def _stream(segment: Segment, score: Score) -> Stream:
    x, usable = windows(segment.readings, WATCHED, MIN_COVERAGE)
    usual = segment.readings.pm2_5[:DAY_MIN]
    usual = usual[np.isfinite(usual)]
    material = max(MATERIAL_UG_M3, MATERIAL_SHARE * float(np.median(usual)) if len(usual) else 0.0)
    return Stream(
        station=segment.station,
        event=segment.event,
        score=score(x)[:, 0],
        rule=simple_scores(segment.readings, WATCHED)["rule"],
        usable=usable,
        label=segment.label[WATCHED],
        unsure=segment.unsure[WATCHED],
        onset=None if segment.onset is None else segment.onset - DAY_MIN,
        strength=float(segment.excess.max()) / material,
    )


def replay(stream: Stream, thresholds: Thresholds) -> Outcome:
    """What the agent's state machine does with these minutes."""
    watch = Watch()
    right, unsure, wrong = [], [], []
    for minute in range(len(stream.score)):
        was_open = watch.open
        watch, _ = step(watch, _signal(stream, minute, thresholds), (minute + 1) * 60_000)
        if watch.open and not was_open:
            assert watch.phase is Phase.EPISODE
            about = slice(max(0, minute - 2), minute + 1)
            if (stream.label[about] == 1).any():
                right.append(minute)
            elif (stream.label[about] < 0).any() or stream.unsure[about].any():
                unsure.append(minute)
            else:
                wrong.append(minute)
    return Outcome(tuple(right), tuple(unsure), tuple(wrong))


def _signal(stream: Stream, minute: int, thresholds: Thresholds) -> Signal:
    """As `edge_agent.core.judging`: the model where it is sure, else the rule."""
    if not stream.usable[minute]:
        return Signal.TIMED_OUT
    score, used = float(stream.score[minute]), thresholds
    if not thresholds.is_confident(score):
        score, used = float(stream.rule[minute]), RULE
    if score >= used.open:
        return Signal.HIGH
    return Signal.BETWEEN if score >= used.close else Signal.LOW


def delay(stream: Stream, outcome: Outcome) -> int | None:
    """Minutes from the onset until it opened, counting the minute that decided; None where it never did."""
    assert stream.onset is not None
    return outcome.right[0] + 1 - stream.onset if outcome.right else None
