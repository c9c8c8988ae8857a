"""Flags of a unit's samples as the device gives them: at arrival, and as they end."""

from __future__ import annotations

import pytest

from edge_agent.core.quality import UnitQuality
from wire_contract.flags import Flag, unpack_flags

PM = [("pm2_5", "ug/m3", -1)]  # tenths, as the SDS011 sends them


def flags(values: list[int | None], every_s: float) -> tuple[list[Flag], list[Flag]]:
    """(as they arrive, as they end) for values of one slot taken each `every_s`."""
    quality = UnitQuality(PM, every_s)
    arrived: list[Flag] = []
    final: list[Flag] = []
    for n, value in enumerate(values):
        judged = quality.judge([value], n * every_s)
        if judged.amended_before is not None:
            final[-1] = Flag(unpack_flags(judged.amended_before)[0])
        arrived.append(Flag(unpack_flags(judged.flags)[0]))
        final.append(arrived[-1])
    return arrived, final


@pytest.mark.parametrize("every_s", [1.0, 10.0, 60.0, 300.0])
def test_a_spike_is_suspect_when_it_arrives(every_s: float) -> None:
    """At one sample a minute it is sealed and sent before the sample after it can prove it a spike."""
    arrived, final = flags([120, 130, 1500, 125, 130], every_s)  # 12 to 150 ug/m3 and back
    assert arrived[2] is Flag.SUSPECT_RATE
    assert final[2] is Flag.SUSPECT_SPIKE
    assert [arrived[n] for n in (0, 1, 4)] == [Flag.GOOD] * 3


def test_the_step_back_is_suspect_too_as_the_standard_has_it() -> None:
    assert flags([120, 130, 1500, 125], 60.0)[0][3] is Flag.SUSPECT_RATE


@pytest.mark.parametrize(("every_s", "step"), [(1.0, 90), (60.0, 900), (300.0, 900)])
def test_what_the_air_of_a_street_does_is_good(every_s: float, step: int) -> None:
    """9 ug/m3 in a second, 90 in a minute: a plume's front."""
    assert set(flags([100, 100 + step, 100 + step, 100], every_s)[0]) == {Flag.GOOD}


def test_a_sensor_that_reports_an_error_gives_no_good_value() -> None:
    quality = UnitQuality(PM, 60.0)
    first = quality.judge([100], 0.0, doubtful=True)
    second = quality.judge([100], 60.0)
    assert unpack_flags(first.flags)[0] == Flag.SUSPECT
    assert unpack_flags(second.flags)[0] == Flag.GOOD
    assert second.amended_before is None, "and the sample after does not make it good"
