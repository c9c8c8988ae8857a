"""A street's minutes between two reference hours: shape of the day, turbulence, passing lorries. No episode
in it.

All masses in ug/m3, dry; arrays of `MINUTES` minutes. The sizes are those told of street stations (morning
and evening peaks of some tens of per cent, gusts of some per cent, puffs of a minute or two), drawn widely:
a model that has seen many kinds of street is not surprised by one more.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from models.air_anomaly.reference import Floats
from models.air_anomaly.split import STRETCH_HOURS, Stretch

HOUR_MIN = 60
DAY_MIN = 1440
# The day that is the background, then the eight hours in which things happen.
MINUTES = DAY_MIN + 480
# A rise of the reference itself from one hour to the next by as much may be an episode that nobody wrote
# down.
FAST_RISE_UG_M3, FAST_RISE_SHARE = 20.0, 0.5
FAST_RISE_REMEMBERED_MIN = 180


@dataclass(frozen=True)
class StreetAir:
    """`unsure`: minutes within reach of a fast rise of the reference, which the recipe labels neither way."""

    pm2_5: Floats
    pm10: Floats
    humidity: Floats
    unsure: NDArray[np.bool_]


def street_air(stretch: Stretch, rng: Generator) -> StreetAir:
    """One unit's air over the stretch; the same for the same generator state."""
    station, rows = stretch.station, slice(stretch.first, stretch.first + STRETCH_HOURS)
    hourly = filled(station.pm2_5[rows])
    base = np.exp(minutes_of(np.log(hourly + 1.0))) - 1.0
    hour_of_day = (stretch_hour_of_day(stretch) + np.arange(MINUTES) / HOUR_MIN) % 24
    pm2_5 = base * (1 + _days_shape(hour_of_day, rng)) * _gusts(rng)
    pm2_5 += _peaks_of_traffic(hour_of_day, rng) + _puffs(base, rng)
    ratio = _pm10_ratio(stretch, hourly, rng)
    pm2_5 = np.maximum(pm2_5, 0.3)
    coarse = pm2_5 * (ratio - 1) * np.exp(rng.uniform(0.02, 0.15) * smooth(rng, 10.0))
    return StreetAir(pm2_5, pm2_5 + coarse, _humidity(stretch, hour_of_day, rng), fast_rises(hourly))


def stretch_hour_of_day(stretch: Stretch) -> int:
    return int(stretch.station.hours[stretch.first]) % 24


def filled(hourly: Floats) -> Floats:
    """Holes interpolated."""
    known = np.isfinite(hourly)
    at = np.arange(len(hourly))
    return np.interp(at, at[known], hourly[known])


def minutes_of(hourly: Floats) -> Floats:
    """Hourly means stand at their hour's middle; between them a line, corners rounded over half an hour."""
    at = np.arange(-30, MINUTES + 30) / HOUR_MIN
    line = np.interp(at, np.arange(len(hourly)) - 0.5, hourly)
    return np.convolve(line, np.ones(31) / 31, mode="same")[30:-30]


def smooth(rng: Generator, knot_min: float, count: int = MINUTES) -> Floats:
    """Smooth noise of unit size: normal knots `knot_min` apart, joined by a smoothstep."""
    at = np.arange(count) / knot_min + rng.uniform()
    knots = rng.standard_normal(int(at[-1]) + 3)
    index = at.astype(np.int64)
    t = at - index
    blend = t * t * (3 - 2 * t)
    return np.asarray(knots[index] * (1 - blend) + knots[index + 1] * blend)


def turbulence(rng: Generator, memory_min: float, count: int = MINUTES) -> Floats:
    """Rough noise of unit size that forgets within `memory_min`: a first-order autoregression."""
    kernel = np.exp(-np.arange(int(6 * memory_min) + 2) / memory_min)
    white = rng.standard_normal(count + len(kernel) - 1)
    return np.convolve(white, kernel / np.sqrt((kernel**2).sum()), mode="valid")


def fast_rises(hourly: Floats) -> NDArray[np.bool_]:
    """Minutes from a fast rise's beginning until it is old enough to be background."""
    unsure = np.zeros(MINUTES, dtype=np.bool_)
    rise = np.diff(hourly)
    for hour in np.flatnonzero(rise >= np.maximum(FAST_RISE_UG_M3, FAST_RISE_SHARE * hourly[:-1])):
        start = int(hour) * HOUR_MIN - HOUR_MIN
        unsure[max(0, start) : max(0, start + FAST_RISE_REMEMBERED_MIN + HOUR_MIN)] = True
    return unsure


def bell(hour_of_day: Floats, centre: float, width: float) -> Floats:
    distance = (hour_of_day - centre + 12) % 24 - 12
    return np.asarray(np.exp(-0.5 * (distance / width) ** 2))


def _days_shape(hour_of_day: Floats, rng: Generator) -> Floats:
    """What the hourly mean of another street smooths away: peaks of morning, evening and night."""
    shape = np.zeros(MINUTES)
    for centre in (8.0, 17.8, 23.0):
        shape += rng.uniform(0, 0.4) * bell(hour_of_day, centre + rng.uniform(-1, 1), rng.uniform(0.8, 2.5))
    return shape


def _peaks_of_traffic(hour_of_day: Floats, rng: Generator) -> Floats:
    height = rng.uniform(0, 10)
    centres = (8.0 + rng.uniform(-1, 1), 17.8 + rng.uniform(-1, 1))
    peaks = bell(hour_of_day, centres[0], rng.uniform(0.8, 1.6)) + bell(
        hour_of_day, centres[1], rng.uniform(0.9, 2.0)
    )
    return height * peaks * np.maximum(0.2, 1 + rng.uniform(0, 0.2) * smooth(rng, 30.0))


def _gusts(rng: Generator) -> Floats:
    """Multiplicative turbulence at three time scales, smooth in one street of two, rough in the other."""
    size = np.exp(rng.uniform(np.log(0.01), np.log(0.10)))
    form = smooth if rng.uniform() < 0.5 else turbulence
    noise = 0.5 * form(rng, 2.0) + 0.8 * form(rng, rng.uniform(5, 15)) + form(rng, rng.uniform(25, 60))
    return np.asarray(np.exp(np.clip(size * noise, -0.5, 0.5)))


def _puffs(base: Floats, rng: Generator) -> Floats:
    """Single vehicles and cigarettes: up within a minute, gone in three."""
    puffs = np.zeros(MINUTES)
    count = rng.poisson(np.exp(rng.uniform(np.log(0.02), np.log(3.0))) * MINUTES / HOUR_MIN)
    for at, decay in zip(rng.integers(0, MINUTES - 12, count), rng.uniform(0.5, 2.0, count), strict=True):
        puffs[at : at + 10] += rng.exponential(1.5 + 0.1 * base[at]) * np.exp(-np.arange(10) / decay)
    return puffs


def _pm10_ratio(stretch: Stretch, hourly: Floats, rng: Generator) -> Floats:
    """PM10 / PM2.5 of the street: the station's own where it measures both."""
    station, rows = stretch.station, slice(stretch.first, stretch.first + STRETCH_HOURS)
    if station.pm10 is not None and np.isfinite(station.pm10[rows]).mean() > 0.7:
        ratio = filled(station.pm10[rows]) / np.maximum(hourly, 3.0)
        return minutes_of(np.clip(ratio, 1.02, 6.0))
    return np.asarray(np.clip(1 + rng.uniform(0.1, 1.5) * np.exp(0.3 * smooth(rng, 240.0)), 1.02, 6.0))


def _humidity(stretch: Stretch, hour_of_day: Floats, rng: Generator) -> Floats:
    """In %: the station's own, else a day's course with weather."""
    station, rows = stretch.station, slice(stretch.first, stretch.first + STRETCH_HOURS)
    if station.humidity is not None and np.isfinite(station.humidity[rows]).mean() > 0.7:
        course = minutes_of(filled(station.humidity[rows]))
    else:
        sun = np.cos(2 * np.pi * (hour_of_day - 15) / 24)
        course = rng.uniform(45, 88) - rng.uniform(3, 18) * sun + rng.uniform(2, 8) * smooth(rng, 360.0)
    return np.asarray(np.clip(course + 0.5 * smooth(rng, 20.0), 10.0, 99.0))
