"""The ledger of batches: what is claimed, what lies below the folded cursor, and the acks read from it.

A row of `batch` says that the sequences `sequence` to `last` of one (device, epoch, class) are stored, or
accounted for. What is contiguous from 1 and old enough is folded into `batch_cursor.prefix` and deleted.
The race between a late duplicate and the folding is closed by row locks: a claim holds the cursor FOR SHARE
and looks at `prefix` under that lock; folding updates the cursor, so it waits, or makes the claim look again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from psycopg import Connection, Cursor

from fleet_server.telemetry.ingest.pg_binary import ByteaArray, Int2Array, Int4Array, Int8Array
from fleet_server.telemetry.rules import Range, contiguous

FEW_ROWS = (
    64  # above the prefix of a stream: those in flight; to read more of them is dearer than to fold them
)
MAX_ACK_RANGES = 64  # a device has at most 20 batches in flight: more holes than that are already rare


class Stream(NamedTuple):
    """One sequence of batches."""

    device_id: int
    epoch: bytes
    cls: int


class Entry(NamedTuple):
    """One row to claim. `last` is beyond `sequence` for a tombstone only."""

    stream: Stream
    sequence: int
    last: int
    samples: int = 0
    history: bool = False


class Progress(NamedTuple):
    """How far a stream is accounted for: 1 to `prefix`, and `ranges` above it, ascending."""

    stream: Stream
    prefix: int
    ranges: tuple[Range, ...]


_ENSURE = """
INSERT INTO batch_cursor (device_id, epoch, class)
SELECT * FROM unnest(%s::int[], %s::bytea[], %s::smallint[]) ON CONFLICT DO NOTHING
"""

_CLAIM = """
INSERT INTO batch (device_id, epoch, class, sequence, last, samples, history)
SELECT c.device_id, c.epoch, c.class, t.sequence, t.sequence, t.samples, t.history
FROM unnest(%s::int[], %s::bytea[], %s::smallint[], %s::bigint[], %s::int[], %s::bool[])
     AS t(device_id, epoch, class, sequence, samples, history)
JOIN batch_cursor c USING (device_id, epoch, class)
WHERE t.sequence > c.prefix
ORDER BY c.device_id, c.epoch, c.class, t.sequence
FOR SHARE OF c
ON CONFLICT DO NOTHING
RETURNING device_id, epoch, class, sequence
"""

_IN_RANGE = """
SELECT c.prefix, b.sequence, b.last FROM batch_cursor c
LEFT JOIN batch b ON b.device_id = c.device_id AND b.epoch = c.epoch AND b.class = c.class
     AND b.sequence <= %(last)s AND b.last >= %(sequence)s
WHERE c.device_id = %(device_id)s AND c.epoch = %(epoch)s AND c.class = %(cls)s
FOR SHARE OF c
"""
_CLAIM_RANGE = """
INSERT INTO batch AS b (device_id, epoch, class, sequence, last)
VALUES (%(device_id)s, %(epoch)s, %(cls)s, %(sequence)s, %(last)s)
ON CONFLICT (device_id, epoch, class, sequence) DO UPDATE SET last = excluded.last
WHERE b.last < excluded.last
"""

# The few rows above what is known to be contiguous. The row at the floor itself may have been widened since.
_PROGRESS = """
SELECT k.n, f.floor, b.sequence, b.last
FROM unnest(%s::int[], %s::bytea[], %s::smallint[], %s::bigint[]) WITH ORDINALITY
     AS k(device_id, epoch, class, known, n)
LEFT JOIN batch_cursor c USING (device_id, epoch, class)
CROSS JOIN LATERAL (SELECT greatest(coalesce(c.prefix, 0), k.known) AS floor) f
LEFT JOIN LATERAL (
    SELECT sequence, last FROM batch
    WHERE device_id = k.device_id AND epoch = k.epoch AND class = k.class AND sequence >= f.floor
          AND last > f.floor
    ORDER BY sequence LIMIT %s
) b ON true
"""

# The same where there are many, as islands: a row starts one when it does not touch any before it.
_ISLANDS = """
SELECT n, floor, first, max(last) FROM (
    SELECT n, floor, last, max(starts) OVER (PARTITION BY n ORDER BY sequence) AS first FROM (
        SELECT k.n, f.floor, b.sequence, b.last,
               CASE WHEN b.sequence - 1 > coalesce(max(b.last) OVER (PARTITION BY k.n ORDER BY b.sequence
                        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), -1)
                    THEN b.sequence END AS starts
        FROM unnest(%s::int[], %s::bytea[], %s::smallint[], %s::bigint[]) WITH ORDINALITY
             AS k(device_id, epoch, class, known, n)
        LEFT JOIN batch_cursor c USING (device_id, epoch, class)
        CROSS JOIN LATERAL (SELECT greatest(coalesce(c.prefix, 0), k.known) AS floor) f
        LEFT JOIN batch b ON b.device_id = k.device_id AND b.epoch = k.epoch AND b.class = k.class
             AND b.last > f.floor
    ) touching
) islands
GROUP BY n, floor, first ORDER BY n, first
"""


def claim(cursor: Cursor[Any], entries: Sequence[Entry]) -> set[tuple[Stream, int]]:
    """Insert the entries that are new; returns their (stream, sequence), to be stored in this transaction.

    Sorted, so that two workers with the same batches wait for each other in one order and never in a ring.
    What is not inserted was there, or its stream is new: only then are cursors made, and it is tried again.
    """
    ordered = sorted(entries)
    fresh = _insert(cursor, ordered)
    left = [entry for entry in ordered if (entry.stream, entry.sequence) not in fresh]
    if left:
        ensure_cursors(cursor, {entry.stream for entry in left})
        fresh |= _insert(cursor, left)
    return fresh


def _insert(cursor: Cursor[Any], entries: Sequence[Entry]) -> set[tuple[Stream, int]]:
    if not entries:
        return set()
    columns = (
        *_columns([entry.stream for entry in entries]),
        Int8Array([entry.sequence for entry in entries]),
        Int4Array([entry.samples for entry in entries]),
        [entry.history for entry in entries],
    )
    cursor.execute(_CLAIM, columns, prepare=True, binary=True)
    return {(Stream(device, epoch, cls), sequence) for device, epoch, cls, sequence in cursor}


def claim_range(cursor: Cursor[Any], entry: Entry) -> None:
    """Account for a tombstone's whole range, once or again.

    Its row begins behind what is accounted for already (the prefix, batches of the range that came after
    all), so that no reader has to look below a prefix that it has read.
    """
    ensure_cursors(cursor, {entry.stream})
    key = {"device_id": entry.stream.device_id, "epoch": entry.stream.epoch, "cls": entry.stream.cls}
    rows = cursor.execute(_IN_RANGE, {**key, "sequence": entry.sequence, "last": entry.last}).fetchall()
    there = [(first, last) for _, first, last in rows if first is not None]
    reached, _ = contiguous(max(entry.sequence - 1, rows[0][0]), there)
    if reached < entry.last:
        cursor.execute(_CLAIM_RANGE, {**key, "sequence": reached + 1, "last": entry.last})


def ensure_cursors(cursor: Cursor[Any], streams: Iterable[Stream]) -> None:
    cursor.execute(_ENSURE, _columns(sorted(streams)))


def progress(
    connection: Connection[Any], streams: Iterable[Stream], known: Mapping[Stream, int]
) -> list[Progress]:
    """How far each stream has come, as committed now.

    known: prefixes read before. A prefix never shrinks, so the rows below need not be read again.
    """
    ordered = sorted(streams)
    if not ordered:
        return []
    columns = (*_columns(ordered), Int8Array([known.get(stream, 0) for stream in ordered]), FEW_ROWS + 1)
    found = _ranges(connection.execute(_PROGRESS, columns, prepare=True, binary=True))
    many = [n for n, (_, rows) in found.items() if len(rows) > FEW_ROWS]
    if many:
        those = [ordered[n - 1] for n in many]
        floors = Int8Array([known.get(stream, 0) for stream in those])
        islands = _ranges(connection.execute(_ISLANDS, (*_columns(those), floors)))
        found |= {n: islands[i] for i, n in enumerate(many, 1)}
    result = []
    for n, (floor, ranges) in found.items():
        prefix, above = contiguous(floor, ranges)
        result.append(Progress(ordered[n - 1], prefix, above[:MAX_ACK_RANGES]))
    return result


def _ranges(rows: Iterable[tuple[int, int, int | None, int | None]]) -> dict[int, tuple[int, list[Range]]]:
    """number of the stream -> its floor, and the ranges above it."""
    found: dict[int, tuple[int, list[Range]]] = {}
    for n, floor, first, last in rows:
        ranges = found.setdefault(n, (floor, []))[1]
        if first is not None and last is not None:
            ranges.append((first, last))
    return found


def _columns(streams: Sequence[Stream]) -> tuple[Int4Array, ByteaArray, Int2Array]:
    return (
        Int4Array([s.device_id for s in streams]),
        ByteaArray([s.epoch for s in streams]),
        Int2Array([s.cls for s in streams]),
    )
