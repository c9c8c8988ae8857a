"""A synthetic street: regional background, traffic's peaks, air that stagnates at night, wind that clears it.

Not a dispersion model: the size and shape of each part are those of a European city's street stations, so
that charts, flags and compression meet what they will meet outside. Each value is a function of (seed,
position, time) alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from firmware_bridge.emulator.air import Air

HOUR_MS = 3_600_000
_MASK = (1 << 64) - 1


def _hash(seed: int, index: int) -> float:
    """Uniform in [-1, 1), the same on every machine (splitmix64's finalizer)."""
    z = (seed * 0x9E3779B97F4A7C15 + index * 0xD1B54A32D192ED03 + 0x632BE59BD9B4E019) & _MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return ((z ^ (z >> 31)) >> 11) / (1 << 52) - 1.0


def wander(seed: int, x: float) -> float:
    """Smooth noise of about unit size: knots at whole x, interpolated with a quintic (C2), two octaves."""
    total = 0.0
    for octave, weight in ((1, 1.0), (2, 0.5)):
        at = x * octave
        knot = math.floor(at)
        t = at - knot
        blend = t * t * t * (t * (t * 6 - 15) + 10)
        low, high = _hash(seed + octave, knot), _hash(seed + octave, knot + 1)
        total += weight * (low + (high - low) * blend)
    return total


def _bell(hour: float, centre: float, width: float) -> float:
    """A peak of height 1 in the day's circle."""
    distance = (hour - centre + 12) % 24 - 12
    return math.exp(-0.5 * (distance / width) ** 2)


@dataclass(frozen=True)
class SyntheticScene:
    """One lamppost in the city `city_seed`, at `position` (km). Posts share weather and regional air."""

    city_seed: int
    position: tuple[float, float]
    utc_offset_h: float = 1.0

    def at(self, street_ms: int) -> Air:
        hours = street_ms / HOUR_MS + self.utc_offset_h
        hour, day = hours % 24, math.floor(hours / 24)
        seed, (x, y) = self.city_seed * 1000, self.position
        weekend = (day + 4) % 7 >= 5  # day 0 of the epoch was a Thursday; Monday is 0
        street = 0.7 + 0.3 * wander(seed + 1, x * 1.7 + y * 0.6) + 0.2 * wander(seed + 2, y * 1.3 - x * 0.4)
        traffic = self._traffic(hour, weekend) * max(0.15, street) * (1 + 0.15 * wander(seed + 3, hours * 2))
        wind = 2.5 * math.exp(0.45 * wander(seed + 4, hours / 7)) * (0.8 + 0.3 * _bell(hour, 14, 4))
        stagnation = 1 / (0.35 + 0.26 * wind)
        night = max(_bell(hour, 23, 2.5), 0.8 * _bell(hour, 5.5, 2.5))
        region = 11 * math.exp(0.5 * wander(seed + 5, hours / 31))
        gusts = 1 + 0.05 * wander(seed + 6, hours * 9 + x + 3 * y)  # minutes, different at each post
        fine = (region * (0.75 + 0.25 * stagnation) + (8 * traffic + 5 * night) * stagnation) * gusts
        coarse = (3 + 11 * traffic) * (0.6 + 0.16 * wind) * (1 + 0.1 * wander(seed + 7, hours * 5 + x - y))
        season = math.cos(2 * math.pi * (day % 365.25 - 200) / 365.25)  # warmest in the third week of July
        sun = math.cos(2 * math.pi * (hour - 15) / 24)
        temperature = 11 + 9 * season + 4 * sun + 3 * wander(seed + 8, hours / 40)
        humidity = min(99.0, max(18.0, 68 - 16 * sun - 6 * season + 12 * wander(seed + 9, hours / 23)))
        fine, coarse = max(0.5, fine), max(0.5, coarse)
        return Air(
            pm1=fine * (0.66 + 0.05 * wander(seed + 10, hours / 5)),
            pm2_5=fine,
            pm4=fine + 0.45 * coarse,
            pm10=fine + coarse,
            co2=419 + (38 * traffic + 22 * night) * stagnation,
            temperature=temperature,
            humidity=humidity,
        )

    @staticmethod
    def _traffic(hour: float, weekend: bool) -> float:
        if weekend:
            return 0.12 + 0.55 * _bell(hour, 14.5, 4.0)
        return 0.12 + _bell(hour, 8.0, 1.1) + 0.45 * _bell(hour, 13.0, 3.0) + 0.9 * _bell(hour, 17.8, 1.6)
