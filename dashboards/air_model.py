"""What lampposts measured over time, as plain values: PM2.5 raw and corrected, and the index."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Trace:
    """PM2.5 of one lamppost in ug/m3, columns of equal length, oldest first. None: nothing believable.

    raw: as the sensor gave it. corrections: what was applied, each named once, in the order of its first use.
    step_s: the length of the buckets.
    """

    address: str
    step_s: int
    time_ms: tuple[int, ...]
    raw: tuple[float | None, ...]
    corrected: tuple[float | None, ...]
    corrections: tuple[str, ...]


@dataclass(frozen=True)
class IndexStep:
    """The index of the stretch that begins here."""

    time_ms: int
    value: int
    level: int  # 1 to 6
    category: str
    driver: str
    concentration: float
    correction: str


@dataclass(frozen=True)
class IndexTrace:
    """The index of one lamppost, oldest first. `table`: id and version of the table that defines it."""

    address: str
    table: str
    steps: tuple[IndexStep, ...]
