"""The wire: bytes a reading, and how fast batches are made and read.

Floors: for size, the observed entropy of the differences from row to row, each column alone, without a word on
what the distribution was; for speed, the same integers packed as 32 bits and compressed.
"""

from __future__ import annotations

import math
import random
import struct
import time
from array import array
from collections import Counter
from collections.abc import Callable
from itertools import pairwise

import zstandard

from wire_contract.decode_numpy import decode_samples
from wire_contract.envelope import encode
from wire_contract.messages import SampleBatch, SampleBlock

ROWS = 60  # an hour of one-minute samples
STEP_MS = 60_000
START_MS = 1_790_000_000_000
# A PMS5003's twelve channels in a city: masses in ug/m3, counts in 1/dL.
LEVELS = (12, 18, 22, 12, 18, 22, 2700, 780, 130, 14, 5, 2)
NOISE_OF_VALUE = 0.02  # as the sensors have it: 2 % of the value ...
NOISE_STEPS = 1.0  # ... plus one step of resolution
SEED = 5
REPEAT_S = 0.5  # long enough that a clock's resolution and one descheduling do not show


def sensor_columns() -> tuple[list[int], ...]:
    """One list of ROWS integers a channel: a slow drift with the sensors' noise on it."""
    draw = random.Random(SEED)
    columns = []
    for level in LEVELS:
        values = []
        for row in range(ROWS):
            air = level * (1.0 + 0.3 * math.sin(row / ROWS * math.pi))
            noise = draw.gauss(0.0, NOISE_OF_VALUE * air) + draw.uniform(-NOISE_STEPS / 2, NOISE_STEPS / 2)
            values.append(max(0, round(air + noise)))
        columns.append(values)
    return tuple(columns)


def entropy_bytes(columns: tuple[list[int], ...]) -> float:
    """Bytes for all differences at the entropy of their own column, order 0."""
    bits = 0.0
    for column in columns:
        differences = Counter(after - before for before, after in pairwise(column))
        total = differences.total()
        bits -= sum(count * math.log2(count / total) for count in differences.values())
    return bits / 8


def per_second(call: Callable[[], object]) -> float:
    """Calls a second, over REPEAT_S."""
    calls = 0
    started = time.perf_counter()
    while (elapsed := time.perf_counter() - started) < REPEAT_S:
        call()
        calls += 1
    return calls / elapsed


def main() -> None:
    """Print the three ratios."""
    columns = sensor_columns()
    readings = ROWS * len(columns)
    times = [START_MS + STEP_MS * row for row in range(ROWS)]
    slots = tuple(range(len(columns)))
    flags = [int("1" * len(columns), 16)] * ROWS  # all good
    batch = SampleBatch((SampleBlock(1, slots, times, columns, flags),))
    payload = encode(batch)

    def plain() -> bytes:
        packed = b"".join(array("i", column).tobytes() for column in columns)
        return zstandard.ZstdCompressor().compress(struct.pack(f"<{ROWS}q", *times) + packed)

    raw = plain()

    def plain_back() -> None:
        packed = zstandard.ZstdDecompressor().decompress(raw)
        for slot in slots:
            array("i").frombytes(packed[8 * ROWS + 4 * ROWS * slot :][: 4 * ROWS])

    floor = entropy_bytes(columns)
    print(f"size    {len(payload) / readings:.2f} bytes a reading, {len(payload) / floor:.2f} x the entropy")
    for what, ours, theirs in (
        ("encode", lambda: encode(batch), plain),
        ("decode", lambda: decode_samples(payload), plain_back),
    ):
        rate, best = per_second(ours) * readings, per_second(theirs) * readings
        print(
            f"{what}  {rate / 1e6:.2f} M readings/s, {best / rate:.1f} x slower than packing 32-bit integers"
        )


if __name__ == "__main__":
    main()
