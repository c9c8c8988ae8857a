"""The kinds of serial sensor that Lamppost reads, and what each slot of their readings holds.

A reading is a tuple of scaled integers, one per channel: value = integer * 10**exponent, in the channel's
unit. The exponents are the resolution at which the sensor sends (its data sheet), so nothing is lost.
The SPS30 sends 32-bit floats; 0.01 ug/m3 and 0.01 1/cm3 are what its maker's own tools show, and five
hundred times finer than its stated precision (+-5 ug/m3, data sheet table 1).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class SensorKind(StrEnum):
    """A sensor model, as written in configuration files and declarations."""

    PMS5003 = "pms5003"
    PMS7003 = "pms7003"
    PMSA003 = "pmsa003"
    PMS5003T = "pms5003t"
    SDS011 = "sds011"
    SDS021 = "sds021"
    SPS30 = "sps30"
    MHZ19B = "mhz19b"


@dataclass(frozen=True)
class Channel:
    """What one slot holds. `unit` is ASCII (UCUM-like): ug/m3, 1/dL, 1/cm3, um, ppm, Cel, %."""

    name: str
    unit: str
    exponent: int


@dataclass(frozen=True)
class KindSpec:
    """What is the same for every unit of a kind."""

    kind: SensorKind
    title: str
    channels: tuple[Channel, ...]
    baud: int
    warm_up_s: float  # from power-on or wake-up until the data sheet trusts the values
    reports_serial: bool  # the unit tells its own serial number or id
    min_interval_s: float  # asking faster gives the same value again
    can_sleep: bool = True  # fan and laser can be switched off to save their life


_MASS = "ug/m3"
_PLANTOWER_MASS = (
    Channel("pm1_cf1", _MASS, 0),
    Channel("pm2_5_cf1", _MASS, 0),
    Channel("pm10_cf1", _MASS, 0),
    Channel("pm1", _MASS, 0),
    Channel("pm2_5", _MASS, 0),
    Channel("pm10", _MASS, 0),
)
# Plantower counts are particles larger than the diameter in 0.1 L of air = 1 dL.
_PLANTOWER_COUNTS = tuple(
    Channel(name, "1/dL", 0) for name in ("n0_3", "n0_5", "n1_0", "n2_5", "n5_0", "n10_0")
)
_CLIMATE = (Channel("temperature", "Cel", -1), Channel("humidity", "%", -1))
_NOVA = (Channel("pm2_5", _MASS, -1), Channel("pm10", _MASS, -1))
_SPS30 = (
    *(Channel(name, _MASS, -2) for name in ("pm1", "pm2_5", "pm4", "pm10")),
    *(Channel(name, "1/cm3", -2) for name in ("n0_5", "n1_0", "n2_5", "n4_0", "n10_0")),
    Channel("typical_size", "um", -3),
)
_WINSEN = (Channel("co2", "ppm", 0), Channel("temperature", "Cel", 0))


def _plantower(kind: SensorKind, title: str, last: tuple[Channel, ...] = ()) -> KindSpec:
    counts = _PLANTOWER_COUNTS[:4] + last if last else _PLANTOWER_COUNTS
    # 30 s: "stable data should be got at least 30 seconds after wake-up" (PMS5003 data sheet, 4.)
    return KindSpec(kind, title, _PLANTOWER_MASS + counts, 9600, 30.0, False, 1.0)


_ALL = (
    _plantower(SensorKind.PMS5003, "Plantower PMS5003 (also PMS1003)"),
    _plantower(SensorKind.PMS7003, "Plantower PMS7003"),
    _plantower(SensorKind.PMSA003, "Plantower PMSA003"),
    _plantower(SensorKind.PMS5003T, "Plantower PMS5003T", _CLIMATE),
    KindSpec(SensorKind.SDS011, "Nova SDS011 (also SDS018)", _NOVA, 9600, 30.0, True, 1.0),
    KindSpec(SensorKind.SDS021, "Nova SDS021", _NOVA, 9600, 30.0, True, 1.0),
    # 30 s: start-up time at the lowest concentrations (SPS30 data sheet, table 1)
    KindSpec(SensorKind.SPS30, "Sensirion SPS30", _SPS30, 115200, 30.0, True, 1.0),
    # 3 min preheat (MH-Z19B manual); its lamp has no sleep
    KindSpec(SensorKind.MHZ19B, "Winsen MH-Z19B", _WINSEN, 9600, 180.0, False, 1.0, can_sleep=False),
)

SPECS: Mapping[SensorKind, KindSpec] = MappingProxyType({spec.kind: spec for spec in _ALL})
