"""What the page of one lamppost shows beside what every page knows of it, as plain values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Certificate:
    """The newest that it was given. Instants are real time."""

    subject: str
    serial: str
    fingerprint: str
    issued_ms: int
    expires_ms: int
    revoked_ms: int | None


@dataclass(frozen=True)
class Setting:
    """One setting. desired: "" where nobody wishes anything; source: who does ("group harbour"); ties: groups
    that lost. reported: "" where it tells nothing. ac, ad: its answer (0: none). differs: it does not
    report what is desired."""

    key: str
    desired: str
    source: str
    ties: tuple[str, ...]
    reported: str
    ac: int
    ad: str
    differs: bool


@dataclass(frozen=True)
class Wishes:
    """What it is desired to do, up to which version it follows, and the tags that the server keeps of it."""

    settings: tuple[Setting, ...]
    version: int
    acknowledged: int
    tags: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Facts:
    """model: as the lamppost tells it, or "". cell: the geohash it tells. now_real_ms: when this was read.
    wishes: None for somebody who may not see them."""

    certificate: Certificate | None
    model: str
    cell: str
    latitude: float | None
    longitude: float | None
    registered_ms: int
    seen_ms: int | None
    now_real_ms: int
    wishes: Wishes | None = None


@dataclass(frozen=True)
class Calibration:
    """corrected = slope * reading + offset + humidity * RH, from `valid_ms` on."""

    id: int
    unit: int
    channel: str
    slope: float
    offset: float
    humidity: float
    valid_ms: int
    source: str
    by: str
    made_ms: int


@dataclass(frozen=True)
class Series:
    """One channel over time; columns of equal length, oldest first. step_s 0: every sample is a point."""

    series: int
    begins_ms: int
    ends_ms: int
    step_s: int
    time_ms: tuple[int, ...]
    mean: tuple[float | None, ...]
    low: tuple[float | None, ...]
    high: tuple[float | None, ...]
    flag: tuple[str, ...]
