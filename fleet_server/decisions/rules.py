"""What may become of an incident: one table of states and events, and how verdicts are judged. Pure.

An incident is one thing that happens in one part of the city: the verdicts of lampposts that stand near each
other (REACH_M, or one district where a place is missing), each at most JOIN_S after the last.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import product

REACH_M = 1_500.0  # a plume is a few hundred metres wide, posts of a city stand up to a kilometre apart
JOIN_S = 30 * 60.0  # a lamppost says it again every ten minutes: three may be lost
REOPEN_S = 30 * 60.0  # wind turns, and the same smoke comes back: still one incident
LATE_AFTER_S = 15 * 60.0  # nobody is called to what is that old when it arrives: it is written down
# A lamppost gives up what is 30 days old (edge_agent, history_ttl_days): older ones come of a clock that was
# never set, or of somebody who fills the list with incidents of years that nobody can look into.
FORGOTTEN_AFTER_S = 31 * 86_400.0
RULE_CONFIDENT = 0.6  # a lamppost that decides by rule opens nothing on a guess
VERY_HIGH_LEVEL = 5  # of 6: "very unhealthy" (US AQI), "very poor" (EAQI)
MODERATE_FROM, MAJOR_FROM = 2, 3  # lampposts: one may stand beside a grill, three do not agree by chance
EARTH_RADIUS_M = 6_371_009.0  # mean, IUGG


class State(StrEnum):
    """Of one incident; stored as these words."""

    OPEN = "open"
    CLOSED = "closed"
    MERGED = "merged"  # it was a part of an older one, which has its verdicts now


class Severity(StrEnum):
    MINOR = "minor"
    MODERATE = "moderate"
    MAJOR = "major"


class Event(StrEnum):
    """What can happen to an incident."""

    EPISODE = "a verdict within reach"
    LAST_OVER = "the last lamppost is over it"
    LAST_OUT = "the last lamppost's sensor is at fault"
    QUIET = "no verdict for too long"
    ABSORBED = "found to be part of an older one"
    ACKNOWLEDGE = "acknowledge"
    SILENCE = "silence"
    NOTE = "note"
    CLOSE = "close"
    POWER_LOSS = "power loss"  # of the server, at any instant: what is stored stands


class Refusal(StrEnum):
    """Why an event changes nothing; the words a person reads."""

    CLOSED = "it is closed already"
    NOTHING_TO_SILENCE = "it is closed, and says nothing"
    MERGED = "it has become a part of another incident"


Outcome = State | Refusal

_S, _E, _R = State, Event, Refusal

TABLE: Mapping[tuple[State, Event], Outcome] = {
    (_S.OPEN, _E.EPISODE): _S.OPEN,
    (_S.OPEN, _E.LAST_OVER): _S.CLOSED,
    (_S.OPEN, _E.LAST_OUT): _S.CLOSED,
    (_S.OPEN, _E.QUIET): _S.CLOSED,
    (_S.OPEN, _E.ABSORBED): _S.MERGED,
    (_S.OPEN, _E.ACKNOWLEDGE): _S.OPEN,
    (_S.OPEN, _E.SILENCE): _S.OPEN,
    (_S.OPEN, _E.NOTE): _S.OPEN,
    (_S.OPEN, _E.CLOSE): _S.CLOSED,
    (_S.OPEN, _E.POWER_LOSS): _S.OPEN,
    (_S.CLOSED, _E.EPISODE): _S.OPEN,  # within REOPEN_S; what comes later is another incident
    (_S.CLOSED, _E.LAST_OVER): _S.CLOSED,  # it was out of order
    (_S.CLOSED, _E.LAST_OUT): _S.CLOSED,
    (_S.CLOSED, _E.QUIET): _S.CLOSED,
    (_S.CLOSED, _E.ABSORBED): _S.MERGED,
    (_S.CLOSED, _E.ACKNOWLEDGE): _S.CLOSED,  # it came and went while nobody looked: now somebody has
    (_S.CLOSED, _E.SILENCE): _R.NOTHING_TO_SILENCE,
    (_S.CLOSED, _E.NOTE): _S.CLOSED,
    (_S.CLOSED, _E.CLOSE): _R.CLOSED,
    (_S.CLOSED, _E.POWER_LOSS): _S.CLOSED,
    (_S.MERGED, _E.EPISODE): _R.MERGED,
    (_S.MERGED, _E.LAST_OVER): _R.MERGED,
    (_S.MERGED, _E.LAST_OUT): _R.MERGED,
    (_S.MERGED, _E.QUIET): _S.MERGED,
    (_S.MERGED, _E.ABSORBED): _R.MERGED,
    (_S.MERGED, _E.ACKNOWLEDGE): _R.MERGED,
    (_S.MERGED, _E.SILENCE): _R.MERGED,
    (_S.MERGED, _E.NOTE): _R.MERGED,
    (_S.MERGED, _E.CLOSE): _R.MERGED,
    (_S.MERGED, _E.POWER_LOSS): _S.MERGED,
}


def step(state: State, event: Event) -> Outcome:
    """The next state, or why not. Every pair is in the table (a test counts them)."""
    return TABLE[state, event]


class What(StrEnum):
    """A line of an incident's history."""

    OPENED = "opened"
    JOINED = "joined"  # lampposts came to it
    LEFT = "left"  # lampposts are over it, or were taken out of it
    SEVERITY = "severity"
    ABSORBED = "absorbed"  # another incident became a part of this one
    MERGED = "merged"  # this one became a part of another
    CLOSED = "closed"
    REOPENED = "reopened"
    ACKNOWLEDGED = "acknowledged"
    SILENCED = "silenced"
    HEARD = "heard"  # the silence was ended before its time
    NOTE = "note"


TOLD = frozenset({What.OPENED, What.REOPENED, What.SEVERITY})  # people are told, unless silenced


class Standing(StrEnum):
    """A lamppost's part in an incident."""

    IN = "in"
    OVER = "over"
    OUT = "out"  # what it measured was its sensor's fault


def standing(last_ms: int, over_ms: int | None, fault_ms: int | None) -> Standing:
    """Of one sensor unit: the latest word counts, of words of one instant the less alarming."""
    if fault_ms is not None and fault_ms >= max(last_ms, over_ms or last_ms):
        return Standing.OUT
    return Standing.OVER if over_ms is not None and over_ms >= last_ms else Standing.IN


@dataclass(frozen=True)
class Place:
    """Where a lamppost stands, for what is near it. No latitude: only its district is known, or nothing."""

    tenant: str
    latitude: float | None = None  # degrees, WGS 84
    longitude: float | None = None
    district: str = ""


def distance_m(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Great circle by the haversine formula; (latitude, longitude) in degrees."""
    lat_a, lat_b = math.radians(a[0]), math.radians(b[0])
    up = math.sin((lat_b - lat_a) / 2) ** 2
    across = math.sin(math.radians(b[1] - a[1]) / 2) ** 2
    root = math.sqrt(up + math.cos(lat_a) * math.cos(lat_b) * across)
    return 2 * EARTH_RADIUS_M * math.asin(min(1.0, root))


def near(a: Place, b: Place) -> bool:
    """Can the two see the same thing? Symmetric; never across tenants."""
    if a.tenant != b.tenant:
        return False
    if a.latitude is None or a.longitude is None or b.latitude is None or b.longitude is None:
        return a.district != "" and a.district == b.district
    return distance_m((a.latitude, a.longitude), (b.latitude, b.longitude)) <= REACH_M


def is_late(time_ms: int, received_ms: int | None, *, history: bool) -> bool:
    """Was it too old when it came to call anybody? received_ms: street clock; None where nobody knows."""
    return history or received_ms is None or received_ms - time_ms > LATE_AFTER_S * 1000


def is_forgotten(time_ms: int, received_ms: int | None) -> bool:
    """Was it too old when it came to be written down as an incident? Not where nobody knows when it came."""
    return received_ms is not None and received_ms - time_ms > FORGOTTEN_AFTER_S * 1000


def severity(lampposts: int, level: int) -> Severity:
    """lampposts: how many are or were in it, faults left out; level: the highest index at any, 0 unknown."""
    if lampposts >= MAJOR_FROM or level >= VERY_HIGH_LEVEL:
        return Severity.MAJOR
    return Severity.MODERATE if lampposts >= MODERATE_FROM else Severity.MINOR


def title(first: str, district: str, lampposts: int) -> str:
    """One line for a list. first: the lamppost (or its site) where it began."""
    where = f"in {district}: {first}" if district else f"at {first}"
    more = "" if lampposts < 2 else f" and {lampposts - 1} more"
    return f"Episode {where}{more}"


def is_told(what: What, silenced_until_ms: int | None, now_ms: int, *, late: bool) -> bool:
    """Are people to be told of it? Not while it is silenced, nor of what was over when it was known."""
    silenced = silenced_until_ms is not None and now_ms < silenced_until_ms
    return what in TOLD and not late and not silenced


def listed(names: Iterable[str], most: int = 5) -> str:
    """`lamp-01, lamp-02 and 12 more`."""
    names = sorted(names)
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def diagram() -> str:
    """The table as a Mermaid state diagram; events that keep the state are left out."""
    lines = ["stateDiagram-v2", f"    [*] --> {State.OPEN}: a verdict with no incident within reach"]
    lines.append(f"    [*] --> {State.CLOSED}: the same, and late")
    for state, event in product(State, Event):
        outcome = step(state, event)
        if isinstance(outcome, State) and outcome is not state:
            lines.append(f"    {state} --> {outcome}: {event}")
    lines.append(f"    {State.MERGED} --> [*]")
    return "\n".join(lines) + "\n"
