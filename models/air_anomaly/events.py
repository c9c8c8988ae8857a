"""What happens in a street: episodes of many shapes, and slow build-ups, which are none. In ug/m3."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from models.air_anomaly.air import MINUTES, smooth, turbulence
from models.air_anomaly.reference import Floats

# An excess that matters: as large as a low-cost sensor's stated error, and a third of the air it comes on
# top of.
MATERIAL_UG_M3, MATERIAL_SHARE = 8.0, 0.35
# One or two minutes may be a spike or a lorry: nobody can tell, so nobody is asked to.
UNTOLD_MIN = 2
# After its end an episode is still in the air, in the casing and in the window.
AFTERMATH_MIN = 15
# The street knows more shapes than the five kinds: so many episodes take one of no kind.
ANY_SHAPE = 0.4


class Event(StrEnum):
    """What the eight hours hold. The first five are episodes; REGIONAL, the faults and NONE are not."""

    PLUME = "passing plume"
    SMOKE = "fire smoke"
    CONSTRUCTION = "construction dust"
    JAM = "traffic jam"
    FIREWORKS = "fireworks"
    REGIONAL = "regional build-up"
    SPIKE = "spike"
    FLAT_LINE = "flat line"
    SWELL = "humidity swell"
    DRIFT = "drift"
    NONE = "none"


EPISODES = (Event.PLUME, Event.SMOKE, Event.CONSTRUCTION, Event.JAM, Event.FIREWORKS)
FAULTS = (Event.SPIKE, Event.FLAT_LINE, Event.SWELL, Event.DRIFT)


@dataclass(frozen=True)
class Excess:
    """PM2.5 of the event, its PM1 share, and the coarse mass (PM10 - PM2.5) that comes with it."""

    pm2_5: Floats
    pm1_share: float
    coarse: Floats


Shape = Callable[[Floats, Generator], Floats]


def no_excess() -> Excess:
    return Excess(np.zeros(MINUTES), 0.7, np.zeros(MINUTES))


def episode(event: Event, onset: int, rng: Generator) -> Excess:
    """An episode that begins at minute `onset`; its shape's peak is about one."""
    shape, peaks, pm1_share, coarse = _KINDS[event]
    if rng.uniform() < ANY_SHAPE:
        shape = _any
    since = np.arange(MINUTES, dtype=np.float64) - onset
    form = np.where(since >= 0, np.maximum(0.0, shape(np.maximum(since, 0.0), rng)), 0.0)
    peak = np.exp(rng.uniform(np.log(peaks[0]), np.log(peaks[1])))
    pm2_5 = peak * form
    return Excess(pm2_5, rng.uniform(*pm1_share), pm2_5 * rng.uniform(*coarse))


def regional(onset: int, base: Floats, rng: Generator) -> Excess:
    """A slow build-up over hours: the whole region's air, no episode of this street."""
    hours = rng.uniform(2.5, 9)
    since = (np.arange(MINUTES) - onset) / (60 * hours)
    share = np.clip(since, 0, 1)
    form = share * share * (3 - 2 * share)
    pm2_5 = rng.uniform(0.4, 2.5) * base * form
    return Excess(pm2_5, rng.uniform(0.6, 0.75), 0.2 * pm2_5)


def labels(excess: Floats, air: Floats) -> NDArray[np.int8]:
    """Per minute 1 (in an episode), 0 (not), -1 (not asked): the first UNTOLD_MIN minutes, the AFTERMATH_MIN
    after, lulls between, and an excess that is half material but never becomes so."""
    threshold = np.maximum(MATERIAL_UG_M3, MATERIAL_SHARE * air)
    share = np.convolve(excess, np.ones(3) / 3, mode="same") / threshold
    answer = np.zeros(MINUTES, dtype=np.int8)
    answer[share >= 0.5] = -1
    inside, began, ended = False, 0, -AFTERMATH_MIN - 1
    for minute, value in enumerate(share):
        if not inside and value >= 1.0:
            inside, began = True, minute
        elif inside and value < 0.5:
            inside, ended = False, minute
        if inside:
            answer[minute] = 1 if minute - began >= UNTOLD_MIN else -1
        elif minute - ended <= AFTERMATH_MIN:
            answer[minute] = -1
    return answer


def _plume(since: Floats, rng: Generator) -> Floats:
    """10 to 90 minutes, rising faster than it goes."""
    length = rng.uniform(10, 90)
    rise = rng.uniform(0.1, 0.45) * length
    width = np.where(since < rise, rise / 2.2, (length - rise) / 2.2)
    form = np.exp(-(((since - rise) / width) ** 2))
    return np.asarray(form * np.exp(rng.uniform(0, 0.35) * smooth(rng, 3.0)))


def _plateau(since: Floats, rise: float, length: float, fall: float) -> Floats:
    return np.asarray((1 - np.exp(-since / rise)) * np.exp(-np.maximum(0, since - length) / fall))


def _smoke(since: Floats, rng: Generator) -> Floats:
    """Fast up, hours long, billowing."""
    form = _plateau(since, rng.uniform(2, 10), rng.uniform(40, 240), rng.uniform(8, 30))
    return np.asarray(form * np.exp(rng.uniform(0.1, 0.5) * smooth(rng, rng.uniform(4, 15))))


def _construction(since: Floats, rng: Generator) -> Floats:
    """Work and pauses: bursts of some minutes for an hour or two."""
    bursts = np.clip(0.5 + smooth(rng, rng.uniform(4, 12)), 0, 1.6)
    return _plateau(since, rng.uniform(1, 5), rng.uniform(25, 120), rng.uniform(3, 10)) * bursts


def _jam(since: Floats, rng: Generator) -> Floats:
    """Engines that stand: up within a quarter of an hour, level, away."""
    form = _plateau(since, rng.uniform(4, 10), rng.uniform(20, 80), rng.uniform(6, 15))
    return np.asarray(form * np.exp(rng.uniform(0.05, 0.25) * smooth(rng, 6.0)))


def _fireworks(since: Floats, rng: Generator) -> Floats:
    """Several bangs, each up within minutes and gone in a quarter of an hour."""
    form = np.zeros(MINUTES)
    for start in np.cumsum(np.concatenate(([0.0], rng.exponential(12, rng.integers(2, 6))))):
        after = np.maximum(0, since - start)
        form += rng.uniform(0.3, 1.0) * (1 - np.exp(-after / 2)) * np.exp(-after / rng.uniform(6, 18))
    return form / max(0.3, float(form.max()))


def _any(since: Floats, rng: Generator) -> Floats:
    """Up within half a minute to three quarters of an hour, level for minutes or hours, away; corners sharp
    or round, billowing or not at all."""
    rise, level, fall = (_log_uniform(rng, *span) for span in ((0.5, 45), (5, 240), (1, 60)))
    up, gone = np.clip(since / rise, 0, 1), np.clip((since - rise - level) / fall, 0, 1)
    form = up ** _log_uniform(rng, 0.6, 2.5) * (1 - gone) ** _log_uniform(rng, 0.6, 2.5)
    return np.asarray(form * np.exp(rng.choice([0.0, 0.1, 0.4]) * turbulence(rng, rng.uniform(1, 8))))


def _log_uniform(rng: Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


_KINDS: dict[Event, tuple[Shape, tuple[float, float], tuple[float, float], tuple[float, float]]] = {
    # shape, PM2.5 peak in ug/m3, PM1 share of it, coarse mass per PM2.5
    Event.PLUME: (_plume, (12, 300), (0.6, 0.85), (0.05, 0.6)),
    Event.SMOKE: (_smoke, (12, 400), (0.75, 0.92), (0.02, 0.2)),
    Event.CONSTRUCTION: (_construction, (10, 100), (0.25, 0.5), (2.0, 7.0)),
    Event.JAM: (_jam, (10, 60), (0.6, 0.8), (0.2, 0.8)),
    Event.FIREWORKS: (_fireworks, (15, 400), (0.65, 0.85), (0.1, 0.5)),
}
