"""What a channel of a street sensor may plausibly say: the quality tests' thresholds, by channel name.

Starting values of standards.md 2.3, to be tuned per city: PM2.5 fail (0, 1000) suspect (0, 500), flat 3 h and
12 h, spike 100 and 300 at one minute. The other spans are the sensors' ranges in their data sheets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

HOUR_S = 3600.0


@dataclass(frozen=True)
class ChannelLimits:
    """Thresholds in the channel's own unit; `rate` per second; None leaves that test out.

    `spike` and `rate` are (suspect, fail); `flat` is (suspect_s, fail_s, tolerance). `caps`: see RangeTest.
    """

    fail: tuple[float, float]
    suspect: tuple[float, float] | None = None
    spike: tuple[float, float] | None = None
    rate: tuple[float, float | None] | None = None
    flat: tuple[float, float, float] | None = None
    caps: tuple[float, ...] = ()


_FLAT = (3 * HOUR_S, 12 * HOUR_S, 0.05)
# Where Plantower's and Nova's firmware and many a reference instrument stop counting.
_CAPS = (999.0, 999.9)
# 10 ug/m3 per second: between two seconds a plume's front, or the sensor's electronics.
_PM = ChannelLimits((0.0, 1000.0), (0.0, 500.0), (100.0, 300.0), (10.0, None), _FLAT, _CAPS)
_PM10 = ChannelLimits((0.0, 2000.0), (0.0, 1000.0), (200.0, 600.0), (20.0, None), _FLAT, (*_CAPS, 1999.9))
# Counts per 0.1 L saturate a 16-bit word; large particles are rightly zero for hours: no flat line test.
_COUNT = ChannelLimits((0.0, 65_535.0), (0.0, 60_000.0))
_COUNT_CM3 = ChannelLimits((0.0, 3000.0), (0.0, 2500.0))

_LIMITS: dict[str, ChannelLimits] = {
    "pm1": _PM,
    "pm2_5": _PM,
    "pm4": _PM,
    "pm10": _PM10,
    "pm1_cf1": _PM,
    "pm2_5_cf1": _PM,
    "pm10_cf1": _PM10,
    "typical_size": ChannelLimits((0.0, 10.0)),
    "temperature": ChannelLimits((-40.0, 85.0), (-30.0, 60.0), (10.0, 25.0), (1.0, None)),
    "humidity": ChannelLimits((0.0, 100.0), None, (30.0, 60.0), (5.0, None)),
    "co2": ChannelLimits((300.0, 10_000.0), (350.0, 5000.0), (1000.0, 3000.0), (200.0, None), _FLAT),
}

LIMITS: Mapping[str, ChannelLimits] = MappingProxyType(_LIMITS)

# A channel nobody has set limits for: only what every 32-bit value satisfies.
ANYTHING = ChannelLimits((-(2.0**31), 2.0**31))


def limits_for(channel: str, unit: str) -> ChannelLimits:
    """The limits of a channel; particle counts (n0_3 ...) by their unit."""
    if channel in LIMITS:
        return LIMITS[channel]
    if channel.startswith("n") and channel[1:2].isdigit():
        return _COUNT if unit == "1/dL" else _COUNT_CM3
    return ANYTHING
