"""`models.features.window.assemble` in numpy, for many windows at once. A test holds both together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.air_anomaly.reference import Floats
from models.air_anomaly.sensor import Readings
from models.features.channels import CHANNELS, FLOOR_UG_M3, SCALING, STEPS, Channel
from models.features.context import DAY_BUCKETS, LEAST_BUCKETS

BUCKET_MIN = 10


def windows(
    readings: Readings, last: NDArray[np.int64], min_coverage: float
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """[n, steps, channels] for the windows whose last minute is `last` (>= 59), and which of them are
    windows: those with a background and enough coverage; the others' rows mean nothing."""
    at = last[:, None] + np.arange(1 - STEPS, 1)[None, :]
    quartiles, fill = backgrounds(readings.pm2_5, last)
    log = np.log(readings.pm2_5[at] + FLOOR_UG_M3)
    damp = readings.humidity[at]
    with np.errstate(invalid="ignore"):
        raw = {
            Channel.LEVEL: log - np.log(quartiles[:, 1:2] + FLOOR_UG_M3),
            Channel.RECENT: log - _median(log),
            Channel.COARSE: np.log(readings.pm10[at] + FLOOR_UG_M3) - log,
            Channel.FINE: np.log(readings.pm1[at] + FLOOR_UG_M3) - log,
            Channel.HUMIDITY: damp,
            Channel.HUMIDITY_CHANGE: damp - _median(damp),
            Channel.BACKGROUND: np.log(quartiles[:, 1:2] + FLOOR_UG_M3) + 0 * at,
            Channel.SPREAD: np.log((quartiles[:, 2:3] + FLOOR_UG_M3) / (quartiles[:, 0:1] + FLOOR_UG_M3))
            + 0 * at,
            Channel.FILL: fill[:, None] + 0 * at,
        }
    present = np.isfinite(log)
    raw[Channel.HAS_PM2_5] = present.astype(np.float64)
    raw[Channel.HAS_PM10] = np.isfinite(raw[Channel.COARSE]).astype(np.float64)
    raw[Channel.HAS_PM1] = np.isfinite(raw[Channel.FINE]).astype(np.float64)
    raw[Channel.HAS_HUMIDITY] = np.isfinite(damp).astype(np.float64)
    values = np.empty((len(last), STEPS, len(CHANNELS)), dtype=np.float32)
    for column, name in enumerate(CHANNELS):
        scaling, quantity = SCALING[name], raw[Channel(name)]
        scaled = np.clip((quantity - scaling.offset) * scaling.scale, scaling.low, scaling.high)
        values[:, :, column] = np.where(np.isfinite(quantity), scaled, 0.0)
    usable = (present.mean(axis=1) >= min_coverage) & (fill * DAY_BUCKETS >= LEAST_BUCKETS - 0.5)
    return values, usable


def backgrounds(pm2_5: Floats, last: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """[n, 3] quartiles of the finished buckets of the day before, and the share of the day known."""
    buckets = pm2_5[: len(pm2_5) // BUCKET_MIN * BUCKET_MIN].reshape(-1, BUCKET_MIN)
    known = np.isfinite(buckets)
    counts = known.sum(axis=1)
    means = np.where(known, buckets, 0.0).sum(axis=1) / np.maximum(counts, 1)
    means = np.concatenate((np.full(DAY_BUCKETS, np.nan), np.where(counts > 0, means, np.nan)))
    wanted, back = np.unique(last // BUCKET_MIN, return_inverse=True)
    quartiles, fill = np.full((len(wanted), 3), np.nan), np.zeros(len(wanted))
    for row, bucket in enumerate(wanted):
        day = means[bucket : bucket + DAY_BUCKETS]
        day = day[np.isfinite(day)]
        fill[row] = len(day) / DAY_BUCKETS
        if len(day):
            quartiles[row] = np.quantile(day, [0.25, 0.5, 0.75])
    return quartiles[back], fill[back]


def _median(values: Floats) -> Floats:
    """Row medians of what is there, as a column; NaN where nothing is."""
    ordered = np.sort(values, axis=1)  # NaN last
    count = np.isfinite(values).sum(axis=1)
    low, high = np.maximum(0, (count - 1) // 2), np.maximum(0, count // 2)
    rows = np.arange(len(values))
    return np.asarray((0.5 * (ordered[rows, low] + ordered[rows, np.minimum(high, STEPS - 1)]))[:, None])
