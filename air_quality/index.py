"""Air quality indices of concentrations: the US AQI (2024) and the European index (2024).

A concentration that is None, NaN or infinite has no index; at or below zero the US AQI is 0. The worst
pollutant is the index and its driver; of equal ones the first in the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from air_quality.tables import EU_EAQI, INDICES, US_AQI, Band, IndexTable, Pollutant, Rule
from air_quality.values import finite

__all__ = ["EU_EAQI", "INDICES", "US_AQI", "IndexValue", "eaqi", "index_of", "us_aqi", "us_aqi_of"]

# What a sum of floats errs by is far below, what an instrument tells apart far above: twelve equal hours of
# 9.1 have the mean 9.099999999999998, and truncating would take a whole step of that.
_SAID_DECIMALS = 9


@dataclass(frozen=True)
class IndexValue:
    """An index and its reason. level: 1 (best) to 6, the palette's position in every index."""

    index_id: str
    value: int
    category: str
    driver: str
    level: int


def index_of(index_id: str, concentrations: Mapping[str, float | None]) -> IndexValue | None:
    """By the table of this id; keys and units as the table's pollutants, others are ignored.

    None where no pollutant has a value. Raises KeyError for an unknown id.
    """
    table = INDICES[index_id]
    worst: tuple[int, Band, Pollutant] | None = None
    for entry in table.pollutants:
        found = _one(table, entry, concentrations.get(entry.key))
        if found is not None and (worst is None or found[0] > worst[0]):
            worst = (*found, entry)
    if worst is None:
        return None
    value, band, pollutant = worst
    return IndexValue(index_id, value, band.name, pollutant.driver, band.level)


def us_aqi(concentrations: Mapping[str, float | None]) -> IndexValue | None:
    """pm2_5, pm10 (ug/m3: 24 h means, or NowCast), o3_8h, o3_1h, co (ppm), so2_1h, so2_24h, no2 (ppb)."""
    return index_of(US_AQI, concentrations)


def us_aqi_of(pollutant: str, concentration: float | None) -> int | None:
    """The US AQI of one pollutant (keys of `us_aqi`), not capped at 500. Raises KeyError for another key.

    None too where the table does not define it: o3_1h below 0.125 ppm, so2_24h below 305 ppb. What the other
    mean has to define stays at the end of its own: o3_8h at 300, so2_1h at 200.
    """
    table = INDICES[US_AQI]
    entry = table.pollutant(pollutant)
    if entry is None:
        raise KeyError(pollutant)
    found = _one(table, entry, concentration)
    return None if found is None else found[0]


def eaqi(concentrations: Mapping[str, float | None]) -> IndexValue | None:
    """pm2_5, pm10, o3, no2, so2: hourly means in ug/m3. The value is the band, 1 to 6."""
    return index_of(EU_EAQI, concentrations)


def _one(table: IndexTable, entry: Pollutant, concentration: float | None) -> tuple[int, Band] | None:
    value = finite(concentration)
    if value is None:
        return None
    value = round(float(value), _SAID_DECIMALS)
    if table.rule is Rule.CLASS:
        beyond = sum(value > high for _, _, high in entry.spans)
        return beyond + 1, table.bands[beyond]
    return _interpolated(table, entry, value)


def _interpolated(table: IndexTable, entry: Pollutant, value: float) -> tuple[int, Band] | None:
    """Truncated, then on its band's line, rounded half up; whole numbers all the way."""
    first_band, first_low, _ = entry.spans[0]
    # In decimal, as people read it: 9.1 * 10 is 91, not 90.99.
    units = max(int(Decimal(str(value)).scaleb(entry.decimals)), 0)
    if units < first_low:
        return None
    if value <= 0.0:
        return 0, first_band
    band, low, high = next((span for span in entry.spans if units <= span[2]), entry.spans[-1])
    last = table.bands[-1]
    if units > high and band is not last:
        return band.high, band
    rise, run = (band.high - band.low) * (units - low), high - low
    return band.low + (2 * rise + run) // (2 * run), band
