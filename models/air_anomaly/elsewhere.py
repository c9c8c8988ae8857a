"""Air, episodes and sensors made otherwise than the recipe's: does a model know pollution, or its recipe?

Nothing of `air`, `events` or `sensor` is used but what an episode is (`events.labels`) and the reference's
hours. Air: the test part's hours with rough turbulence that forgets within minutes, or the emulator's
synthetic street. Episodes: shapes that the recipe does not draw, sized by the air that they come on top of.
Sensor: autocorrelated noise, other steps, other water. Beside calm air: what is none but looks like it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from firmware_bridge.emulator.synthetic import SyntheticScene
from models.air_anomaly.air import DAY_MIN, MINUTES
from models.air_anomaly.events import MATERIAL_SHARE, MATERIAL_UG_M3, labels
from models.air_anomaly.reference import Floats
from models.air_anomaly.sensor import Readings
from models.air_anomaly.split import Stretch

HOUR_MIN = 60
_AT = np.arange(MINUTES)
SCENES_FROM_MS, HOURS_OF_A_YEAR = 1_700_000_000_000, 8760


class Made(StrEnum):
    """The first seven are episodes."""

    RAMP = "ramp, level, ramp"
    SAWTOOTH = "sawtooth"
    BOX = "sudden, level"
    MULTIPLE = "a multiple of the air"
    SLOW = "half an hour's rise, for hours"
    GUSTED = "gusts of it"
    EMULATED = "the emulator's plume"
    CALM = "nothing"
    COMMUTE = "rush hour"
    REGIONAL = "regional build-up"
    PUFFS = "single minutes"
    FOG = "fog"
    WASHOUT = "rain"


EPISODES = tuple(Made)[:7]


class From(StrEnum):
    """Where the air before it all comes from."""

    HOURS = "the test part's hours"
    STREET = "the emulator's street"


@dataclass(frozen=True)
class Scene:
    """`label` as `events.labels`; `unsure` as the recipe's, minutes of the reference's own fast rises;
    `onset`: the first minute of the episode or None; `strength`: its peak over what is material."""

    readings: Readings
    label: NDArray[np.int8]
    unsure: NDArray[np.bool_]
    onset: int | None
    strength: float


def scene(kind: Made, source: From, stretch: Stretch, rng: Generator) -> Scene:
    """One unit's day and eight hours; the same for the same generator state."""
    base, humidity, unsure = _base(source, stretch, rng)
    air = np.maximum(0.5, base * _turbulence(rng))
    since = (_AT - int(rng.integers(DAY_MIN - 20, MINUTES - 70))).astype(np.float64)
    excess = np.zeros(MINUTES)
    material = max(MATERIAL_UG_M3, MATERIAL_SHARE * float(np.median(air[:DAY_MIN])))
    if kind in EPISODES:
        size = air if kind is Made.MULTIPLE else material
        excess = np.maximum(0.0, _shape(kind, since, rng)) * size * np.exp(rng.uniform(0.25, 2.5))
    label = labels(excess, air)
    air, humidity = _weather(kind, since, air, humidity, rng)
    readings = _read(kind, air, excess, humidity, rng)
    inside = np.flatnonzero(label == 1)
    onset = int(inside[0]) - 2 if len(inside) else None
    return Scene(readings, label, unsure, onset, float(excess.max()) / material)


def forgetting(rng: Generator, memory_min: float) -> Floats:
    """Ornstein and Uhlenbeck's process of unit size, minute by minute."""
    kept = np.exp(-1 / memory_min)
    steps = rng.standard_normal(MINUTES) * np.sqrt(1 - kept * kept)
    values, value = np.empty(MINUTES), rng.standard_normal()
    for minute, step in enumerate(steps):
        value = kept * value + step
        values[minute] = value
    return values


def _base(source: From, stretch: Stretch, rng: Generator) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """PM2.5, humidity, and which minutes nobody can label."""
    unsure = np.zeros(MINUTES, dtype=np.bool_)
    if source is From.STREET:
        street = SyntheticScene(int(rng.integers(1, 10_000)), (rng.uniform(0, 5), rng.uniform(0, 5)))
        start_ms = SCENES_FROM_MS + int(rng.integers(HOURS_OF_A_YEAR)) * 3_600_000
        airs = [street.at(start_ms + minute * 60_000 + 30_000) for minute in range(MINUTES)]
        return np.array([a.pm2_5 for a in airs]), np.array([a.humidity for a in airs]), unsure
    hourly = stretch.station.pm2_5[stretch.first : stretch.first + 34]
    known = np.flatnonzero(np.isfinite(hourly))
    hourly = np.interp(np.arange(34), known, hourly[known])
    rise = np.diff(hourly)
    for hour in np.flatnonzero(rise >= np.maximum(20.0, 0.5 * hourly[:-1])):
        unsure[max(0, (hour - 1) * HOUR_MIN) : max(0, (hour + 3) * HOUR_MIN)] = True
    base = np.exp(np.interp(_AT / HOUR_MIN, np.arange(34) - 0.5, np.log(hourly + 1.0))) - 1.0
    day = np.cos(2 * np.pi * (_AT / DAY_MIN + rng.uniform()))
    damp = rng.uniform(40, 85) + rng.uniform(3, 15) * day + 3 * forgetting(rng, 200)
    return base, np.clip(damp, 15, 97), unsure


def _turbulence(rng: Generator) -> Floats:
    sizes = np.exp(rng.uniform(np.log(0.01), np.log((0.12, 0.10))))
    fast, slow = forgetting(rng, rng.uniform(1.5, 6)), forgetting(rng, rng.uniform(20, 60))
    return np.asarray(np.exp(sizes[0] * fast + sizes[1] * slow))


def _ramps(since: Floats, rise: float, level: float, fall: float) -> Floats:
    at = np.cumsum([0.0, rise, level, fall])
    return np.interp(since, at, [0.0, 1.0, 1.0, 0.0], left=0.0, right=0.0)


def _shape(kind: Made, since: Floats, rng: Generator) -> Floats:
    """About one at its highest."""
    match kind:
        case Made.RAMP:
            form = _ramps(since, rng.uniform(5, 30), rng.uniform(10, 60), rng.uniform(5, 30))
            return form * rng.gamma(25, 1 / 25, MINUTES)
        case Made.SAWTOOTH:
            tooth, teeth = rng.uniform(8, 20), rng.integers(3, 9)
            return np.where((since >= 0) & (since < tooth * teeth), 1.3 * (since % tooth) / tooth, 0.0)
        case Made.BOX:
            inside = (since >= 0) & (since < rng.uniform(10, 120))
            return inside.astype(np.float64) * np.exp(0.15 * forgetting(rng, 2))
        case Made.MULTIPLE:
            length = rng.uniform(15, 90)
            inside = (since >= 0) & (since < length)
            return np.where(inside, 0.5 - 0.5 * np.cos(2 * np.pi * since / length), 0.0)
        case Made.SLOW:
            form = _ramps(since, rng.uniform(25, 60), rng.uniform(60, 180), 60)
            return form * np.exp(0.1 * forgetting(rng, 5))
        case Made.GUSTED:
            return _gated(since, rng) * rng.gamma(6, 1 / 6, MINUTES)
        case _:  # the plume that `make demo` sends: five minutes up, forty in all
            front = np.clip(np.minimum(since, 40 - since) / 5, 0, 1)
            return np.asarray(front**3 * (front * (front * 6 - 15) + 10))


def _gated(since: Floats, rng: Generator) -> Floats:
    """Now here, now not, as the wind turns."""
    form, at, here, end = np.zeros(MINUTES), 0.0, True, rng.uniform(20, 90)
    while at < end:
        lasts = 1 + rng.exponential(4.0 if here else 1.5)
        if here:
            form[(since >= at) & (since < at + lasts)] = 1.0
        at, here = at + lasts, not here
    return form


def _weather(
    kind: Made, since: Floats, air: Floats, humidity: Floats, rng: Generator
) -> tuple[Floats, Floats]:
    """What changes the air, or what a sensor makes of it, and is no episode."""
    match kind:
        case Made.COMMUTE:
            air = air * (1 + rng.uniform(0.2, 0.7) * np.exp(-0.5 * ((since - 60) / rng.uniform(45, 90)) ** 2))
        case Made.REGIONAL:
            air = air * (1 + rng.uniform(0.4, 2) * np.clip((since + 180) / (60 * rng.uniform(3, 7)), 0, 1))
        case Made.WASHOUT:
            air = air * (1 - rng.uniform(0.3, 0.8) * np.clip(since / rng.uniform(5, 40), 0, 1))
        case Made.FOG:
            foggy = np.clip(since / rng.uniform(20, 90), 0, 1) * (since < rng.uniform(120, 400))
            humidity = humidity + (rng.uniform(95, 99.5) - humidity) * foggy
    return air, humidity


def _read(kind: Made, air: Floats, excess: Floats, humidity: Floats, rng: Generator) -> Readings:
    dusty = rng.uniform() < 0.2
    coarse = rng.uniform(0.2, 1.2) * air + (rng.uniform(2, 5) if dusty else rng.uniform(0.05, 0.6)) * excess
    fine = rng.uniform(0.55, 0.8) * air + rng.uniform(0.5, 0.9) * (0.5 if dusty else 1.0) * excess
    kappa, damp = rng.uniform(0.1, 0.5) / 1.65, np.clip(humidity, 0, 99)
    wet = (1 + kappa * damp / (100 - damp)) / (1 + 0.5 * kappa)
    gain = (
        wet
        * np.exp(rng.normal(0, 0.2))
        * (1 + rng.uniform(0.01, 0.04) * forgetting(rng, rng.uniform(1.5, 5)))
    )
    step, seen, offset = rng.choice([1.0, 0.1, 0.017, 0.033]), rng.uniform(0.2, 0.9), rng.uniform(-0.5, 2)
    masses = []
    for mass in (air + excess, air + excess + seen * coarse, fine):
        noise = rng.normal(0, 0.4, MINUTES) + rng.uniform(0, 0.02) * mass * rng.standard_normal(MINUTES)
        masses.append(np.maximum(0.0, np.round((gain * mass + noise + offset) / step) * step))
    if kind is Made.PUFFS:
        for minute in rng.integers(DAY_MIN - 60, MINUTES - 5, rng.integers(3, 25)):
            height = np.exp(rng.uniform(np.log(10), np.log(200)))
            for shown in masses:
                shown[minute : minute + 2] += height * np.array([1.0, rng.choice([0.0, 0.4])])
    if rng.uniform() < 0.3:
        masses[2][:] = np.nan
    knows_water = kind is Made.FOG or rng.uniform() < 0.6
    water = np.clip(humidity - rng.uniform(0, 10) + rng.normal(0, 0.4, MINUTES), 0, 100)
    gone = rng.uniform(size=MINUTES) < rng.choice([0.0, 0.02])
    for shown in masses:
        shown[gone] = np.nan
    water = np.where(gone | (not knows_water), np.nan, water)
    return Readings(masses[0], masses[1], masses[2], water, np.zeros(MINUTES, dtype=np.bool_))
