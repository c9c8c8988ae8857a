"""Samples as sensors make them, seeded: what sizes and rates are measured on."""

from __future__ import annotations

import math
import random

from wire_contract.flags import good_word
from wire_contract.messages import SampleBlock

# Typical readings in a street, as integers at each sensor's own resolution (slot 0 first).
LEVELS: dict[str, tuple[int, ...]] = {
    "pms5003": (10, 15, 21, 8, 15, 30, 2000, 600, 120, 15, 3, 1),
    "sds011": (120, 200),  # 12.0 and 20.0 µg/m³
    "sps30": (1000, 1400, 1600, 1700, 6000, 7000, 7200, 7250, 7260, 550),  # 10.00 µg/m³ ... 0.550 µm
}
START_MS = 1_790_000_000_123
JITTER_MS = 3


def deviation(level: int) -> float:
    """The noise's standard deviation: 2 % of the value plus one resolution step."""
    return 0.02 * level + 1


def sensor_block(
    kind: str, rows: int, unit: int = 1, seed: int = 0, jitter_ms: int = JITTER_MS
) -> SampleBlock:
    """1 Hz with times that jitter by +-`jitter_ms`, a steady level with the sensor's noise, all GOOD."""
    rng = random.Random(f"{kind} {unit} {seed}")
    levels = LEVELS[kind]
    slots = tuple(range(len(levels)))
    return SampleBlock(
        unit=unit,
        slots=slots,
        times_ms=[START_MS + 1000 * i + rng.randint(-jitter_ms, jitter_ms) for i in range(rows)],
        columns=tuple([max(0, round(rng.gauss(v, deviation(v)))) for _ in range(rows)] for v in levels),
        flags=[good_word(slots)] * rows,
    )


def entropy_bits_per_row(kind: str) -> float:
    """What no coder can undercut: a normal distribution's entropy for each slot, an even one's for the time.

    Zero for a negative one; the clipping at 0 of the smallest counts is left out.
    """
    slots = (math.log2(deviation(level) * math.sqrt(2 * math.pi * math.e)) for level in LEVELS[kind])
    return sum(slots) + math.log2(2 * JITTER_MS + 1)
