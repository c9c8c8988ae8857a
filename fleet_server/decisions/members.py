"""An incident and its members, as decisions see them: plain values, and what follows from them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from fleet_server.decisions.rules import JOIN_S, Place, Severity, Standing, State, severity, standing

JOIN_MS = round(JOIN_S * 1000)

Unit = tuple[int, int]
"""A device and its sensor unit."""


@dataclass(frozen=True)
class Words:
    """The latest end of an episode and the latest fault that a unit told, in whatever order they came."""

    over_ms: int | None = None
    fault_ms: int | None = None
    fault: str = ""

    def with_over(self, at_ms: int) -> Words:
        return replace(self, over_ms=latest(self.over_ms, at_ms))

    def with_fault(self, at_ms: int, reason: str) -> Words:
        if self.fault_ms is None or (at_ms, reason) > (self.fault_ms, self.fault):
            return replace(self, fault_ms=at_ms, fault=reason)
        return self


@dataclass(frozen=True)
class Member:
    """One sensor unit's part. live_ms: the last that came in time; what came late holds nothing open."""

    name: str
    place: Place
    first_ms: int
    last_ms: int
    peak_score: float
    peak_level: int
    verdicts: int
    live_ms: int | None
    over_ms: int | None = None
    fault_ms: int | None = None
    fault: str = ""

    @property
    def standing(self) -> Standing:
        return standing(self.last_ms, self.over_ms, self.fault_ms)

    @property
    def holding_ms(self) -> int | None:
        """The last word that holds the incident open, or None."""
        if self.live_ms is None or standing(self.live_ms, self.over_ms, self.fault_ms) is not Standing.IN:
            return None
        return self.live_ms

    def with_words(self, words: Words) -> Member:
        """What the unit told since; what it told long after belongs to something else."""
        made = self
        if words.over_ms is not None and self._mine(words.over_ms):
            made = replace(made, over_ms=latest(made.over_ms, words.over_ms))
        if words.fault_ms is not None and self._mine(words.fault_ms):
            known = Words(None, made.fault_ms, made.fault).with_fault(words.fault_ms, words.fault)
            made = replace(made, fault_ms=known.fault_ms, fault=known.fault)
        return made

    def _mine(self, at_ms: int) -> bool:
        return self.first_ms - JOIN_MS <= at_ms <= self.last_ms + JOIN_MS

    def united(self, other: Member) -> Member:
        """Two parts of one: they were counted apart."""
        made = replace(
            self,
            first_ms=min(self.first_ms, other.first_ms),
            last_ms=max(self.last_ms, other.last_ms),
            peak_score=max(self.peak_score, other.peak_score),
            peak_level=max(self.peak_level, other.peak_level),
            verdicts=self.verdicts + other.verdicts,
            live_ms=latest(self.live_ms, other.live_ms),
        )
        return made.with_words(Words(other.over_ms, other.fault_ms, other.fault))


@dataclass(frozen=True)
class Incident:
    """closed_by: a person; empty where it ended by itself."""

    id: int
    tenant: str
    state: State
    members: Mapping[Unit, Member]
    closed_ms: int | None = None
    close_reason: str = ""
    closed_by: str = ""
    silenced_until_ms: int | None = None
    merged_into: int | None = None

    @property
    def first_ms(self) -> int:
        return min((member.first_ms for member in self.members.values()), default=0)

    @property
    def last_ms(self) -> int:
        return max((member.last_ms for member in self.members.values()), default=0)

    @property
    def late(self) -> bool:
        """Known only when it was over."""
        return all(member.live_ms is None for member in self.members.values())

    @property
    def believed(self) -> Mapping[Unit, Member]:
        """Members but for those whose sensor was at fault; everybody where all were."""
        good = {unit: m for unit, m in self.members.items() if m.standing is not Standing.OUT}
        return good or self.members

    @property
    def devices(self) -> set[int]:
        return {device for device, _ in self.believed}

    @property
    def peak_level(self) -> int:
        return max((m.peak_level for m in self.members.values() if m.standing is not Standing.OUT), default=0)

    @property
    def peak_score(self) -> float:
        return max((member.peak_score for member in self.believed.values()), default=0.0)

    @property
    def severity(self) -> Severity:
        return severity(len(self.devices), self.peak_level)

    @property
    def begins_with(self) -> Member:
        """Where it began."""
        found = min(self.believed.items(), key=lambda each: (each[1].first_ms, each[1].name, each[0]))
        return found[1]


def ends_ms(incident: Incident) -> int:
    """When it is over, as far as is known: what is live lasts a join window longer than its last word."""
    return max((_end_of(member) for member in incident.members.values()), default=0)


def live_until_ms(incident: Incident) -> int:
    """Until when what came in time holds it open."""
    holding = (member.holding_ms or 0 for member in incident.members.values())
    return max(holding, default=0) + JOIN_MS


def _end_of(member: Member) -> int:
    match member.standing:
        case Standing.IN:
            holding = member.holding_ms
            return member.last_ms if holding is None else max(member.last_ms, holding + JOIN_MS)
        case Standing.OVER:
            return member.over_ms if member.over_ms is not None else member.last_ms
        case Standing.OUT:
            return member.fault_ms if member.fault_ms is not None else member.last_ms


def latest(a: int | None, b: int | None) -> int | None:
    """The later of two instants that may not be."""
    return max((at for at in (a, b) if at is not None), default=None)
