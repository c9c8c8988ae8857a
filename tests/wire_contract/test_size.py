"""How much a reading costs: at most 1.5 bytes in a batch of one minute, user properties included."""

from __future__ import annotations

import pytest

from tests.support.sensor_noise import LEVELS, sensor_block
from wire_contract.classes import Class
from wire_contract.envelope import encode
from wire_contract.messages import SampleBatch
from wire_contract.properties import Delivery, packed_bytes

BAR_BYTES_PER_READING = 1.5
SEEDS = range(40)
MIXES = {
    "pms5003": ("pms5003",),
    "sds011": ("sds011",),
    "sps30": ("sps30",),
    "pms5003 and sds011": ("pms5003", "sds011"),
    "all three": ("pms5003", "sds011", "sps30"),
}
# A year of one batch a minute has 525,600: six digits.
DELIVERY = Delivery(bytes(range(200, 216)), Class.LIVE, 525_600)
PROPERTY_BYTES = packed_bytes(DELIVERY.to_user_properties())


def sizes(kinds: tuple[str, ...], rows: int) -> list[int]:
    return [
        len(
            encode(
                SampleBatch(tuple(sensor_block(kind, rows, unit, seed) for unit, kind in enumerate(kinds)))
            )
        )
        for seed in SEEDS
    ]


@pytest.mark.parametrize("kinds", MIXES.values(), ids=MIXES.keys())
def test_a_reading_costs_at_most_a_byte_and_a_half(kinds: tuple[str, ...]) -> None:
    readings = 60 * sum(len(LEVELS[kind]) for kind in kinds)
    worst = max(sizes(kinds, 60)) + PROPERTY_BYTES
    assert worst / readings <= BAR_BYTES_PER_READING


def test_the_properties_of_a_live_batch_cost_less_than_fifty_bytes() -> None:
    assert PROPERTY_BYTES < 50


@pytest.mark.parametrize(("kind", "most"), [("sds011", 40), ("pms5003", 60), ("sps30", 64)])
def test_a_single_sample_is_small(kind: str, most: int) -> None:
    assert max(sizes((kind,), 1)) <= most
