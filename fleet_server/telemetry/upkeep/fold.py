"""Fold old, contiguous rows of the ledger into their cursor, so that the ledger stays small."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from psycopg import Connection

FOLD_AFTER = timedelta(minutes=10)  # long enough to look at a delivery that went wrong a moment ago
STREAMS_A_TICK = 200
ROWS_A_STREAM = 5_000

# Only streams whose oldest row touches the cursor: what waits behind a hole is not looked at again and again.
_FOLDABLE = """
SELECT DISTINCT c.device_id, c.epoch, c.class
FROM batch_cursor c JOIN batch b USING (device_id, epoch, class)
WHERE b.sequence <= c.prefix + 1 AND b.received_at < clock_timestamp() - %s
LIMIT %s
"""
_ROWS = """
SELECT sequence, last, samples, received_at < clock_timestamp() - %s FROM batch
WHERE device_id = %s AND epoch = %s AND class = %s ORDER BY sequence LIMIT %s
"""


def fold(connection: Connection[Any], after: timedelta = FOLD_AFTER) -> int:
    """One tick; returns how many rows were folded. `connection` is in autocommit mode."""
    streams = connection.execute(_FOLDABLE, (after, STREAMS_A_TICK)).fetchall()
    return sum(_fold_one(connection, (device, bytes(epoch), cls), after) for device, epoch, cls in streams)


def _fold_one(connection: Connection[Any], stream: tuple[int, bytes, int], after: timedelta) -> int:
    """One stream, one transaction: it holds one cursor's lock only, so it can be part of no deadlock."""
    with connection.transaction():
        row = connection.execute(
            "SELECT prefix FROM batch_cursor WHERE device_id = %s AND epoch = %s AND class = %s FOR UPDATE",
            stream,
        ).fetchone()
        assert row is not None
        prefix: int = row[0]
        folded, samples, last_row = 0, 0, 0
        # A new statement sees what was committed while this one waited for the lock.
        for sequence, last, brought, old in connection.execute(_ROWS, (after, *stream, ROWS_A_STREAM)):
            if sequence > prefix + 1 or not old:
                break
            prefix, last_row = max(prefix, last), sequence
            folded, samples = folded + 1, samples + brought
        if folded:
            connection.execute(
                "UPDATE batch_cursor SET prefix = %s, batches = batches + %s, samples = samples + %s"
                " WHERE device_id = %s AND epoch = %s AND class = %s",
                (prefix, folded, samples, *stream),
            )
            connection.execute(
                "DELETE FROM batch WHERE device_id = %s AND epoch = %s AND class = %s AND sequence <= %s",
                (*stream, last_row),
            )
        return folded
