"""What a model must beat, on the same windows: z-score, seasonal residual, rise over the hour, isolation
forest; and the agent's rule.

All see the unit's readings as the model does. Scores are any numbers, higher for an episode.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.air_anomaly.batch import backgrounds
from models.air_anomaly.dataset import Dataset, Floats32
from models.air_anomaly.reference import Floats
from models.air_anomaly.sensor import Readings
from models.features import baseline_rule
from models.features.channels import FLOOR_UG_M3, STEPS, Channel
from models.features.window import RECENT_STEPS

NORMAL_QUARTILES = 1.349  # quartile range of the normal distribution, in standard deviations
DAY_MIN, SEASON_HALF_MIN = 1440, 30
SHIFT_MIN = (180, 60)  # from when to when before now the two days' levels are compared
BEFORE_MIN = (89, 30)  # the hour that a rise is measured against
TREES = 200


def simple_scores(readings: Readings, last: NDArray[np.int64]) -> dict[str, Floats]:
    """The four that need no learning, for windows whose last minute is `last`."""
    quartiles, _ = backgrounds(readings.pm2_5, last)
    recent = _medians(readings.pm2_5, last, RECENT_STEPS - 1, 0)
    return {
        "z-score": zscore(recent, quartiles),
        "seasonal residual": seasonal(readings.pm2_5, last),
        "rise over the hour": rise(readings.pm2_5, last, quartiles),
        "rule": rule(readings.pm2_5, last, recent, quartiles),
    }


def zscore(recent: Floats, quartiles: Floats) -> Floats:
    """Robust: the last five minutes against the day's median, in the day's deviations."""
    spread = (quartiles[:, 2] - quartiles[:, 0]) / NORMAL_QUARTILES + 1.0
    return _or_zero((recent - quartiles[:, 1]) / spread)


def rise(pm2_5: Floats, last: NDArray[np.int64], quartiles: Floats) -> Floats:
    """ln of the last five minutes over the hour that ended half an hour ago; the day's median without one."""
    log = np.log(pm2_5 + FLOOR_UG_M3)
    before = _medians(log, last, *BEFORE_MIN)
    before = np.where(np.isfinite(before), before, np.log(quartiles[:, 1] + FLOOR_UG_M3))
    return _or_zero(_medians(log, last, RECENT_STEPS - 1, 0) - before)


def seasonal(pm2_5: Floats, last: NDArray[np.int64]) -> Floats:
    """ln of now, less ln of the same time yesterday, less what today is higher than yesterday anyway."""
    log = np.log(pm2_5 + FLOOR_UG_M3)
    now = _medians(log, last, RECENT_STEPS - 1, 0)
    yesterday = _medians(log, last, DAY_MIN + SEASON_HALF_MIN, DAY_MIN - SEASON_HALF_MIN)
    shift = _medians(log, last, *SHIFT_MIN) - _medians(
        log, last, DAY_MIN + SHIFT_MIN[0], DAY_MIN + SHIFT_MIN[1]
    )
    return _or_zero(now - yesterday - _or_zero(shift))


def rule(pm2_5: Floats, last: NDArray[np.int64], recent: Floats, quartiles: Floats) -> Floats:
    """`models.features.baseline_rule.rule_score` in numpy; a test holds them together."""
    older = _medians(pm2_5, last, STEPS - 1, STEPS // 2)
    before = np.where(np.isfinite(older), older, _medians(pm2_5, last, STEPS - 1, 0))
    width = np.maximum(baseline_rule.LEAST_QUARTILE_RANGE_UG_M3, quartiles[:, 2] - quartiles[:, 0])
    threshold = np.maximum(baseline_rule.LEAST_EXCESS_UG_M3, baseline_rule.QUARTILE_RANGES * width)
    above = np.minimum(recent - quartiles[:, 1], recent - 0.5 * (before + quartiles[:, 1]))
    ratio = np.clip(above / threshold - 1.0, -20.0, 20.0)
    return _or_zero(1.0 / (1.0 + np.exp(-baseline_rule.STEEPNESS * ratio)))


def _medians(values: Floats, last: NDArray[np.int64], from_back: int, to_back: int) -> Floats:
    """Medians of the minutes last - from_back .. last - to_back; NaN where none is there."""
    at = last[:, None] - np.arange(to_back, from_back + 1)[None, :]
    picked = np.where(at >= 0, values[np.maximum(at, 0)], np.nan)
    ordered = np.sort(picked, axis=1)
    count = np.isfinite(picked).sum(axis=1)
    rows, high = np.arange(len(last)), np.minimum(count // 2, picked.shape[1] - 1)
    return np.asarray(0.5 * (ordered[rows, np.maximum(0, (count - 1) // 2)] + ordered[rows, high]))


def _or_zero(values: Floats) -> Floats:
    return np.where(np.isfinite(values), values, 0.0)


@dataclass(frozen=True)
class IsolationForest:
    """scikit-learn's, grown on training's windows without an episode, on summaries of them."""

    forest: object

    @classmethod
    def grown(cls, data: Dataset, seed: int) -> IsolationForest:
        from sklearn.ensemble import IsolationForest as Forest

        calm = data.x[data.y[:, 0] == 0]
        return cls(Forest(n_estimators=TREES, random_state=seed, n_jobs=1).fit(summaries(calm)))

    def score(self, x: Floats32) -> Floats:
        return np.asarray(-self.forest.score_samples(summaries(x)))  # type: ignore[attr-defined]


def summaries(x: Floats32) -> Floats32:
    """[n, features]: column means over the last 5, 15 and 60 steps, and the level's spread and steps."""
    level = x[:, :, list(Channel).index(Channel.LEVEL)]
    parts = [x[:, -steps:].mean(axis=1) for steps in (5, 15, STEPS)]
    parts += [
        level.std(axis=1)[:, None],
        (level[:, -1:] - level[:, -11:-10]),
        (level[:, -1:] - level[:, -31:-30]),
    ]
    return np.concatenate(parts, axis=1).astype(np.float32)
