"""What a candidate found against what was said at the time: the same episodes and faults, new, missing ones.

Pure. An episode is said again and again while it lasts (EPISODE_REPEAT_S); here it is one, from the first
word to the word that it is over, or to the last word about it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from wire_contract.verdict_kinds import EPISODE_REPEAT_S, VerdictKind, fault_of

# One candidate opens some minutes after another; what is said as long after as it is repeated is another one.
SLACK_MS = EPISODE_REPEAT_S * 1000


@dataclass(frozen=True, slots=True, order=True)
class Word:
    """One verdict of one sensor unit."""

    device: str
    unit: int
    time_ms: int
    kind: str
    score: float
    reason: str = ""
    model: str = ""


@dataclass(frozen=True, slots=True, order=True)
class Event:
    """Something that lasted: an episode, or a fault (`what`: its code). ended_ms: the last that is known."""

    device: str
    unit: int
    what: str
    begun_ms: int
    ended_ms: int
    peak: float


@dataclass(frozen=True)
class Comparison:
    """`same`: (stored, candidate)."""

    same: tuple[tuple[Event, Event], ...]
    new: tuple[Event, ...]
    missing: tuple[Event, ...]

    @property
    def delays_s(self) -> list[float]:
        """How much later the candidate said it first; negative: sooner."""
        return [(mine.begun_ms - stored.begun_ms) / 1000 for stored, mine in self.same]

    @property
    def median_delay_s(self) -> float | None:
        return median(self.delays_s) if self.same else None


_OVER = {VerdictKind.EPISODE_OVER: VerdictKind.EPISODE, VerdictKind.FAULT_OVER: VerdictKind.FAULT}


def events(words: Iterable[Word]) -> list[Event]:
    """What the verdicts come to, by begin. Words in any order; a kind that is not known is left out."""
    of_thing: dict[tuple[str, int, str], list[Word]] = defaultdict(list)
    for word in words:
        what = _what(word)
        if what is not None:
            of_thing[word.device, word.unit, what].append(word)
    found: list[Event] = []
    for (device, unit, what), said in of_thing.items():
        found += _lasting(device, unit, what, sorted(said, key=lambda word: word.time_ms))
    return sorted(found, key=lambda event: (event.begun_ms, event))


def _what(word: Word) -> str | None:
    if word.kind in (VerdictKind.EPISODE, VerdictKind.EPISODE_OVER):
        return "episode"
    if word.kind in (VerdictKind.FAULT, VerdictKind.FAULT_OVER):
        code = fault_of(word.reason)
        return None if code is None else code.value
    return None


def _lasting(device: str, unit: int, what: str, said: Sequence[Word]) -> Iterable[Event]:
    open_: Event | None = None
    for word in said:
        over = word.kind in _OVER
        if open_ is None:
            if not over:  # what is over and was not seen to begin began before the stretch
                open_ = Event(device, unit, what, word.time_ms, word.time_ms, word.score)
            continue
        peak = max(open_.peak, word.score)
        open_ = Event(device, unit, what, open_.begun_ms, word.time_ms, peak)
        if over:
            yield open_
            open_ = None
    if open_ is not None:
        yield open_


def compare(stored: Sequence[Event], candidate: Sequence[Event]) -> Comparison:
    """Each stored event has at most one of the candidate's, of the same unit and kind, that overlaps with it;
    those that begin closest to each other are paired first."""
    pairs = sorted(
        (abs(one.begun_ms - other.begun_ms), i, j)
        for i, one in enumerate(stored)
        for j, other in enumerate(candidate)
        if _meet(one, other)
    )
    of_stored: dict[int, int] = {}
    taken: set[int] = set()
    for _, i, j in pairs:
        if i not in of_stored and j not in taken:
            of_stored[i] = j
            taken.add(j)
    return Comparison(
        same=tuple((stored[i], candidate[of_stored[i]]) for i in sorted(of_stored)),
        new=tuple(event for j, event in enumerate(candidate) if j not in taken),
        missing=tuple(event for i, event in enumerate(stored) if i not in of_stored),
    )


def _meet(one: Event, other: Event) -> bool:
    if (one.device, one.unit, one.what) != (other.device, other.unit, other.what):
        return False
    return one.begun_ms <= other.ended_ms + SLACK_MS and other.begun_ms <= one.ended_ms + SLACK_MS
