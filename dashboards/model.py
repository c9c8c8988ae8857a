"""What the pages show, as plain values: between the services (`data.py`) and the browser (`view.py`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Place:
    """Where a lamppost stands, in WGS 84 degrees; `coarse`: the middle of its cell, for lack of more."""

    latitude: float
    longitude: float
    coarse: bool


@dataclass(frozen=True)
class IndexNow:
    """An air quality index: its value, its level (1 to 6), and the pollutant that decided it."""

    value: int
    level: int
    driver: str


@dataclass(frozen=True)
class Lamppost:
    """One line of the list. `value` is the newest PM2.5 with at most one decimal, None without one.

    `handle` is the address as the services take it. `index` has one value for each index that is known.
    """

    id: int
    handle: Any
    tenant: str
    name: str
    site: str
    state: str
    presence: str  # online | offline | never
    presence_ms: int | None
    newest_ms: int | None
    fresh: str  # fresh | late | stale | none, by the street clock
    value: str | None
    unit: str
    flag: int
    backlog: tuple[tuple[str, int], ...]  # what waits in the spool, by class
    conditions: int
    worst: str | None  # error | warning | info
    district: str = ""
    place: Place | None = None
    index: tuple[tuple[str, IndexNow], ...] = ()  # by the index's short name: us, eu
    incident: int | None = None  # an open one that it is in

    @property
    def address(self) -> str:
        return f"{self.tenant}/{self.name}"


@dataclass(frozen=True)
class Condition:
    code: str
    subject: str
    severity: str
    detail: str
    remedy: str
    raised_ms: int


@dataclass(frozen=True)
class Sensor:
    id: int
    kind: str
    serial: str
    site: str
    channels: tuple[str, ...]
    declared_ms: int


@dataclass(frozen=True)
class Reading:
    """The newest reading of one series. `value` is None where the sensor gave nothing, or nothing yet."""

    series: int
    sensor: int
    channel: str
    unit: str
    exponent: int
    value: str | None
    flag: int
    time_ms: int | None


@dataclass(frozen=True)
class Detail:
    """The lamppost that is picked."""

    id: int
    version: str
    clock_ok: bool | None
    conditions: tuple[Condition, ...]
    sensors: tuple[Sensor, ...]
    readings: tuple[Reading, ...]


@dataclass(frozen=True)
class Band:
    """One level of an index: name, values, colour on the map, and the text colour readable on that."""

    level: int
    name: str
    low: int
    high: int
    colour: str
    ink: str


@dataclass(frozen=True)
class IndexKind:
    """One index that the map can be coloured by."""

    key: str  # us | eu
    id: str
    title: str
    bands: tuple[Band, ...]


@dataclass(frozen=True)
class District:
    """A district's newest index. `lampposts`: how many it was made of."""

    name: str
    index: IndexNow
    lampposts: int
    time_ms: int


@dataclass(frozen=True)
class IndexCourse:
    """An index over time, oldest first, for the small chart of the map's panel."""

    lamppost: int
    kind: str
    hours: int
    time_ms: tuple[int, ...]
    value: tuple[int, ...]
    level: tuple[int, ...]


@dataclass(frozen=True)
class Pending:
    """A lamppost that asked for a certificate and waits for a person. ends_another: its name is taken."""

    id: int
    name: str
    site: str
    claim: str
    fingerprint: str
    asked_ms: int
    ends_another: bool


@dataclass(frozen=True)
class UsedTwice:
    """A claim that one key had used was shown with another. name: of the lamppost that it let in, or ""."""

    id: int
    claim: str
    name: str
    fingerprint: str
    at_ms: int
