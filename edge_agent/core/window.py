"""Which stored messages may be on their way at once: priority, reserved places, acks, resends. Pure.

At most MAX_IN_FLIGHT (20) unacknowledged messages. Of these the classes from HISTORY down may hold 16 and
those from LIVE down 19: history never takes the places live data needs, nor live data the last one, which an
alarm or a declaration needs (fleet_semantics.md S9: drain the best class first).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from edge_agent.core.records import Head
from wire_contract.classes import Class
from wire_contract.limits import MAX_IN_FLIGHT, RESEND_AFTER_S, RESEND_JITTER

HISTORY_PLACES = 16  # 20 less 4: one live batch each second through a 4 s round trip
LIVE_PLACES = 19  # 20 less 1: an alarm finds a place even behind a server that has stopped acking

SAMPLE_CLASSES = frozenset({Class.LIVE, Class.HISTORY})

Key = tuple[Class, int]


@dataclass(frozen=True)
class AckMark:
    """What the server has committed of one class: all up to `prefix`, and the `ranges` above it."""

    prefix: int = 0
    ranges: tuple[tuple[int, int], ...] = ()

    def covers(self, first: int, last: int) -> bool:
        """True when every sequence first..last is committed."""
        first = max(first, self.prefix + 1)
        return first > last or any(low <= first and last <= high for low, high in self.ranges)

    def joined(self, prefix: int, ranges: Iterable[tuple[int, int]]) -> AckMark:
        """The union of two marks: the furthest prefix wins, ranges are merged, and nothing is unlearnt."""
        top = max(self.prefix, prefix)
        merged: list[tuple[int, int]] = []
        for low, high in sorted((*self.ranges, *((int(a), int(b)) for a, b in ranges))):
            if high < low or high <= top:
                continue
            if low <= top + 1:
                top = high
            elif merged and low <= merged[-1][1] + 1:
                merged[-1] = (merged[-1][0], max(merged[-1][1], high))
            else:
                merged.append((low, high))
        return AckMark(top, tuple(merged))


@dataclass(frozen=True)
class Flight:
    """One message on its way: it is sent again at `resend_at_s` (wire clock)."""

    last: int
    resend_at_s: float


_NO_FLIGHTS: Mapping[Key, Flight] = MappingProxyType({})
_NO_CURSORS: Mapping[Class, int] = MappingProxyType({})
_NO_MARKS: Mapping[Class, AckMark] = MappingProxyType({})


@dataclass(frozen=True)
class Window:
    """`cursor`: the furthest sequence handed out since the connection began, by class."""

    in_flight: Mapping[Key, Flight] = field(default_factory=lambda: _NO_FLIGHTS)
    cursor: Mapping[Class, int] = field(default_factory=lambda: _NO_CURSORS)
    acked: Mapping[Class, AckMark] = field(default_factory=lambda: _NO_MARKS)

    def mark(self, cls: Class) -> AckMark:
        return self.acked.get(cls, AckMark())


@dataclass(frozen=True)
class Want:
    """Heads to look up: the next `limit` of a class with a sequence above `after`."""

    cls: Class
    after: int
    limit: int


def room(window: Window, cls: Class) -> int:
    """How many more messages of this class may go out now."""
    counts = [held for held, _ in window.in_flight]
    free = MAX_IN_FLIGHT - len(counts)
    if cls >= Class.LIVE:
        free = min(free, LIVE_PLACES - sum(held >= Class.LIVE for held in counts))
    if cls >= Class.HISTORY:
        free = min(free, HISTORY_PLACES - sum(held >= Class.HISTORY for held in counts))
    return max(free, 0)


def wants(window: Window, held: bool, paused: Collection[Class] = ()) -> tuple[Want, ...]:
    """What to look up, best class first. `held`: a declaration is unacknowledged, so samples wait. `paused`:
    classes that are to wait here."""
    found = []
    for cls in Class:
        free = room(window, cls)
        if free and cls not in paused and not (held and cls in SAMPLE_CLASSES):
            found.append(Want(cls, max(window.cursor.get(cls, 0), window.mark(cls).prefix), free))
    return tuple(found)


def fill(
    window: Window, heads: Iterable[Head], held: bool, now_s: float, jitter: float
) -> tuple[Window, tuple[Head, ...]]:
    """Hand out as many of `heads` as may go, best class and oldest first. Returns the heads to publish."""
    flights, cursor = dict(window.in_flight), dict(window.cursor)
    sent = []
    for head in sorted(heads, key=lambda head: (head.cls, head.sequence)):
        if head.sequence <= cursor.get(head.cls, 0) or (held and head.cls in SAMPLE_CLASSES):
            continue
        if window.mark(head.cls).covers(head.sequence, head.last):
            cursor[head.cls] = head.sequence
            continue
        if not room(replace(window, in_flight=flights), head.cls):
            continue
        flights[head.cls, head.sequence] = Flight(head.last, _deadline(now_s, jitter))
        cursor[head.cls] = head.sequence
        sent.append(head)
    return replace(window, in_flight=flights, cursor=cursor), tuple(sent)


def acknowledge(window: Window, cls: Class, prefix: int, ranges: Iterable[tuple[int, int]]) -> Window:
    """Take in an ack: what it covers leaves the window."""
    mark = window.mark(cls).joined(prefix, ranges)
    flights = {
        key: flight
        for key, flight in window.in_flight.items()
        if key[0] != cls or not mark.covers(key[1], flight.last)
    }
    return replace(window, in_flight=flights, acked={**window.acked, cls: mark})


def due(window: Window, now_s: float, jitter: float) -> tuple[Window, tuple[Key, ...]]:
    """The messages whose ack is overdue, to be sent again; each gets a new deadline."""
    late = tuple(key for key, flight in window.in_flight.items() if flight.resend_at_s <= now_s)
    return again(window, late, now_s, jitter), late


def again(window: Window, keys: Iterable[Key], now_s: float, jitter: float) -> Window:
    """These are sent again now: new deadlines."""
    fresh = {key: Flight(window.in_flight[key].last, _deadline(now_s, jitter)) for key in keys}
    return replace(window, in_flight={**window.in_flight, **fresh})


def forget(window: Window, key: Key) -> Window:
    """Drop a message that is no longer in the spool."""
    return replace(window, in_flight={k: v for k, v in window.in_flight.items() if k != key})


def restart(window: Window) -> Window:
    """A new connection: nothing is on its way, draining starts again from what is acknowledged."""
    return Window(acked=window.acked)


def _deadline(now_s: float, jitter: float) -> float:
    return now_s + RESEND_AFTER_S * (1.0 + RESEND_JITTER * jitter)
