"""What a benchmark says: one figure, the floor measured in the same run, the bar, and whether it is met."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True)
class Figure:
    """`value` and `floor` in `unit`; `ratio`: value to floor; `bar`: what the ratio must reach.

    Without a floor the bar is the value's. None where there is none.
    """

    name: str
    value: float
    unit: str
    floor: float | None = None
    ratio: float | None = None
    bar: float | None = None
    met: bool | None = None


def shown(name: str, value: float, unit: str) -> Figure:
    """A figure that has no bar."""
    return Figure(name, value, unit)


def at_least_of_floor(name: str, value: float, unit: str, floor: float, bar: float | None) -> Figure:
    """Faster than `bar` times the floor, the floor measured in this run."""
    ratio = value / floor
    return Figure(name, value, unit, floor, ratio, bar, None if bar is None else ratio >= bar)


def median_round(rounds: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """The round whose ratio of value to floor is the median (the lower of the two in the middle).

    A value and a floor of different rounds say nothing about each other on a machine that is not quiet.
    """
    return sorted(rounds, key=lambda each: each[0] / each[1])[(len(rounds) - 1) // 2]


def at_most(name: str, value: float, unit: str, bar: float) -> Figure:
    return Figure(name, value, unit, bar=bar, met=value <= bar)


def at_least(name: str, value: float, unit: str, bar: float) -> Figure:
    return Figure(name, value, unit, bar=bar, met=value >= bar)


def machine() -> str:
    """What it ran on, in a line, with the load before it."""
    load = os.getloadavg()[0]
    return (
        f"{datetime.now(UTC).isoformat(timespec='seconds')}  {platform.machine()}, {os.cpu_count()} cores,"
        f" Python {platform.python_version()}, load {load:.1f}"
    )


def lines(figures: Iterable[Figure]) -> list[str]:
    """One line a figure, for people."""
    found = []
    for f in figures:
        line = f"  {f.name:<58} {_number(f.value)} {f.unit}"
        if f.floor is not None and f.ratio is not None:
            line += f"  = {f.ratio:.2f} of {_number(f.floor)}"
        if f.bar is not None:
            line += f"  (bar {f.bar:g}: {'met' if f.met else 'MISSED'})"
        found.append(line)
    return found


def as_json(figures: Iterable[Figure]) -> list[dict[str, Any]]:
    return [asdict(figure) for figure in figures]


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
