"""A calibration that a person enters, as a browser sends it. Pure; the service judges it again."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from dashboards.lamppost_period import EARLIEST_MS, LATEST_MS

SOURCE_MAX = 200


@dataclass(frozen=True)
class Entry:
    """corrected = slope * reading + offset + humidity * RH, for a channel of a unit, from `valid_ms` on."""

    unit: int
    channel: str
    slope: float
    offset: float
    humidity: float
    valid_ms: int
    source: str


def entry_of(sent: Any) -> Entry | None:
    """None for garbage."""
    if not isinstance(sent, dict):
        return None
    unit, channel, valid, source = (sent.get(name) for name in ("unit", "channel", "valid", "source"))
    numbers = [_number(sent.get(name)) for name in ("slope", "offset", "humidity")]
    slope, offset, humidity = numbers
    if slope is None or offset is None or humidity is None:
        return None
    if not isinstance(unit, int) or isinstance(unit, bool) or not isinstance(channel, str):
        return None
    if not isinstance(valid, int) or not EARLIEST_MS <= valid <= LATEST_MS:
        return None
    if not isinstance(source, str) or len(source) > SOURCE_MAX:
        return None
    return Entry(unit, channel, slope, offset, humidity, valid, source)


def _number(sent: Any) -> float | None:
    if isinstance(sent, bool) or not isinstance(sent, int | float) or abs(sent) > 1e6:
        return None
    return float(sent) if math.isfinite(sent) else None
