"""Faults of a sensor between two instants of the street: what it shows then is not the air."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from air_quality.humidity import growth_factor
from firmware_bridge.emulator.air import Air
from firmware_bridge.emulator.events import ease

HOUR_MS = 3_600_000


class StreetFaultType(StrEnum):
    """What goes wrong."""

    STUCK = "stuck"  # the whole vector repeats
    SWELL = "swell"  # fog: particles take up water, and an optical sensor takes it for mass
    DRIFT = "drift"  # the gain creeps: dust on the lens, an ageing laser
    SPIKE = "spike"  # now and then one measurement far too high: an insect, a voltage dip


@dataclass(frozen=True)
class StreetFault:
    """From `from_ms` up to, not including, `until_ms` (street time). `humidity` (%): SWELL; `per_hour`: share
    of the gain, DRIFT; `factor` and `every_s`: SPIKE. `ramp_s`: SWELL comes and goes within so long."""

    type: StreetFaultType
    from_ms: int
    until_ms: int
    humidity: float = 98.0
    ramp_s: float = 600.0
    per_hour: float = 0.05
    factor: float = 8.0
    every_s: float = 600.0

    def covers(self, street_ms: int) -> bool:
        return self.from_ms <= street_ms < self.until_ms

    def distorted(self, air: Air, street_ms: int) -> Air:
        """The air as this fault lets the sensor see it; a function of the instant alone."""
        match self.type:
            case StreetFaultType.SWELL:
                return self._swollen(air, street_ms)
            case StreetFaultType.DRIFT:
                return _scaled(air, 1 + self.per_hour * (street_ms - self.from_ms) / HOUR_MS)
            case _:
                return air

    def _swollen(self, air: Air, street_ms: int) -> Air:
        """Humidity goes to `humidity`; masses grow by the k-Koehler factor over the one they had."""
        ramp_ms = self.ramp_s * 1000
        share = min(ease((street_ms - self.from_ms) / ramp_ms), ease((self.until_ms - street_ms) / ramp_ms))
        humidity = air.humidity + share * max(0.0, self.humidity - air.humidity)
        grown = growth_factor(humidity) / growth_factor(air.humidity)
        return replace(_scaled(air, grown), humidity=humidity)


def _scaled(air: Air, factor: float) -> Air:
    masses = {name: getattr(air, name) * factor for name in ("pm1", "pm2_5", "pm4", "pm10")}
    return replace(air, **masses)


class StreetFaults:
    """A unit's faults in street time; remembers which spikes it has shown."""

    def __init__(self, faults: Sequence[StreetFault] = ()) -> None:
        self._faults = tuple(faults)
        self._spiked: set[tuple[int, int]] = set()

    def stuck(self, street_ms: int) -> bool:
        """Whether a measurement taken now repeats the last."""
        return any(f.type is StreetFaultType.STUCK and f.covers(street_ms) for f in self._faults)

    def seen(self, air: Air, street_ms: int) -> Air:
        """What the sensor sees of the air, in a measurement taken now."""
        for number, fault in enumerate(self._faults):
            if not fault.covers(street_ms):
                continue
            air = fault.distorted(air, street_ms)
            if fault.type is StreetFaultType.SPIKE:
                spike = (number, int((street_ms - fault.from_ms) / (fault.every_s * 1000)))
                if spike not in self._spiked:
                    self._spiked.add(spike)
                    air = _scaled(air, fault.factor)
        return air
