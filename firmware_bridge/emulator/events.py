"""What happens in the city's air on request: a plume that the wind carries past one post after another.

Not a dispersion model: a front that travels, rises, stays and falls, with the proportions of what burns. Each
value is a function of (place, time) alone, smooth in time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from firmware_bridge.emulator.air import Air, Scene

MS_PER_KM_AT_1_M_S = 1_000_000  # a kilometre at one metre a second


class Side(StrEnum):
    """Where a wind comes from."""

    WEST = "west"
    EAST = "east"
    SOUTH = "south"
    NORTH = "north"


_TRAVELS = {Side.WEST: (1, 0), Side.EAST: (-1, 0), Side.SOUTH: (0, 1), Side.NORTH: (0, -1)}


def ease(t: float) -> float:
    """From 0 at t <= 0 to 1 at t >= 1 with no kink (quintic, C2)."""
    t = min(1.0, max(0.0, t))
    return t * t * t * (t * (t * 6 - 15) + 10)


@dataclass(frozen=True)
class Plume:
    """A cloud on the wind. Its front is at `at` (km) at `starts_ms`, elsewhere as the wind takes it there.

    At a post it rises for `rise_s`, falls as long at the end of `duration_s`. `peak`: PM2.5 in ug/m3 on its
    axis, which runs through `at`; across it falls off with the sigma `width_km`. `pm1_share` of PM2.5 is PM1,
    PM10 is `pm10_ratio` times PM2.5 (fresh smoke: 0.8 and 1.15).
    """

    starts_ms: int
    side: Side = Side.WEST
    wind_m_s: float = 2.0
    at: tuple[float, float] = (0.0, 0.0)
    width_km: float = 0.2
    peak: float = 100.0
    rise_s: float = 300.0
    duration_s: float = 2400.0
    pm1_share: float = 0.8
    pm10_ratio: float = 1.15

    def arrives_ms(self, position: tuple[float, float]) -> int:
        """The instant at which its front reaches this place."""
        along, _ = self._along_and_across(position)
        return self.starts_ms + round(along * MS_PER_KM_AT_1_M_S / self.wind_m_s)

    def strength(self, position: tuple[float, float], street_ms: int) -> float:
        """PM2.5 that it adds here and now."""
        since_s = (street_ms - self.arrives_ms(position)) / 1000
        if not 0 < since_s < self.duration_s:
            return 0.0
        _, across = self._along_and_across(position)
        shape = min(ease(since_s / self.rise_s), ease((self.duration_s - since_s) / self.rise_s))
        return self.peak * shape * math.exp(-0.5 * (across / self.width_km) ** 2)

    def added(self, air: Air, position: tuple[float, float], street_ms: int) -> Air:
        """The air with the plume in it."""
        fine = self.strength(position, street_ms)
        if not fine:
            return air
        coarse = (self.pm10_ratio - 1) * fine
        return replace(
            air,
            pm1=air.pm1 + self.pm1_share * fine,
            pm2_5=air.pm2_5 + fine,
            pm4=air.pm4 + fine + 0.45 * coarse,
            pm10=air.pm10 + fine + coarse,
        )

    def _along_and_across(self, position: tuple[float, float]) -> tuple[float, float]:
        east, north = position[0] - self.at[0], position[1] - self.at[1]
        dx, dy = _TRAVELS[self.side]
        return east * dx + north * dy, east * dy - north * dx


@dataclass(frozen=True)
class EventfulScene:
    """Any scene with events on top."""

    scene: Scene
    position: tuple[float, float]
    events: Sequence[Plume]

    def at(self, street_ms: int) -> Air:
        air = self.scene.at(street_ms)
        for event in self.events:
            air = event.added(air, self.position, street_ms)
        return air
