"""A sensor unit's own calibration, and what becomes of its raw values: the one place that corrects.

corrected = slope * raw + offset + humidity * RH, clamped at 0: the linear form of standards.md 2.1, fitted
beside a reference instrument. It holds from `valid_from_ms` until the next one begins, so that a stored past
can be computed anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from air_quality.corrections import CORRECTIONS, NONE, default_correction
from air_quality.values import finite, physical, relative_humidity

CALIBRATION = "calibration"


@dataclass(frozen=True)
class Calibration:
    """`slope`, `offset` (ug/m3) and `humidity` (ug/m3 per cent) for `channel` of one unit, from a time on."""

    slope: float = 1.0
    offset: float = 0.0
    humidity: float = 0.0
    valid_from_ms: int = 0
    source: str = ""
    channel: str = "pm2_5"

    def apply(self, raw: float | None, humidity: float | None) -> float | None:
        """Corrected, >= 0; None where raw, or the humidity that a term needs, is missing or impossible."""
        value, water = physical(raw), relative_humidity(humidity)
        if value is None or (self.humidity != 0.0 and water is None):
            return None
        corrected = finite(self.slope * value + self.offset + self.humidity * (water or 0.0))
        return None if corrected is None else max(corrected, 0.0)


@dataclass(frozen=True)
class Corrected:
    """A value and what made it: "calibration" or an id of CORRECTIONS. None: nothing usable was said."""

    value: float | None
    correction: str


def at(calibrations: Sequence[Calibration], time_ms: int) -> Calibration | None:
    """The newest that has begun, listed in any order; of two that begin together the later listed."""
    begun = [entry for entry in calibrations if entry.valid_from_ms <= time_ms]
    return max(reversed(begun), key=lambda entry: entry.valid_from_ms, default=None)


def corrected_pm2_5(
    kind: str,
    values: Mapping[str, float | None],
    humidity: float | None,
    calibrations: Sequence[Calibration],
    time_ms: int,
) -> Corrected:
    """PM2.5 of one sensor unit: by its own calibration, else by its kind's correction, else as it says it.

    values: by channel name. humidity: of the post; None takes the unit's own channel. Where the calibration's
    or the correction's inputs are missing, the next of the three decides, and the answer names it.
    """
    water = relative_humidity(humidity)
    if water is None:
        water = relative_humidity(values.get("humidity"))
    own = _by_calibration("pm2_5", values, water, calibrations, time_ms)
    if own is not None:
        return own
    cf1, atm = values.get("pm2_5_cf1"), values.get("pm2_5")
    chosen = default_correction(kind, water is not None)
    value = CORRECTIONS[chosen].apply(cf1, atm, water)
    if value is None and chosen != NONE:
        chosen, value = NONE, CORRECTIONS[NONE].apply(cf1, atm, water)
    return Corrected(value, chosen)


def corrected_channel(
    channel: str,
    values: Mapping[str, float | None],
    humidity: float | None,
    calibrations: Sequence[Calibration],
    time_ms: int,
) -> Corrected:
    """Any other channel (pm10, pm1): by the unit's own calibration of it, else as it is; never negative."""
    water = relative_humidity(humidity)
    if water is None:
        water = relative_humidity(values.get("humidity"))
    own = _by_calibration(channel, values, water, calibrations, time_ms)
    return own or Corrected(physical(values.get(channel)), NONE)


def _by_calibration(
    channel: str,
    values: Mapping[str, float | None],
    water: float | None,
    calibrations: Sequence[Calibration],
    time_ms: int,
) -> Corrected | None:
    own = at([entry for entry in calibrations if entry.channel == channel], time_ms)
    if own is None:
        return None
    value = own.apply(values.get(channel), water)
    return None if value is None else Corrected(value, CALIBRATION)
