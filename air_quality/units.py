"""Gas concentrations between volume (ppb) and mass (ug/m3), at a stated reference.

The two jurisdictions state different reference temperatures at 1013 hPa, so that one ppb of a gas is another
mass: every call names the reference, nothing is converted silently. Particles need no conversion.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class UnitError(ValueError):
    """The caller's input: a gas without a published factor."""


class Reference(StrEnum):
    """The temperature at which a volume of gas is stated."""

    EU_20C = "20 degC"  # EU directive on ambient air quality, annex VI; WHO
    US_25C = "25 degC"  # 40 CFR 50


# ug/m3 of one ppb as the authorities publish it; EU: molar volume 24.05 L, US: 24.45 L (standards.md 1.8).
_UG_M3_PER_PPB: Mapping[Reference, Mapping[str, float]] = MappingProxyType(
    {
        Reference.EU_20C: MappingProxyType({"no2": 1.9125, "o3": 1.9957, "so2": 2.6609, "co": 1.1642}),
        Reference.US_25C: MappingProxyType({"no2": 1.882, "o3": 1.963, "so2": 2.620, "co": 1.146}),
    }
)


def ppb_to_ug_m3(ppb: float, gas: str, reference: Reference) -> float:
    """Volume to mass. gas: no2, o3, so2 or co. Raises UnitError for another."""
    return ppb * _factor(gas, reference)


def ug_m3_to_ppb(ug_m3: float, gas: str, reference: Reference) -> float:
    """Mass to volume. Raises UnitError."""
    return ug_m3 / _factor(gas, reference)


def _factor(gas: str, reference: Reference) -> float:
    factors = _UG_M3_PER_PPB[reference]
    if gas not in factors:
        raise UnitError(f"{gas!r:.40}: no factor at {reference}; there are {', '.join(factors)}")
    return factors[gas]
