"""What a benchmark says: one figure, the floor measured in the same run, the bar, and whether it is met."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from fleet_server.embedded_programs import programs


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
    memory_gb = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    words = [
        f"{datetime.now(UTC).isoformat(timespec='seconds')}  {platform.machine()}, {_processor()}",
        f"{os.cpu_count()} cores, {memory_gb:.0f} GB",
        f"{platform.system()} {platform.release()}",
        f"Python {platform.python_version()}",
        f"PostgreSQL {_embedded_postgresql()} (embedded)",
        f"Mosquitto {_mosquitto()}",
        *(f"{name} {_version(name)}" for name in ("paho-mqtt", "psycopg", "numpy")),
        f"load {os.getloadavg()[0]:.1f}",
    ]
    return ", ".join(words)


def _processor() -> str:
    """As the kernel names it; x86 and Arm boards say it in different lines."""
    told = {}
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            told[name.strip()] = value.strip()
    return told.get("model name") or told.get("Model") or told.get("CPU part") or "processor not told"


def _embedded_postgresql() -> str:
    return _said_by([str(programs() / "postgres"), "--version"], r"[\d.]+")


def _mosquitto() -> str:
    found = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
    return "not here" if found is None else _said_by([found, "-h"], r"version ([\d.]+)")


def _said_by(command: Sequence[str], pattern: str) -> str:
    with suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
        found = re.search(pattern, done.stdout)
        if found is not None:
            return found.group(found.lastindex or 0)
    return "of an unknown version"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not here"


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
