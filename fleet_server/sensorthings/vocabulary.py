"""What the channels of our sensors are called outside: observed properties and units of measurement.

Definitions: the EEA's vocabulary of pollutants (dd.eionet.europa.eu/vocabulary/aq/pollutant) where it has
one, else a URN of our own; units by their UCUM code, as devices declare them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

_EEA = "http://dd.eionet.europa.eu/vocabulary/aq/pollutant/"
OWN = "urn:lamppost:property:"
UCUM = "http://www.opengis.net/def/uom/UCUM/"


@dataclass(frozen=True)
class Observed:
    name: str
    definition: str
    description: str


@dataclass(frozen=True)
class Unit:
    name: str
    symbol: str


def _mass(size: str, definition: str) -> Observed:
    return Observed(
        f"PM{size}",
        definition,
        f"Mass of particles up to {size} micrometres in the air, by a low-cost optical sensor: indicative",
    )


def _factory(channel: str, size: str) -> Observed:
    return Observed(
        f"PM{size} (CF=1)", OWN + channel, f"As PM{size}, by the factory's calibration CF=1, for corrections"
    )


def _above(channel: str, size: str) -> Observed:
    return Observed(f"particles {size}", OWN + channel, f"Number of particles counted at {size} micrometres")


PROPERTIES: Mapping[str, Observed] = MappingProxyType(
    {
        "pm1": _mass("1", OWN + "pm1"),
        "pm2_5": _mass("2.5", _EEA + "6001"),
        "pm4": _mass("4", OWN + "pm4"),
        "pm10": _mass("10", _EEA + "5"),
        "pm1_cf1": _factory("pm1_cf1", "1"),
        "pm2_5_cf1": _factory("pm2_5_cf1", "2.5"),
        "pm10_cf1": _factory("pm10_cf1", "10"),
        "n0_3": _above("n0_3", "0.3"),
        "n0_5": _above("n0_5", "0.5"),
        "n1_0": _above("n1_0", "1.0"),
        "n2_5": _above("n2_5", "2.5"),
        "n4_0": _above("n4_0", "4.0"),
        "n5_0": _above("n5_0", "5.0"),
        "n10_0": _above("n10_0", "10.0"),
        "typical_size": Observed(
            "typical particle size", OWN + "typical_size", "Typical size of the particles"
        ),
        "co2": Observed("CO2", OWN + "co2", "Carbon dioxide in the air"),
        "o3": Observed("O3", _EEA + "7", "Ozone in the air"),
        "no2": Observed("NO2", _EEA + "8", "Nitrogen dioxide in the air"),
        "so2": Observed("SO2", _EEA + "1", "Sulphur dioxide in the air"),
        "co": Observed("CO", _EEA + "10", "Carbon monoxide in the air"),
        "temperature": Observed("temperature", OWN + "temperature", "Temperature at the sensor"),
        "humidity": Observed("relative humidity", OWN + "humidity", "Relative humidity at the sensor"),
        "pressure": Observed("air pressure", OWN + "pressure", "Air pressure at the sensor"),
    }
)
UNITS: Mapping[str, Unit] = MappingProxyType(
    {
        "ug/m3": Unit("microgram per cubic metre", "µg/m³"),
        "mg/m3": Unit("milligram per cubic metre", "mg/m³"),
        "ppm": Unit("parts per million", "ppm"),
        "ppb": Unit("parts per billion", "ppb"),
        "1/dL": Unit("per decilitre", "1/dL"),
        "1/cm3": Unit("per cubic centimetre", "1/cm³"),
        "um": Unit("micrometre", "µm"),
        "Cel": Unit("degree Celsius", "°C"),
        "%": Unit("percent", "%"),
        "hPa": Unit("hectopascal", "hPa"),
    }
)


def sql_values() -> dict[str, object]:
    """The arrays that the relations join with: what `relations.py` names as parameters."""
    return {
        "property_ids": list(PROPERTIES),
        "property_names": [each.name for each in PROPERTIES.values()],
        "property_definitions": [each.definition for each in PROPERTIES.values()],
        "property_descriptions": [each.description for each in PROPERTIES.values()],
        "own_properties": OWN,
        "unit_codes": list(UNITS),
        "unit_names": [each.name for each in UNITS.values()],
        "unit_symbols": [each.symbol for each in UNITS.values()],
        "ucum": UCUM,
    }
