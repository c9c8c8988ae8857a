"""What the incident pages show, as plain values: between the services and the browser."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Incident:
    """Instants are the street clock's. `version` is what a person must have seen before acting."""

    id: int
    title: str
    kind: str
    severity: str
    state: str  # open | closed | merged
    district: str
    opened_ms: int
    first_ms: int
    last_ms: int
    closed_ms: int | None
    closed_by: str
    close_reason: str
    acknowledged_by: str
    acknowledged_ms: int | None
    silenced_until_ms: int | None
    merged_into: int | None
    late: bool
    lampposts: int
    version: int


@dataclass(frozen=True)
class Verdict:
    """What a lamppost decided. `address`: tenant/name; score on the model's own scale, confidence 0 to 1."""

    id: int
    address: str
    time_ms: int
    kind: str
    score: float
    confidence: float
    reason: str
    model: str


@dataclass(frozen=True)
class Member:
    """A lamppost's part in an incident. standing: in, over, or out: its sensor's fault, not the street's."""

    address: str
    device: int
    district: str
    standing: str
    fault: str
    first_ms: int
    last_ms: int
    score: float  # the highest
    level: int  # the highest of the index, 1 to 6; 0 unknown
    verdicts: int


@dataclass(frozen=True)
class Happening:
    """A line of the history. `by`: a person, `console:NAME`, or the worker."""

    id: int
    at_ms: int
    by: str
    what: str
    text: str


@dataclass(frozen=True)
class Story:
    """One incident with everything that belongs to it."""

    incident: Incident
    members: tuple[Member, ...]
    verdicts: tuple[Verdict, ...]
    history: tuple[Happening, ...]
