"""The last hour of one sensor unit as the model sees it: 60 steps of one minute, gaps masked.

Training calls the same arithmetic in numpy (`models.air_anomaly.batch`); a test holds the two together.
"""

from __future__ import annotations

import hashlib
import math
import sys
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

from models.features.channels import CHANNELS, Channel, Scaling
from models.features.context import Background, Context, observe, quantile
from models.features.manifest import Manifest

__all__ = ["CHANNELS", "Context", "Minute", "Window", "assemble", "observe"]

MINUTE_MS = 60_000


@dataclass(frozen=True)
class Minute:
    """Means of one minute's good samples; `time_ms` is its beginning. Masses in ug/m3 as the sensor says
    them, not corrected for humidity; humidity in %, temperature in Cel; None where there is none."""

    time_ms: int
    pm2_5: float | None = None
    pm10: float | None = None
    pm1: float | None = None
    humidity: float | None = None
    temperature: float | None = None


@dataclass(frozen=True)
class Window:
    """`values`: float32, row-major, steps x channels. `coverage`: share of steps with a PM2.5.

    `background`, `before` and `recent` are in ug/m3, for the rule and for words: the day's median, the
    median of the window's older half, and the median of its last five steps (None: none of them is there).
    """

    end_ms: int
    values: array[float]
    coverage: float
    background: Background
    before: float
    recent: float | None

    def hash(self) -> bytes:
        """SHA-256 of the values as little-endian float32: what a verdict says that it was made of."""
        values = self.values
        if sys.byteorder == "big":
            values = array("f", values)
            values.byteswap()
        return hashlib.sha256(values.tobytes()).digest()


RECENT_STEPS = 5


def assemble(minutes: Sequence[Minute], end_ms: int, context: Context, manifest: Manifest) -> Window | None:
    """The window that ends at `end_ms` (exclusive), from minutes in any order; others are left out,
    of two in the same step the later given counts. None when the background is unknown or too few steps hold
    a PM2.5."""
    background = context.background(end_ms)
    if background is None:
        return None
    steps: list[Minute | None] = [None] * manifest.steps
    for minute in minutes:
        back = (end_ms - 1 - minute.time_ms) // MINUTE_MS
        if 0 <= back < manifest.steps:
            steps[manifest.steps - 1 - back] = minute
    pm2_5 = [_mass(m.pm2_5) if m else None for m in steps]
    coverage = sum(v is not None for v in pm2_5) / manifest.steps
    if coverage < manifest.thresholds.min_coverage:
        return None
    values = _values(steps, pm2_5, background, manifest)
    older = _median(pm2_5[: manifest.steps // 2])
    everything = _median(pm2_5)
    assert everything is not None  # min_coverage is above 0
    before = everything if older is None else older
    return Window(end_ms, values, coverage, background, before, _median(pm2_5[-RECENT_STEPS:]))


def _values(
    steps: Sequence[Minute | None], pm2_5: Sequence[float | None], background: Background, manifest: Manifest
) -> array[float]:
    floor = manifest.floor_ug_m3
    logs = [None if v is None else math.log(v + floor) for v in pm2_5]
    middle = _median(logs) or 0.0
    damp = [_share(m.humidity) if m else None for m in steps]
    damp_middle = _median(damp) or 0.0
    usual = math.log(background.median + floor)
    spread = math.log((background.high + floor) / (background.low + floor))
    scalings: list[Scaling] = [manifest.scaling[name] for name in CHANNELS]
    values = array("f")
    for minute, log, humidity in zip(steps, logs, damp, strict=True):
        pm10 = _mass(minute.pm10) if minute and log is not None else None
        pm1 = _mass(minute.pm1) if minute and log is not None else None
        here = log or 0.0
        raw: dict[str, float | None] = {
            Channel.LEVEL: None if log is None else log - usual,
            Channel.RECENT: None if log is None else log - middle,
            Channel.COARSE: None if pm10 is None else math.log(pm10 + floor) - here,
            Channel.FINE: None if pm1 is None else math.log(pm1 + floor) - here,
            Channel.HUMIDITY: humidity,
            Channel.HUMIDITY_CHANGE: None if humidity is None else humidity - damp_middle,
            Channel.BACKGROUND: usual,
            Channel.SPREAD: spread,
            Channel.FILL: background.fill,
            Channel.HAS_PM2_5: float(log is not None),
            Channel.HAS_PM10: float(pm10 is not None),
            Channel.HAS_PM1: float(pm1 is not None),
            Channel.HAS_HUMIDITY: float(humidity is not None),
        }
        for name, scaling in zip(CHANNELS, scalings, strict=True):
            value = raw[name]
            values.append(0.0 if value is None else scaling.apply(value))
    return values


def _mass(value: float | None) -> float | None:
    """A usable mass: finite and not negative."""
    return value if value is not None and math.isfinite(value) and value >= 0 else None


def _share(value: float | None) -> float | None:
    """A usable relative humidity: finite, 0..100 (a little over is a wet sensor's 100)."""
    return min(value, 100.0) if value is not None and math.isfinite(value) and 0 <= value <= 110 else None


def _median(values: Sequence[float | None]) -> float | None:
    ordered = sorted(v for v in values if v is not None)
    return quantile(ordered, 0.5) if ordered else None
