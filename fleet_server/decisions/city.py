"""The incidents of a city, and what a verdict, or time, makes of them. No clock, no I/O, no randomness.

`hear` and `tick` change the incidents and write down what happened. The same verdicts end in the same
incidents in whatever order they come, as long as they lie within the join window of each other; one that is
heard twice changes nothing; two open incidents are never within reach of each other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from fleet_server.decisions.members import Incident, Member, Unit, Words, ends_ms, latest, live_until_ms
from fleet_server.decisions.rules import (
    JOIN_S,
    REOPEN_S,
    RULE_CONFIDENT,
    Event,
    Place,
    Refusal,
    Standing,
    State,
    What,
    is_forgotten,
    is_late,
    near,
    step,
)
from wire_contract.verdict_kinds import RULE, VerdictKind

JOIN_MS = round(JOIN_S * 1000)
REOPEN_MS = round(REOPEN_S * 1000)

OVER = "every lamppost is over it"
OUT = "what was measured was the sensors' fault"
LATE = "it was over when it became known"
QUIET = f"no verdict for {JOIN_MS // 60_000} minutes"


@dataclass(frozen=True)
class Verdict:
    """A verdict and whose it is. received_ms: street clock; level: of its index then, 1 to 6, 0 unknown."""

    id: int
    device: int
    sensor_unit: int
    name: str
    place: Place
    kind: str
    time_ms: int
    received_ms: int | None
    score: float
    confidence: float
    reason: str = ""
    model: str = ""
    history: bool = False
    level: int = 0

    @property
    def unit(self) -> Unit:
        return self.device, self.sensor_unit

    @property
    def at_ms(self) -> int:
        """When it was true: a lamppost's clock that is ahead makes nothing happen in the future."""
        return self.time_ms if self.received_ms is None else min(self.time_ms, self.received_ms)

    @property
    def key(self) -> tuple[int, int, int, str]:
        """What makes it the same verdict, whichever way it came."""
        return self.device, self.sensor_unit, self.time_ms, self.kind


@dataclass(frozen=True)
class Line:
    """A line of history that came of it. name: of the lamppost it is about, where it is about one."""

    incident: int
    what: What
    text: str = ""
    name: str = ""


@dataclass
class City:
    """Give it the incidents that could matter, then what was said. New incidents have negative ids.

    words: what units have said lately, whether or not it came in order; heard: keys of verdicts that count
    already.
    """

    incidents: dict[int, Incident] = field(default_factory=dict)
    words: dict[Unit, Words] = field(default_factory=dict)
    heard: set[tuple[int, int, int, str]] = field(default_factory=set)
    lines: list[Line] = field(default_factory=list)
    evidence: dict[int, int] = field(default_factory=dict)  # verdict -> incident
    counts: Counter[str] = field(default_factory=Counter)
    _made: int = 0

    def hear(self, verdict: Verdict) -> None:
        """One verdict, of any kind and age."""
        if verdict.key in self.heard:
            self.counts["repeated"] += 1
            return
        self.heard.add(verdict.key)
        match verdict.kind:
            case VerdictKind.EPISODE if not _sure(verdict):
                self.counts["unsure"] += 1
            case VerdictKind.EPISODE if is_forgotten(verdict.time_ms, verdict.received_ms):
                self.counts["too_old"] += 1
            case VerdictKind.EPISODE:
                self.counts["episode"] += 1
                self._episode(verdict)
            case VerdictKind.EPISODE_OVER | VerdictKind.FAULT:
                self.counts[verdict.kind] += 1
                self._less(verdict)
            case VerdictKind.FAULT_OVER:
                self.counts[verdict.kind] += 1  # it says nothing of the air
            case _:
                self.counts["unknown_kind"] += 1

    def tick(self, now_ms: int) -> None:
        """Close what nobody has said anything about for too long."""
        for incident in list(self.incidents.values()):
            if incident.state is State.OPEN and now_ms > live_until_ms(incident):
                self._close(incident, Event.QUIET)

    def _episode(self, verdict: Verdict) -> None:
        late = is_late(verdict.time_ms, verdict.received_ms, history=verdict.history)
        within = self._within_reach(verdict)
        joined = self._joined(within) if within else self._new(verdict)
        stood = _standings(joined, verdict.device)
        member = _added(joined.members.get(verdict.unit), verdict, self._words(verdict.unit), late=late)
        grown = replace(joined, members={**joined.members, verdict.unit: member})
        self.evidence[verdict.id] = grown.id
        if not within:
            self._open(grown, late)
            self._outdated(grown.id, verdict, woken=False)
            return
        if verdict.device not in {device for device, _ in joined.members}:
            self.lines.append(Line(grown.id, What.JOINED, name=verdict.name))
        # A person said that it was over: who was in it then does not open it again.
        again = not late and (not joined.closed_by or Standing.IN not in stood)
        self._settle(grown, reopen=again)
        self._outdated(grown.id, verdict, woken=within[0].state is State.CLOSED)

    def _less(self, verdict: Verdict) -> None:
        """An episode's end, or a fault: it opens nothing."""
        known = self._words(verdict.unit)
        if verdict.kind == VerdictKind.FAULT:
            self.words[verdict.unit] = known.with_fault(verdict.at_ms, verdict.reason)
        else:
            self.words[verdict.unit] = known.with_over(verdict.at_ms)
        for incident in list(self.incidents.values()):
            member = incident.members.get(verdict.unit)
            if incident.state is State.MERGED or member is None:
                continue
            if not member.first_ms - JOIN_MS <= verdict.at_ms <= member.last_ms + JOIN_MS:
                continue
            said = member.with_words(self.words[verdict.unit])
            self.evidence[verdict.id] = incident.id
            if said.standing is not member.standing and said.standing is not Standing.IN:
                why = said.fault if said.standing is Standing.OUT else ""
                self.lines.append(Line(incident.id, What.LEFT, why, verdict.name))
            self._settle(replace(incident, members={**incident.members, verdict.unit: said}), reopen=False)

    def _words(self, unit: Unit) -> Words:
        return self.words.get(unit, Words())

    def _within_reach(self, verdict: Verdict) -> list[Incident]:
        """Incidents near the lamppost whose time, or that of others found, is the verdict's. Oldest first.

        One that is closed may come to life again: beside any of its lampposts others may have opened since.
        """
        around = [each for each in self.incidents.values() if _near(each, verdict)]
        first, last = verdict.at_ms, verdict.at_ms
        found: dict[int, Incident] = {}
        while more := [each for each in around if each.id not in found and _in_time(each, first, last)]:
            for each in more:
                found[each.id] = each
                first, last = min(first, each.first_ms), max(last, each.last_ms)
                around += self._opened_beside(each, around)
        for each in around:
            if each.id not in found and each.state is State.OPEN and each.last_ms < first:
                self._close(each, Event.QUIET)
        return sorted(found.values(), key=lambda i: (i.id < 0, i.late, abs(i.id)))

    def _opened_beside(self, closed: Incident, known: list[Incident]) -> list[Incident]:
        if closed.state is not State.CLOSED:
            return []
        seen = {each.id for each in known}
        others = (i for i in self.incidents.values() if i.state is State.OPEN and i.id not in seen)
        return [other for other in others if _meet(other, closed)]

    def _joined(self, within: list[Incident]) -> Incident:
        """The one that was opened first, with the others' members: they were parts of it."""
        oldest = within[0]
        for other in within[1:]:
            outcome = step(other.state, Event.ABSORBED)
            assert not isinstance(outcome, Refusal)
            self.incidents[other.id] = replace(other, state=outcome, merged_into=oldest.id, members={})
            for verdict, incident in self.evidence.items():
                if incident == other.id:
                    self.evidence[verdict] = oldest.id
            self.lines.append(Line(oldest.id, What.ABSORBED, str(other.id)))
            self.lines.append(Line(other.id, What.MERGED, str(oldest.id)))
            if other.state is State.OPEN and oldest.state is State.CLOSED:
                self.lines.append(Line(oldest.id, What.REOPENED))
                oldest = _reopened(oldest)
            known = {device for device, _ in oldest.members}
            came = {unit[0]: m.name for unit, m in other.members.items() if unit[0] not in known}
            self.lines += [Line(oldest.id, What.JOINED, name=name) for name in came.values()]
            oldest = replace(oldest, members=_united(oldest.members, other.members))
        self.incidents[oldest.id] = oldest
        return oldest

    def _new(self, verdict: Verdict) -> Incident:
        self._made += 1
        return Incident(-self._made, verdict.place.tenant, State.OPEN, {})

    def _open(self, incident: Incident, late: bool) -> None:
        self.incidents[incident.id] = incident
        self.lines.append(Line(incident.id, What.OPENED, "late" if late else ""))
        if late:
            closed = replace(incident, state=State.CLOSED, closed_ms=ends_ms(incident), close_reason=LATE)
            self.incidents[incident.id] = closed
        else:
            self._settle(incident, reopen=False)

    def _outdated(self, incident: int, verdict: Verdict, *, woken: bool) -> None:
        """Of two open ones beside each other that do not meet in time, the earlier is over.

        woken: it may have been closed, so that others could open beside any of its members.
        """
        now = self.incidents[incident]
        if now.state is not State.OPEN:
            return
        newer = [i for i in self.incidents.values() if i.first_ms > now.last_ms and i.state is State.OPEN]
        if any(_near(each, verdict) or (woken and _meet(each, now)) for each in newer):
            self._close(now, Event.QUIET)

    def _settle(self, incident: Incident, *, reopen: bool) -> None:
        """Bring the state to what the members say."""
        holds = any(member.holding_ms is not None for member in incident.members.values())
        if incident.state is State.OPEN and not holds:
            out = all(m.standing is Standing.OUT for m in incident.members.values())
            self._close(incident, Event.LAST_OUT if out else Event.LAST_OVER)
            return
        if incident.state is State.CLOSED and holds and reopen:
            incident = _reopened(incident)
            self.lines.append(Line(incident.id, What.REOPENED))
        elif incident.state is State.CLOSED and not incident.closed_by:
            incident = replace(incident, closed_ms=ends_ms(incident))
        self.incidents[incident.id] = incident

    def _close(self, incident: Incident, event: Event) -> None:
        outcome = step(incident.state, event)
        assert not isinstance(outcome, Refusal)
        why = {Event.LAST_OVER: OVER, Event.LAST_OUT: OUT}.get(event, QUIET)
        closed = replace(incident, state=outcome, closed_ms=ends_ms(incident), close_reason=why)
        self.incidents[incident.id] = closed
        self.lines.append(Line(incident.id, What.CLOSED, why))


def in_order(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """By time; of one instant, as they came."""
    return sorted(verdicts, key=lambda verdict: (verdict.at_ms, verdict.id))


def _sure(verdict: Verdict) -> bool:
    """A model's word counts; a rule's where it is confident. Who says neither is taken for a model."""
    return verdict.confidence >= RULE_CONFIDENT or verdict.model.partition("@")[0] != RULE.partition("@")[0]


def _near(incident: Incident, verdict: Verdict) -> bool:
    if incident.state is State.MERGED or incident.tenant != verdict.place.tenant:
        return False
    if verdict.unit in incident.members:
        return True
    return any(
        device == verdict.device or near(member.place, verdict.place)
        for (device, _), member in incident.members.items()
    )


def _meet(a: Incident, b: Incident) -> bool:
    places = {member.place for member in b.members.values()}
    return any(near(member.place, place) for member in a.members.values() for place in places)


def _in_time(incident: Incident, first_ms: int, last_ms: int) -> bool:
    return incident.first_ms - JOIN_MS <= last_ms and first_ms <= ends_ms(incident) + REOPEN_MS


def _standings(incident: Incident, device: int) -> set[Standing]:
    return {member.standing for (owner, _), member in incident.members.items() if owner == device}


def _added(member: Member | None, verdict: Verdict, words: Words, *, late: bool) -> Member:
    at, score, level = verdict.at_ms, verdict.score, verdict.level
    live_ms = None if late else at
    if member is None:
        made = Member(verdict.name, verdict.place, at, at, score, level, 1, live_ms)
    else:
        made = replace(
            member,
            first_ms=min(member.first_ms, at),
            last_ms=max(member.last_ms, at),
            peak_score=max(member.peak_score, score),
            peak_level=max(member.peak_level, level),
            verdicts=member.verdicts + 1,
            live_ms=latest(member.live_ms, live_ms),
        )
    return made.with_words(words)


def _united(mine: Mapping[Unit, Member], theirs: Mapping[Unit, Member]) -> dict[Unit, Member]:
    united = dict(mine)
    for unit, member in theirs.items():
        united[unit] = united[unit].united(member) if unit in united else member
    return united


def _reopened(incident: Incident) -> Incident:
    outcome = step(incident.state, Event.EPISODE)
    assert not isinstance(outcome, Refusal)
    return replace(incident, state=outcome, closed_ms=None, close_reason="", closed_by="")
