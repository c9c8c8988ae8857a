"""Corrections of low-cost PM2.5, by name and version; whoever stores a corrected value stores the id with it.

All in ug/m3, relative humidity in per cent as the sensor reports it (standards.md 2.1, 2.2). The Plantower
sensors say PM2.5 twice: cf1 (as calibrated by the factory) and atm (for the open air; two thirds of cf1 from
about 30 ug/m3 on); which one a formula takes is part of it. The fits are of PMS5003 in PurpleAir housings
in the USA: a prior for any other housing and city, until a unit has its own calibration (calibration.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from types import MappingProxyType

from air_quality.humidity import dry_mass
from air_quality.values import physical, relative_humidity

NONE = "none@1"
# Below this the particles are mostly dry and the growth curve does not hold: ibid. 2.2 asks for 40 to 65 %,
# by local fit; the lowest, as there is none.
KOEHLER_FROM_PCT = 40.0


class Field(Enum):
    """Which of a sensor's two words for PM2.5 a formula takes; a sensor with only one says it as ATM."""

    CF1 = auto()
    ATM = auto()
    ANY = auto()  # atm, else cf1


@dataclass(frozen=True)
class Correction:
    """One formula. `formula`: (PM2.5 of `field`, humidity) -> PM2.5, may be negative; `apply` clamps it."""

    id: str
    title: str
    source: str
    field: Field
    needs_humidity: bool
    formula: Callable[[float, float], float]

    def apply(self, pm2_5_cf1: float | None, pm2_5_atm: float | None, humidity: float | None) -> float | None:
        """Corrected PM2.5 >= 0; None where an input that it needs is missing, not finite or impossible."""
        cf1, atm = physical(pm2_5_cf1), physical(pm2_5_atm)
        match self.field:
            case Field.CF1:
                raw = cf1
            case Field.ATM:
                raw = atm
            case Field.ANY:
                raw = atm if atm is not None else cf1
        water = relative_humidity(humidity)
        if raw is None or (self.needs_humidity and water is None):
            return None
        return physical(max(self.formula(raw, water or 0.0), 0.0))


def _us_wide(x: float, humidity: float) -> float:
    return 0.524 * x - 0.0862 * humidity + 5.75


def _epa_fasm_343(x: float, humidity: float) -> float:
    if x <= 343.0:
        return 0.52 * x - 0.086 * humidity + 5.75
    return 0.46 * x + 3.93e-4 * x * x + 2.97


def _fasm2021_atm(x: float, humidity: float) -> float:
    """Five pieces that join: 0.524 to 0.786 from 30 to 50, humidity fades out from 210 to 260."""
    smoke = 2.966 + 0.69 * x + 8.84e-4 * x * x
    if x >= 260.0:
        return smoke
    water = 5.75 - 0.0862 * humidity
    if x < 50.0:
        weight = min(max(x / 20.0 - 1.5, 0.0), 1.0)
        return (0.786 * weight + 0.524 * (1.0 - weight)) * x + water
    weight = min(max(x / 50.0 - 4.2, 0.0), 1.0)
    return weight * smoke + (1.0 - weight) * (0.786 * x + water)


def _barkjohn2022(x: float, humidity: float) -> float:
    linear = _us_wide(x, humidity)
    if x < 570.0:
        return linear
    quadratic = 4.21e-4 * x * x + 0.392 * x + 3.44
    weight = 0.0244 * x - 13.9 if x < 611.0 else 1.0
    return weight * quadratic + (1.0 - weight) * linear


def _koehler(x: float, humidity: float) -> float:
    return x if humidity < KOEHLER_FROM_PCT else dry_mass(x, humidity)


def _raw(x: float, _humidity: float) -> float:
    return x


_FIRE_MAP = "US EPA, AirNow Fire and Smoke Map"
_ALL = (
    Correction(
        *("barkjohn2021@1", "US-wide correction", "Barkjohn et al. 2021, AMT 14, 4617"),
        *(Field.CF1, True, _us_wide),
    ),
    Correction(
        *("epa_fasm_343@1", "PurpleAir's layer 'US EPA'; jumps by 27 ug/m3 at 343", _FIRE_MAP),
        *(Field.CF1, True, _epa_fasm_343),
    ),
    Correction(
        *("fasm2021_atm@1", "Fire and Smoke Map of 2021, in five pieces", _FIRE_MAP + ", 2021"),
        *(Field.ATM, True, _fasm2021_atm),
    ),
    Correction(
        *(
            "barkjohn2022@1",
            "US-wide, extended to smoke",
            "Barkjohn et al. 2022, Sensors 22, 9669",
        ),
        *(Field.CF1, True, _barkjohn2022),
    ),
    Correction(
        *("kappa_koehler@1", "Water taken off, kappa = 0.4", "Crilley et al. 2018, AMT 11, 709"),
        *(Field.ANY, True, _koehler),
    ),
    Correction(NONE, "As the sensor says it", "none", Field.ANY, False, _raw),
)
CORRECTIONS: Mapping[str, Correction] = MappingProxyType({entry.id: entry for entry in _ALL})

# By sensor kind. The extended US-wide fit was made for the PMS5003; its sisters have the same optics.
# The other optical sensors have no such fit: the water alone is taken off.
_DEFAULTS: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("pms5003", "pms5003t", "pms7003", "pmsa003"), "barkjohn2022@1"),
        **dict.fromkeys(("sds011", "sds021", "sps30"), "kappa_koehler@1"),
    }
)


def default_correction(kind: str, has_humidity: bool) -> str:
    """The id of what corrects a sensor of this kind; "none@1" without humidity and for unknown kinds."""
    return _DEFAULTS.get(kind, NONE) if has_humidity else NONE
