"""Dead letters, tried again: after a fix, a declaration, or a device's registration."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import psycopg
from psycopg import Connection, Cursor

from fleet_server.devices import reported
from fleet_server.telemetry.ingest import dead_letters
from fleet_server.telemetry.ingest.catalogue import SeriesCatalogue
from fleet_server.telemetry.ingest.failures import passes
from fleet_server.telemetry.ingest.intake import Incoming, Refused, Spooled, Told, classify
from fleet_server.telemetry.ingest.transaction import Work, claim_new, have_months, hear, store_new


class ReplayOutcome(StrEnum):
    STORED = "stored"
    REFUSED = "refused"  # again, for `reason`
    DONE_BEFORE = "done_before"
    NO_SUCH = "no_such"


@dataclass(frozen=True)
class Replayed:
    """What came of it. reason and detail: why it was refused; samples: rows that are new."""

    outcome: ReplayOutcome
    reason: str = ""
    detail: str = ""
    samples: int = 0


# A letter whose device or unit is there now. Tried a few times only: what still fails then needs a person.
_READY = """
SELECT l.id FROM dead_letter l JOIN device d ON d.id = l.device_id
WHERE l.replayed_at IS NULL AND l.attempts < 5 AND (
    (l.reason = %(not_active)s AND d.state IN ('active', 'pending'))
    OR (l.reason = %(unknown)s AND d.state IN ('active', 'pending') AND EXISTS (
        SELECT 1 FROM unit_key k
        WHERE k.device_id = l.device_id AND k.epoch = l.epoch AND k.key = l.missing_unit)))
ORDER BY l.class, l.sequence, l.id LIMIT %(limit)s
"""


def ready(connection: Connection[Any], limit: int) -> list[int]:
    """Letters that wait for nothing any more, declarations before samples."""
    names = {"not_active": dead_letters.DEVICE_NOT_ACTIVE, "unknown": dead_letters.UNKNOWN_SENSOR}
    return [row[0] for row in connection.execute(_READY, {**names, "limit": limit})]


def replay(
    connection: Connection[Any],
    letter_id: int,
    series: SeriesCatalogue,
    now: datetime,
    also: Callable[[Replayed], None] = lambda _: None,
) -> Replayed:
    """Try one letter again, in a transaction of its own; it is stored at most once, whoever replays it.

    also: what is done in that transaction where it was tried.
    """
    with connection.transaction():
        done = _try(connection, letter_id, series, now)
        if done.outcome in (ReplayOutcome.STORED, ReplayOutcome.REFUSED):
            also(done)
        return done


def _try(connection: Connection[Any], letter_id: int, series: SeriesCatalogue, now: datetime) -> Replayed:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT topic, payload, properties, sequence, replayed_at FROM dead_letter"
            " WHERE id = %s FOR UPDATE",
            (letter_id,),
        )
        row = cursor.fetchone()
        if row is None:
            return Replayed(ReplayOutcome.NO_SUCH)
        topic, payload, properties, sequence, replayed_at = row
        if replayed_at is not None:
            return Replayed(ReplayOutcome.DONE_BEFORE)
        incoming = Incoming(topic, bytes(payload), tuple((name, value) for name, value in properties))
        work = Work(connection, cursor, series, now)
        refused = _guarded(work, incoming, claimed=sequence is not None)
        if refused is None:
            cursor.execute(
                "UPDATE dead_letter SET attempts = attempts + 1, replayed_at = clock_timestamp()"
                " WHERE id = %s",
                (letter_id,),
            )
            return Replayed(ReplayOutcome.STORED, samples=work.counts["samples"])
        cursor.execute(
            "UPDATE dead_letter SET attempts = attempts + 1, reason = %s, detail = %s, missing_unit = %s"
            " WHERE id = %s",
            (refused.reason, dead_letters.bounded(refused.detail), refused.missing_unit, letter_id),
        )
        return Replayed(ReplayOutcome.REFUSED, refused.reason, refused.detail, work.counts["samples"])


def _guarded(work: Work, incoming: Incoming, *, claimed: bool) -> Refused | None:
    """`_attempt`; what PostgreSQL refuses stays a letter, and holds up no other."""
    try:
        with work.connection.transaction():
            return _attempt(work, incoming, claimed=claimed)
    except psycopg.Error as error:
        if passes(error, broken=work.connection.broken):
            raise
        work.counts.clear()
        return Refused(incoming, None, None, dead_letters.INTERNAL_ERROR, repr(error))


def _attempt(work: Work, incoming: Incoming, *, claimed: bool) -> Refused | None:
    """Store it; returns why not. claimed: its ledger row was written with the letter."""
    item = classify(incoming, int(work.now.timestamp() * 1000))
    if item is None:
        return None
    if isinstance(item, Refused):
        return item
    work.devices = reported.find_devices(work.cursor, [item.address])
    if isinstance(item, Told):
        hear(work, [item])
        return None
    device = work.device_of(item)
    if not device.state.data_accepted:
        reason = dead_letters.DEVICE_NOT_ACTIVE
        return Refused(incoming, item.address, item.delivery, reason, f"the device is {device.state}")
    new = [item] if claimed else claim_new(work, [item])
    have_months(work.connection, new, work.series)
    store_new(work, new)
    if work.counts["samples"]:
        _count_samples(work.cursor, work, item)
    return work.refused[0] if work.refused else None


def _count_samples(cursor: Cursor[Any], work: Work, item: Spooled) -> None:
    """The ledger left them out when the letter was written; its row may be folded into the cursor by now."""
    stream = work.stream_of(item)
    key = (stream.device_id, stream.epoch, stream.cls)
    samples = work.counts["samples"]
    cursor.execute(
        "UPDATE batch SET samples = samples + %s"
        " WHERE device_id = %s AND epoch = %s AND class = %s AND sequence = %s",
        (samples, *key, item.delivery.sequence),
    )
    if cursor.rowcount == 0:
        cursor.execute(
            "UPDATE batch_cursor SET samples = samples + %s"
            " WHERE device_id = %s AND epoch = %s AND class = %s",
            (samples, *key),
        )


def replay_ready(
    connection: Connection[Any], series: SeriesCatalogue, now: datetime, limit: int
) -> Counter[str]:
    """Replay what `ready` finds; returns how often each outcome came."""
    return Counter(str(replay(connection, each, series, now).outcome) for each in ready(connection, limit))
