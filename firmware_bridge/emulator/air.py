"""What there is to measure at one place and instant, and who knows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Air:
    """True values: masses in ug/m3 with pm1 <= pm2_5 <= pm4 <= pm10, co2 ppm, temperature Cel, humidity %."""

    pm1: float
    pm2_5: float
    pm4: float
    pm10: float
    co2: float
    temperature: float
    humidity: float


class Scene(Protocol):
    """The air of one lamppost over time."""

    def at(self, street_ms: int) -> Air:
        """Smooth in time; the same for the same instant, however often and in whatever order it is asked."""


class BadPlan(Exception):
    """The operator's plan, file or option is wrong; the message is one line: where, and what is allowed."""
