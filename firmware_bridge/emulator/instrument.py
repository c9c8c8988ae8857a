"""What a sensor of a kind makes of the air: its channels, its own gain, its noise.

Noise per channel: normal, sigma = 2 % of the value plus one resolution step, independent of the others.
Counts and sizes follow the masses in the proportions of frames recorded from real sensors.
"""

from __future__ import annotations

import random

from firmware_bridge.emulator.air import Air
from firmware_bridge.kinds import SPECS, SensorKind

NOISE_SHARE = 0.02
UNIT_SPREAD = 0.04  # sigma of the gain between units of a kind; data sheets allow 10 %
LARGEST_WORD = 65535
LARGEST_FLOAT_STEPS = 10_000_000  # 100,000 in steps of 0.01: beyond anything an SPS30 states


class Instrument:
    """One unit: the same seed and the same questions give the same values."""

    def __init__(self, kind: SensorKind, seed: int) -> None:
        self._kind = kind
        self._random = random.Random(f"{kind}:{seed}")  # noqa: S311, noise
        self._gain = 1 + UNIT_SPREAD * max(-2.0, min(2.0, self._random.gauss(0, 1)))

    def measure(self, air: Air) -> tuple[int, ...]:
        """Scaled integers by slot."""
        steps = []
        largest = LARGEST_FLOAT_STEPS if self._kind is SensorKind.SPS30 else LARGEST_WORD
        for channel, value in zip(SPECS[self._kind].channels, _true_values(self._kind, air), strict=True):
            true_steps = value / 10**channel.exponent
            gain = self._gain if channel.name.startswith(("pm", "n")) else 1.0
            sigma = NOISE_SHARE * abs(true_steps) + 1
            noisy = round(true_steps * gain + self._random.gauss(0, sigma))
            lowest = -400 if channel.name == "temperature" else 0
            steps.append(min(largest, max(lowest, noisy)))
        return _consistent(self._kind, steps)


def _consistent(kind: SensorKind, steps: list[int]) -> tuple[int, ...]:
    """Cumulative channels in order: noise may exchange neighbours, and no sensor would send that."""
    match kind:
        case SensorKind.SDS011 | SensorKind.SDS021:
            return tuple(sorted(steps))
        case SensorKind.SPS30:
            return (*sorted(steps[:4]), *sorted(steps[4:9]), steps[9])
        case SensorKind.MHZ19B:
            return tuple(steps)
        case SensorKind.PMS5003T:
            return (*sorted(steps[:3]), *sorted(steps[3:6]), *sorted(steps[6:10], reverse=True), *steps[10:])
        case _:
            return (*sorted(steps[:3]), *sorted(steps[3:6]), *sorted(steps[6:], reverse=True))


def _true_values(kind: SensorKind, air: Air) -> tuple[float, ...]:
    coarse = air.pm10 - air.pm2_5
    match kind:
        case SensorKind.SDS011 | SensorKind.SDS021:
            return (air.pm2_5, air.pm10)
        case SensorKind.MHZ19B:
            return (air.co2, air.temperature)
        case SensorKind.SPS30:
            below_half = 5.1 * air.pm1 / 0.68
            counts = tuple(below_half * share for share in (1.0, 1.19, 1.225, 1.232, 1.234))
            size = 0.55 + 0.5 * coarse / (air.pm10 + 1)
            return (air.pm1, air.pm2_5, air.pm4, air.pm10, *counts, size)
        case SensorKind.PMS5003T:
            return (*_plantower(air)[:10], air.temperature, air.humidity)
        case _:
            return _plantower(air)


def _plantower(air: Air) -> tuple[float, ...]:
    masses = (air.pm1, air.pm2_5, air.pm10)
    # CF=1 and atmospheric agree at low concentrations and part above 30 ug/m3 by up to a half
    factory = tuple(m if m < 30 else 30 + 1.5 * (m - 30) for m in masses)
    coarse = air.pm10 - air.pm2_5
    smallest = 130 * air.pm2_5 + 40
    counts = (smallest, 0.29 * smallest, 0.05 * smallest, 0.9 * coarse, 0.25 * coarse, 0.1 * coarse)
    return (*factory, *masses, *counts)
