"""Holes in the ledger that nothing will fill: written down as lost, so that the ledger can be folded again.

A database restored from an older backup has forgotten batches that were acked and that devices have deleted.
What they still hold is stored above the hole, and the contiguous prefix would never move again. A device
sends the oldest of a class first, each time it connects, and again after 30 s: where later batches have come
for a day and the hole is still there, nobody has what belongs into it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg import Connection

from fleet_server.telemetry.ingest.ledger import Entry, Stream, claim_range

SETTLE_AFTER = timedelta(hours=24)  # a device that is connected has sent it a thousand times by then
REASON = "server_restored"
HOLES_A_TICK = 500

_HOLES = """
SELECT device_id, epoch, class, after + 1, sequence - 1, received_at FROM (
    SELECT b.device_id, b.epoch, b.class, b.sequence, b.received_at,
           greatest(c.prefix, coalesce(max(b.last) OVER (PARTITION BY b.device_id, b.epoch, b.class
               ORDER BY b.sequence ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0)) AS after
    FROM batch b JOIN batch_cursor c USING (device_id, epoch, class) WHERE b.last > c.prefix) rows
WHERE sequence > after + 1 AND received_at < clock_timestamp() - %s
ORDER BY 1, 2, 3, 4 LIMIT %s
"""


@dataclass(frozen=True, slots=True)
class Hole:
    """The sequences first to last never came; the batch after them did, at `since`."""

    stream: Stream
    first: int
    last: int
    since: datetime


def holes(connection: Connection[Any], older_than: timedelta, limit: int = HOLES_A_TICK) -> list[Hole]:
    """Those whose next batch came longer ago than this (wall clock), by stream."""
    found = connection.execute(_HOLES, (older_than, limit)).fetchall()
    return [
        Hole(Stream(device, bytes(epoch), cls), first, last, since)
        for device, epoch, cls, first, last, since in found
    ]


def settle(connection: Connection[Any], after: timedelta = SETTLE_AFTER) -> int:
    """One tick; returns how many holes were written down. `connection` is in autocommit mode.

    A tombstone each, as a device would have sent it: the range is accounted for, with its reason.
    """
    found = holes(connection, after)
    for hole in found:
        stream = hole.stream
        with connection.transaction(), connection.cursor() as cursor:
            claim_range(cursor, Entry(stream, hole.first, hole.last))
            cursor.execute(
                "INSERT INTO tombstone (device_id, epoch, class, first, last, reason, samples)"
                " VALUES (%s, %s, %s, %s, %s, %s, 0) ON CONFLICT DO NOTHING",
                (stream.device_id, stream.epoch, stream.cls, hole.first, hole.last, REASON),
            )
    return len(found)
