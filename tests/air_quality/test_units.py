"""Volume to mass at both references (standards.md 1.8)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from air_quality.units import Reference, UnitError, ppb_to_ug_m3, ug_m3_to_ppb

GASES = {"no2": (46.0055, 1.9125, 1.882), "o3": (47.998, 1.9957, 1.963)} | {
    "so2": (64.066, 2.6609, 2.620),
    "co": (28.010, 1.1642, 1.146),
}


@pytest.mark.parametrize(("gas", "numbers"), GASES.items())
def test_the_published_factors_and_the_gas_law_agree(gas: str, numbers: tuple[float, float, float]) -> None:
    molar_mass_g, at_20, at_25 = numbers
    assert ppb_to_ug_m3(1.0, gas, Reference.EU_20C) == at_20
    assert ppb_to_ug_m3(1.0, gas, Reference.US_25C) == at_25
    assert at_20 == pytest.approx(molar_mass_g / 24.055, rel=2e-3)
    assert at_25 == pytest.approx(molar_mass_g / 24.45, rel=2e-3)


@given(st.floats(0, 1e6), st.sampled_from(sorted(GASES)), st.sampled_from(Reference))
def test_there_and_back(ppb: float, gas: str, reference: Reference) -> None:
    assert ug_m3_to_ppb(ppb_to_ug_m3(ppb, gas, reference), gas, reference) == pytest.approx(ppb)


@pytest.mark.parametrize("gas", ["pm2_5", "", "NO2"])
def test_a_gas_without_a_factor_is_refused(gas: str) -> None:
    with pytest.raises(UnitError):
        ppb_to_ug_m3(1.0, gas, Reference.EU_20C)
    with pytest.raises(UnitError):
        ug_m3_to_ppb(1.0, gas, Reference.US_25C)
