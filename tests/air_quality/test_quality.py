"""The quality tests against the vectors of ioos_qc (standards.md 2.3); fed classes against functions."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from air_quality.limits import LIMITS, limits_for
from air_quality.quality import (
    FlatTest,
    Qartod,
    RangeTest,
    SpikeMethod,
    SpikeTest,
    flat_line,
    gross_range,
    rate_of_change,
    roll_up,
    spike,
)

VALUES = st.lists(st.one_of(st.none(), st.integers(-5, 5).map(float)), min_size=1, max_size=60)


def test_gross_range_of_the_standard() -> None:
    values = [5.0, 10, 15, 20, 25, 30, 35, 40, 45, 51]
    assert gross_range(values, (10, 50), (20, 40)) == [4, 3, 3, 1, 1, 1, 1, 1, 3, 4]
    assert gross_range([None], (10, 50)) == [9]


def test_spike_of_the_standard_flags_the_neighbours_too() -> None:
    values = [10.0, 12, 999.99, 13, 15, 40, 9, 9]
    assert spike(values, 25, 50, SpikeMethod.AVERAGE) == [2, 4, 4, 4, 1, 3, 1, 2]


def test_differential_spike_flags_only_the_peak() -> None:
    values = [10.0, 12, 999.99, 13, 15, 40, 9, 9]
    assert spike(values, 20, 50, SpikeMethod.DIFFERENTIAL) == [2, 1, 4, 1, 1, 3, 1, 2]
    assert spike([0.0, 100.0, 200.0], 20, 50, SpikeMethod.DIFFERENTIAL) == [2, 1, 2], "a ramp is no spike"


def test_spike_threshold_is_strict_and_a_missing_neighbour_is_unknown() -> None:
    assert spike([0.0, 20.0, 0.0], 20, 50, SpikeMethod.DIFFERENTIAL)[1] == 1
    assert spike([0.0, 90.0, None, 5.0], 20, 50, SpikeMethod.AVERAGE) == [2, 2, 9, 2]


def test_rate_of_change_of_the_standard() -> None:
    values = [2.0, 10, 2.1, 3, 4, 5, 7, 10, 0, 2, 2.2, 2, 1, 2, 3, 90, 91, 92, 93, 1, 2, 3, 4, 5]
    times_s = [900.0 * i for i in range(len(values))]
    expected = [1, 3, 3, 1, 1, 1, 1, 1, 3, 1, 1, 1, 1, 1, 1, 3, 1, 1, 1, 3, 1, 1, 1, 1]
    assert rate_of_change(values, times_s, 5 / 900) == expected


def test_rate_of_change_fails_beyond_the_second_threshold() -> None:
    assert rate_of_change([0.0, 5.0, 50.0], [0, 1, 2], suspect=4, fail=40) == [1, 3, 4]
    assert rate_of_change([0.0, None, 5.0], [0, 1, 2], suspect=1) == [1, 9, 2]


def test_flat_line_of_the_standard() -> None:
    values = [1.0, 2, 2.0001, 2, 2.0001, 2, 2.0001, 2, 4, 5, 3, 3.0001, 3.0005, 3.00001]
    assert flat_line(values, 900, 3000, 4800, 0.01) == [1, 1, 1, 1, 3, 3, 4, 4, 1, 1, 1, 1, 1, 3]


def test_flat_line_with_tolerance_zero_never_flags() -> None:
    assert set(flat_line([7.0] * 100, 1, 3, 5, 0.0)) == {Qartod.GOOD}


def test_roll_up_takes_the_worst() -> None:
    assert roll_up([Qartod.MISSING, Qartod.UNKNOWN]) == 2
    assert roll_up([Qartod.UNKNOWN, Qartod.GOOD]) == 1
    assert roll_up([Qartod.GOOD, Qartod.FAIL, Qartod.SUSPECT]) == 4


@given(VALUES, st.integers(1, 5), st.integers(1, 5), st.sampled_from([0.5, 1.5, 3.0]))
def test_flat_fed_one_by_one_agrees_with_its_definition(
    values: list[float | None], suspect: int, more: int, tolerance: float
) -> None:
    fail = suspect + more
    test = FlatTest(suspect, fail, tolerance)
    fed = [test.push(value) for value in values]
    seen: list[float] = []
    for value, flag in zip(values, fed, strict=True):
        if value is None:
            assert flag is Qartod.MISSING
            continue
        seen.append(value)

        def flat(count: int) -> bool:
            window = seen[-count - 1 :]
            return len(window) == count + 1 and max(window) - min(window) < tolerance

        assert flag == (4 if flat(fail) else 3 if flat(suspect) else 1)


@given(VALUES, st.sampled_from(list(SpikeMethod)))
def test_spike_fed_one_by_one_answers_for_the_one_before(
    values: list[float | None], method: SpikeMethod
) -> None:
    test = SpikeTest(1.0, 3.0, method)
    answers = [test.push(value) for value in values]
    assert answers[0] is None
    assert answers[1:] == spike(values, 1.0, 3.0, method)[:-1]


def test_a_flat_run_costs_no_memory() -> None:
    test = FlatTest(10, 43_200, 0.05)
    for _ in range(50_000):
        flag = test.push(3.0)
    assert flag is Qartod.FAIL
    assert len(test._low) <= 1
    assert len(test._high) <= 1


def test_limits_are_sane_for_every_channel_of_the_sensors() -> None:
    from firmware_bridge.kinds import SPECS

    for spec in SPECS.values():
        for channel in spec.channels:
            limits = limits_for(channel.name, channel.unit)
            low, high = limits.fail
            assert low < high
            assert math.isfinite(low)
            if limits.suspect:
                assert low <= limits.suspect[0] < limits.suspect[1] <= high
    assert LIMITS["pm2_5"].fail == (0.0, 1000.0)
    assert LIMITS["pm2_5"].suspect == (0.0, 500.0)


@pytest.mark.parametrize(
    ("value", "flag"),
    [(0.0, 1), (1000.0, 3), (1000.1, 4), (-0.1, 4), (500.0, 1), (998.9, 3), (999.0, 4), (999.9, 4)],
)
def test_the_ends_of_a_span_belong_to_it(value: float, flag: int) -> None:
    limits = LIMITS["pm2_5"]
    assert RangeTest(limits.fail, limits.suspect, limits.caps).push(value) == flag
