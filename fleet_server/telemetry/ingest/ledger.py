"""The ledger of batches: what is claimed, what lies below the folded cursor, and the acks read from it.

A row of `batch` says that the sequences `sequence` to `last` of one (device, epoch, class) are stored, or
accounted for. What is contiguous from 1 and old enough is folded into `batch_cursor.prefix` and deleted.
The race between a late duplicate and the folding is closed by row locks: a claim holds the cursor FOR SHARE
and looks at `prefix` under that lock; folding updates the cursor, so it waits, or makes the claim look again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import Connection, Cursor

from fleet_server.telemetry.rules import Range, contiguous

MAX_ACK_RANGES = 64  # a device has at most 20 batches in flight: more holes than that are already rare


@dataclass(frozen=True, slots=True, order=True)
class Stream:
    """One sequence of batches."""

    device_id: int
    epoch: bytes
    cls: int


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """One row to claim. `last` is beyond `sequence` for a tombstone only."""

    stream: Stream
    sequence: int
    last: int
    samples: int = 0
    history: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
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

# The part of a tombstone's range below the prefix is accounted for already; a row that was there (the first
# batch of the range came after all) is widened.
_CLAIM_RANGE = """
INSERT INTO batch AS b (device_id, epoch, class, sequence, last)
SELECT c.device_id, c.epoch, c.class, greatest(%(sequence)s, c.prefix + 1), %(last)s
FROM batch_cursor c
WHERE c.device_id = %(device_id)s AND c.epoch = %(epoch)s AND c.class = %(cls)s AND %(last)s > c.prefix
FOR SHARE OF c
ON CONFLICT (device_id, epoch, class, sequence) DO UPDATE SET last = excluded.last
WHERE b.last < excluded.last
"""

# Islands above what is known to be contiguous: a row starts one when it does not touch any before it.
_PROGRESS = """
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
    """
    if not entries:
        return set()
    ordered = sorted(entries)
    ensure_cursors(cursor, {entry.stream for entry in ordered})
    cursor.execute(
        _CLAIM,
        (
            *_columns(entry.stream for entry in ordered),
            [entry.sequence for entry in ordered],
            [entry.samples for entry in ordered],
            [entry.history for entry in ordered],
        ),
    )
    return {(Stream(device, bytes(epoch), cls), sequence) for device, epoch, cls, sequence in cursor}


def claim_range(cursor: Cursor[Any], entry: Entry) -> None:
    """Account for a tombstone's whole range, once or again."""
    ensure_cursors(cursor, {entry.stream})
    stream = entry.stream
    values = {"device_id": stream.device_id, "epoch": stream.epoch, "cls": stream.cls}
    cursor.execute(_CLAIM_RANGE, {**values, "sequence": entry.sequence, "last": entry.last})


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
    columns = (*_columns(ordered), [known.get(stream, 0) for stream in ordered])
    found: dict[int, tuple[int, list[Range]]] = {}
    for n, floor, first, last in connection.execute(_PROGRESS, columns):
        ranges = found.setdefault(n - 1, (floor, []))[1]
        if first is not None:
            ranges.append((first, last))
    result = []
    for n, (floor, ranges) in sorted(found.items()):
        prefix, above = contiguous(floor, ranges)
        result.append(Progress(ordered[n], prefix, above[:MAX_ACK_RANGES]))
    return result


def _columns(streams: Iterable[Stream]) -> tuple[list[int], list[bytes], list[int]]:
    listed = list(streams)
    return [s.device_id for s in listed], [s.epoch for s in listed], [s.cls for s in listed]
