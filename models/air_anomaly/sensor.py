"""What a low-cost sensor makes of the air: unit, noise, resolution, humidity, gaps, and the faults."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from models.air_anomaly.air import DAY_MIN, MINUTES, smooth
from models.air_anomaly.events import Event
from models.air_anomaly.reference import Floats


@dataclass(frozen=True)
class SensorModel:
    """`resolution` in ug/m3 of one sample; `own_humidity`: the unit measures it itself (PMS5003T)."""

    name: str
    resolution: float
    has_pm1: bool
    own_humidity: bool
    coarse_response: tuple[float, float]  # share of the coarse mass that it sees


# Plantower's PM10 is mostly inferred from small particles, the SDS011 sees a part of the coarse, the SPS30
# likewise infers (Kuula et al. 2020, doi 10.5194/amt-13-2413-2020).
SENSORS = (
    SensorModel("pms5003", 1.0, True, False, (0.1, 0.6)),
    SensorModel("pms5003t", 1.0, True, True, (0.1, 0.6)),
    SensorModel("sds011", 0.1, False, False, (0.3, 0.9)),
    SensorModel("sps30", 0.01, True, False, (0.1, 0.6)),
)
# A post may hold a second sensor that knows the humidity.
HUMIDITY_BESIDE = 0.35
WATER_PER_KAPPA = 1 / 1.65  # volume growth to mass growth at a dry density of 1.65 g/cm3


@dataclass(frozen=True)
class Readings:
    """Minute means as a unit gives them, NaN where missing; `faulty`: minutes in which the fault shows."""

    pm2_5: Floats
    pm10: Floats
    pm1: Floats
    humidity: Floats
    faulty: NDArray[np.bool_]


def growth(humidity: Floats, kappa: float) -> Floats:
    """Mass growth by water, kappa-Koehler (Petters and Kreidenweis 2007), capped at 99.3 %."""
    activity = np.clip(humidity, 0, 99.3) / 100
    return np.asarray(1 + kappa * WATER_PER_KAPPA * activity / (1 - activity))


def read(
    sensor: SensorModel,
    pm1: Floats,
    pm2_5: Floats,
    pm10: Floats,
    humidity: Floats,
    fault: Event | None,
    rng: Generator,
) -> Readings:
    """Minute means of one unit in this (dry) air, with `fault` if it is one of the faults."""
    faulty = np.zeros(MINUTES, dtype=np.bool_)
    kappa = rng.uniform(0.05, 0.5)
    wet = growth(humidity, kappa) / growth(np.asarray([35.0]), kappa)
    gain = np.exp(rng.normal(0, 0.2)) * (1 + rng.uniform(-0.05, 0.05) * np.linspace(0, 1, MINUTES)) * wet
    if fault is Event.SWELL:
        humidity, swell, faulty = _swell(humidity, rng)
        gain = gain * swell
    if fault is Event.DRIFT:
        drift, faulty = _drift(rng)
        gain = gain * drift
    coarse = rng.uniform(*sensor.coarse_response) * (pm10 - pm2_5)
    offset = rng.uniform(-1.0, 2.5)
    averaged = rng.choice([1, 6, 30, 60])
    masses = [
        _sampled(gain * mass + offset, sensor.resolution, averaged, rng)
        for mass in (pm2_5, pm2_5 + coarse, pm1)
    ]
    has_humidity = sensor.own_humidity or rng.uniform() < HUMIDITY_BESIDE
    shown = np.clip(humidity - rng.uniform(0, 12) + rng.normal(0, 0.3, MINUTES), 0, 100)
    if fault is Event.SPIKE:
        faulty = _spike(masses, rng)
    if fault is Event.FLAT_LINE:
        faulty = _flatten(masses, rng)
    gone = _gaps(rng)
    for mass in masses:
        mass[gone] = np.nan
    if not sensor.has_pm1:
        masses[2][:] = np.nan
    shown = np.where(gone | (not has_humidity), np.nan, np.round(shown, 1))
    return Readings(masses[0], masses[1], masses[2], shown, faulty)


def _sampled(mass: Floats, resolution: float, count: int, rng: Generator) -> Floats:
    """Means of `count` samples a minute: noise shrinks with the root, and so does the resolution's step."""
    noise = (0.3 + rng.uniform(0.01, 0.06) * np.abs(mass)) * rng.standard_normal(MINUTES) / np.sqrt(count)
    slow = 1 + rng.uniform(0, 0.01) * smooth(rng, 4.0)
    step = resolution / count
    return np.asarray(np.maximum(0.0, np.round((mass * slow + noise) / step) * step))


def _swell(humidity: Floats, rng: Generator) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Fog: the air reaches saturation and droplets are counted as dust."""
    since = np.arange(MINUTES) - rng.integers(DAY_MIN, DAY_MIN + 330)
    rise, length, fall = rng.uniform(10, 60), rng.uniform(20, 180), rng.uniform(10, 60)
    up = 1 / (1 + np.exp(-np.clip((since - rise) / (rise / 4), -40, 40)))
    form = up / (1 + np.exp(np.clip((since - rise - length) / (fall / 4), -40, 40)))
    top = rng.uniform(93, 99.8)
    damp = np.maximum(humidity, humidity + (top - humidity) * form)
    factor = 1 + rng.uniform(0.3, 4.0) * form**2 * np.exp(0.1 * smooth(rng, 5.0))
    return damp, factor, factor > 1.25


def _drift(rng: Generator) -> tuple[Floats, NDArray[np.bool_]]:
    """Dust on the optics, a tired laser: the slope goes over hours."""
    start, hours = rng.integers(DAY_MIN - 600, DAY_MIN + 180), rng.uniform(3, 10)
    factor = 1 + rng.uniform(0.5, 2.5) * np.clip((np.arange(MINUTES) - start) / (60 * hours), 0, 1)
    return factor, factor > 1.3


def _spike(masses: list[Floats], rng: Generator) -> NDArray[np.bool_]:
    """One or two minutes of nonsense, some times."""
    faulty = np.zeros(MINUTES, dtype=np.bool_)
    for at in rng.integers(DAY_MIN - 30, MINUTES - 3, rng.integers(1, 8)):
        span = slice(at, at + rng.integers(1, 3))
        height = np.exp(rng.uniform(np.log(25), np.log(900)))
        for mass in masses:
            mass[span] += height
        faulty[span] = True
    return faulty


def _flatten(masses: list[Floats], rng: Generator) -> NDArray[np.bool_]:
    """The same values for ever, or zeros, and perhaps awake again."""
    start = rng.integers(DAY_MIN - 60, MINUTES - 90)
    span = slice(start, start + rng.integers(25, 400))
    zero = rng.uniform() < 0.25
    for mass in masses:
        mass[span] = 0.0 if zero else mass[start]
    faulty = np.zeros(MINUTES, dtype=np.bool_)
    faulty[span] = True
    return faulty


def _gaps(rng: Generator) -> NDArray[np.bool_]:
    """Single minutes, holes, and a unit that was switched on only lately."""
    gone = rng.uniform(size=MINUTES) < rng.choice([0.0, 0.01, 0.1], p=[0.5, 0.35, 0.15])
    for _ in range(rng.poisson(0.8)):
        at = rng.integers(0, MINUTES)
        gone[at : at + rng.integers(3, 40)] = True
    if rng.uniform() < 0.25:
        gone[: DAY_MIN - rng.integers(40, 1200)] = True
    return np.asarray(gone)
