"""What the spool sheds when there is no room, and what it never sheds. Pure.

`python -m edge_agent.core.spool_policy` prints the table of the spool's room as a Mermaid diagram.
Lowest class first, within it oldest first; past its time-to-live, at once. ALARM and REPLY are never shed:
when nothing else is left the spool pushes back and the agent keeps them in memory until there is room
(fleet_semantics.md S9).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from edge_agent.core.machine import Rule, Table
from edge_agent.core.records import Usage, Weight
from wire_contract.classes import NEVER_DROP, Class
from wire_contract.messages import TombstoneReason

SHED_MARGIN = 0.02  # free a little more than is missing, so that shedding does not run at every commit
RECLAIM_FROM_BYTES = 256 << 10  # what live samples free and fill again in an hour is less
DAY_MS = 86_400_000


@dataclass(frozen=True)
class Caps:
    """The three limits of the spool (fleet_semantics.md S9) and the times-to-live. Days of street time."""

    max_bytes: int
    min_free_bytes: int
    min_free_inodes: int
    history_ttl_days: float
    diagnostic_ttl_days: float


@dataclass(frozen=True)
class Shed:
    """A run of adjacent messages to replace by one tombstone: sequences first..last of a class."""

    cls: Class
    first: int
    last: int
    reason: TombstoneReason
    samples: int
    from_ms: int
    to_ms: int


def excess_bytes(usage: Usage, caps: Caps) -> int:
    """How much must go, 0 when all caps hold. A lack of inodes asks for nothing: deleting rows gives none.

    Pages that the file has to spare are given back a step at a time: they count as free already.
    """
    over = usage.used_bytes - caps.max_bytes
    short = caps.min_free_bytes - usage.free_bytes - usage.spare_bytes
    need = max(over, short)
    return need + int(caps.max_bytes * SHED_MARGIN) if need > 0 else 0


def worth_reclaiming(usage: Usage) -> bool:
    """Whether the file should shrink: live samples need some spare pages, an outage leaves many."""
    return usage.spare_bytes >= RECLAIM_FROM_BYTES


def to_free(weights: Sequence[Weight], need_bytes: int) -> tuple[Shed, ...]:
    """Which messages to shed to free `need_bytes`: the lowest class first, in it the oldest.

    `weights`: candidates, tombstones and what is on its way left out by the caller. Never-drop classes are
    refused here whatever the caller gives.
    """
    chosen, freed = [], 0
    for weight in sorted(weights, key=lambda w: (-w.head.cls, w.head.sequence)):
        if freed >= need_bytes:
            break
        if weight.head.cls in NEVER_DROP:
            continue
        chosen.append(weight)
        freed += weight.size_bytes
    return _runs(chosen, TombstoneReason.SPOOL_FULL)


def expired(weights: Iterable[Weight], caps: Caps) -> tuple[Shed, ...]:
    """Which messages have been kept longer than their time-to-live."""
    history_ms = int(caps.history_ttl_days * DAY_MS)
    diagnostic_ms = int(caps.diagnostic_ttl_days * DAY_MS)
    ttl_ms = {Class.LIVE: history_ms, Class.HISTORY: history_ms, Class.DIAGNOSTIC: diagnostic_ms}
    old = [w for w in weights if w.head.cls in ttl_ms and w.age_ms > ttl_ms[w.head.cls]]
    return _runs(sorted(old, key=lambda w: (w.head.cls, w.head.sequence)), TombstoneReason.EXPIRED)


def _runs(weights: Sequence[Weight], reason: TombstoneReason) -> tuple[Shed, ...]:
    """Adjacent messages that never left the device become one run; any other becomes a run of its own.

    The server may hold a message that left: a tombstone with its sequence is then a duplicate there, which
    must not hide the rest of a longer range.
    """
    runs: list[tuple[Shed, bool]] = []
    for weight in weights:
        head = weight.head
        one = Shed(head.cls, head.sequence, head.last, reason, weight.samples, weight.from_ms, weight.to_ms)
        last, mergeable = runs[-1] if runs else (None, False)
        if last and mergeable and not weight.maybe_published and _adjacent(last, one):
            runs[-1] = (joined(last, one), True)
        else:
            runs.append((one, not weight.maybe_published))
    return tuple(run for run, _ in runs)


def _adjacent(a: Shed, b: Shed) -> bool:
    return a.cls == b.cls and a.last + 1 == b.first


def joined(a: Shed, b: Shed) -> Shed:
    """Two adjacent ranges as one."""
    return replace(
        a,
        last=b.last,
        samples=a.samples + b.samples,
        from_ms=min(a.from_ms, b.from_ms),
        to_ms=max(a.to_ms, b.to_ms),
    )


class Room(StrEnum):
    """How much room the spool has: enough; a cap is reached and it sheds; the disk refuses to be written."""

    ROOMY = "roomy"
    SHEDDING = "shedding"
    REFUSED = "refused"


class Sign(StrEnum):
    FITS = "all caps hold"
    OVER = "a cap is reached"
    NOTHING_LEFT = "nothing left to shed"
    WRITE_REFUSED = "write refused"
    WRITTEN = "written"
    TIMED_OUT = "retry due"
    POWER_LOST = "power lost"


@dataclass(frozen=True)
class RoomState:
    room: Room = Room.ROOMY


class Order(StrEnum):
    """What the spooler is to do."""

    SHED = "shed"
    MEASURE = "measure"
    RAISE_SHEDDING = "raise spool_shedding"
    CLEAR_SHEDDING = "clear spool_shedding"
    RAISE_FULL = "raise disk_full"
    CLEAR_FULL = "clear disk_full"


_Rule = Rule[Room, RoomState, Sign, Order]


def _to(room: Room, *orders: Order) -> _Rule:
    return _Rule((room,), lambda _state, _sign: (RoomState(room), orders))


_RULES: dict[tuple[Room, Sign], _Rule] = {
    (Room.ROOMY, Sign.FITS): _to(Room.ROOMY),
    (Room.ROOMY, Sign.OVER): _to(Room.SHEDDING, Order.RAISE_SHEDDING, Order.SHED),
    (Room.ROOMY, Sign.WRITTEN): _to(Room.ROOMY),
    (Room.ROOMY, Sign.WRITE_REFUSED): _to(Room.REFUSED, Order.RAISE_FULL, Order.SHED),
    (Room.SHEDDING, Sign.FITS): _to(Room.ROOMY, Order.CLEAR_SHEDDING),
    (Room.SHEDDING, Sign.OVER): _to(Room.SHEDDING, Order.SHED),
    # Others filled the disk: what comes is still written and sent, the oldest of it goes at the next turn.
    (Room.SHEDDING, Sign.NOTHING_LEFT): _to(Room.SHEDDING),
    (Room.SHEDDING, Sign.WRITTEN): _to(Room.SHEDDING),
    (Room.SHEDDING, Sign.WRITE_REFUSED): _to(Room.REFUSED, Order.RAISE_FULL, Order.SHED),
    (Room.REFUSED, Sign.FITS): _to(Room.REFUSED),  # only a write that went through proves it
    (Room.REFUSED, Sign.OVER): _to(Room.REFUSED, Order.SHED),
    (Room.REFUSED, Sign.NOTHING_LEFT): _to(Room.REFUSED),
    (Room.REFUSED, Sign.WRITE_REFUSED): _to(Room.REFUSED),
    (Room.REFUSED, Sign.WRITTEN): _to(Room.ROOMY, Order.CLEAR_FULL, Order.CLEAR_SHEDDING),
    (Room.REFUSED, Sign.TIMED_OUT): _to(Room.REFUSED, Order.MEASURE),
    **{(room, Sign.POWER_LOST): _to(Room.ROOMY) for room in Room},
}

TABLE: Table[Room, Sign, RoomState, Sign, Order] = Table(
    name="spool room",
    phases=Room,
    signals=Sign,
    rules=_RULES,
    refused=frozenset(
        {
            (Room.ROOMY, Sign.NOTHING_LEFT),  # nothing was to be shed
            (Room.ROOMY, Sign.TIMED_OUT),  # the retry is armed only while writes are refused
            (Room.SHEDDING, Sign.TIMED_OUT),
        }
    ),
)


def step(state: RoomState, sign: Sign) -> tuple[RoomState, tuple[Order, ...]]:
    """Decide one sign. Raises RefusedEvent where the pair is refused."""
    return TABLE.step(state.room, sign, state, sign)


if __name__ == "__main__":
    print(TABLE.mermaid())
