"""What one step of the window holds, and how a raw quantity becomes a number near one.

A step's raw quantities are logarithms of masses with a floor, because a street's air and a sensor's slope are
both multiplicative: L(x) = ln(x + FLOOR_UG_M3). The floor is about a low-cost sensor's own error near zero
(the SPS30's data sheet: +-5 ug/m3), below which a ratio means nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

STEPS = 60
STEP_S = 60
FLOOR_UG_M3 = 5.0


class Channel(StrEnum):
    """The columns of a window, in the order of `CHANNELS`. A masked quantity and its HAS_ column are 0."""

    LEVEL = "level"  # L(pm2_5) - L(background): how far above this street's own air
    RECENT = "recent"  # L(pm2_5) - its median in the window: the hour's own shape, finely resolved
    COARSE = "coarse"  # L(pm10) - L(pm2_5): dust
    FINE = "fine"  # L(pm1) - L(pm2_5): smoke
    HUMIDITY = "humidity"  # % relative humidity
    HUMIDITY_CHANGE = "humidity_change"  # % above the window's median
    BACKGROUND = "background"  # L(background), the same in each step
    SPREAD = "spread"  # L(upper quartile) - L(lower quartile) of the background's day
    FILL = "fill"  # how much of the background's day is known, 0..1
    HAS_PM2_5 = "has_pm2_5"
    HAS_PM10 = "has_pm10"
    HAS_PM1 = "has_pm1"
    HAS_HUMIDITY = "has_humidity"


CHANNELS: tuple[str, ...] = tuple(Channel)


@dataclass(frozen=True)
class Scaling:
    """number = clip((raw - offset) * scale, low, high)."""

    offset: float
    scale: float
    low: float = -4.0
    high: float = 4.0

    def apply(self, raw: float) -> float:
        return min(self.high, max(self.low, (raw - self.offset) * self.scale))


# One 8-bit scale covers the whole input of a quantized model: every column spans about -4..4, and what must
# be told finely (RECENT: half a per cent) is scaled up and clipped.
_SCALING: dict[str, Scaling] = {
    Channel.LEVEL: Scaling(0.0, 1.5),
    Channel.RECENT: Scaling(0.0, 6.0),
    Channel.COARSE: Scaling(0.4, 2.5),
    Channel.FINE: Scaling(-0.3, 4.0),
    Channel.HUMIDITY: Scaling(60.0, 0.06),
    Channel.HUMIDITY_CHANGE: Scaling(0.0, 0.25),
    Channel.BACKGROUND: Scaling(3.2, 1.5),
    Channel.SPREAD: Scaling(0.4, 3.0),
    Channel.FILL: Scaling(0.5, 2.0),
    Channel.HAS_PM2_5: Scaling(0.0, 1.0),
    Channel.HAS_PM10: Scaling(0.0, 1.0),
    Channel.HAS_PM1: Scaling(0.0, 1.0),
    Channel.HAS_HUMIDITY: Scaling(0.0, 1.0),
}
SCALING: Mapping[str, Scaling] = MappingProxyType(_SCALING)
