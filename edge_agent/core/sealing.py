"""When waiting samples go to disk, when they are sealed, and into which batches. Pure.

The first sample after a quiet time is committed at once, those that follow within COMMIT_EVERY_S together:
no sample waits longer for the disk than the promise allows, and no disk is written each second.
Samples become a LIVE batch after the flush interval while the link is up, else a HISTORY batch after an hour
(a setting) or HISTORY_ROWS: the larger the batch, the fewer the bytes a reading.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge_agent.core.leaving import leave
from edge_agent.core.records import Row, Sealed
from wire_contract.classes import Class
from wire_contract.errors import OversizedMessage
from wire_contract.limits import MAX_BLOCKS, MAX_ROWS
from wire_contract.messages import SampleBatch, SampleBlock

COMMIT_EVERY_S = 4.5  # wire clock; the promise is 5 s, the rest is for the disk itself
HISTORY_SPAN_S = 3600.0  # street; an hour a batch: 60 rows a sensor at one minute
HISTORY_ROWS = 500  # ~8 kB a batch: sixteen in flight are 2 s of a 2G link's 0.5 Mbit/s
LIVE_AGE_FLUSHES = 3  # samples older than three flush intervals when sealed are history, link or no link
LATE_S = 120.0  # street; a live batch that leaves when its samples are older is history: it raises no alarm


@dataclass(frozen=True)
class Pace:
    """How often what waits leaves: live samples and, without a link, history (street seconds); news of
    conditions (wire clock; 0: at once)."""

    live_s: float
    history_s: float = HISTORY_SPAN_S
    news_s: float = 0.0


@dataclass(frozen=True)
class Moment:
    """What the decision depends on. `link_up`: connected now or within the last flush interval (street)."""

    now_ms: int
    street_s: float
    link_up: bool
    flush_s: float
    final: bool = False  # the agent stops: seal all
    history_span_s: float = HISTORY_SPAN_S


@dataclass(frozen=True)
class Plan:
    """Rows to seal now, each group a batch of its class."""

    live: tuple[Row, ...] = ()
    history: tuple[Row, ...] = ()


def due_at_s(oldest_mono_s: float, rows: int, moment: Moment) -> float:
    """The street-monotonic instant at which the waiting rows must be sealed."""
    if moment.final or (rows >= HISTORY_ROWS):
        return moment.street_s
    return oldest_mono_s + (moment.flush_s if moment.link_up else moment.history_span_s)


def plan(rows: Sequence[Row], moment: Moment) -> Plan:
    """Which of the waiting rows to seal, as what. `rows`: synced ones, oldest first."""
    if not rows or due_at_s(rows[0].mono_ms / 1000, len(rows), moment) > moment.street_s + 1e-6:
        return Plan()
    if not moment.link_up:
        return Plan(history=tuple(rows))
    fresh_ms = moment.now_ms - int(max(LIVE_AGE_FLUSHES * moment.flush_s, moment.flush_s + 5.0) * 1000)
    live = tuple(row for row in rows if row.time_ms >= fresh_ms)
    history = tuple(row for row in rows if row.time_ms < fresh_ms)
    return Plan(live=live, history=history)


def form(cls: Class, rows: Sequence[Row]) -> tuple[Sealed, ...]:
    """Encode rows into as few batches as the limits of the wire allow; the bytes are final."""
    if not rows:
        return ()
    blocks = _blocks(rows)
    try:
        payload = leave(cls, SampleBatch(blocks)) if _allowed(rows, blocks) else b""
    except OversizedMessage:
        payload = b""
    if not payload:
        half = len(rows) // 2
        return form(cls, rows[:half]) + form(cls, rows[half:])
    times = [row.time_ms for row in rows]
    readings = sum(row.readings for row in rows)
    ids = tuple(row.id for row in rows)
    return (Sealed(cls, payload, ids, len(rows), readings, min(times), max(times)),)


def _allowed(rows: Sequence[Row], blocks: Sequence[SampleBlock]) -> bool:
    return len(rows) <= MAX_ROWS and len(blocks) <= MAX_BLOCKS


def _blocks(rows: Sequence[Row]) -> tuple[SampleBlock, ...]:
    groups: dict[tuple[int, tuple[int, ...]], list[Row]] = {}
    for row in rows:
        slots = tuple(slot for slot, value in enumerate(row.values) if value is not None)
        groups.setdefault((row.unit, slots), []).append(row)
    blocks = []
    for (unit, slots), members in sorted(groups.items()):
        members.sort(key=lambda row: row.time_ms)
        columns = tuple([row.values[slot] or 0 for row in members] for slot in slots)
        blocks.append(
            SampleBlock(
                unit=unit,
                slots=slots,
                times_ms=[row.time_ms for row in members],
                columns=columns,
                flags=[row.flags for row in members],
            )
        )
    return tuple(blocks)
