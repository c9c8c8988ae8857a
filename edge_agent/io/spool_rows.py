"""A waiting sample as a row of the spool's `pending` table; a damaged one is told, never believed.

SQLite has no checksum of its own: a flipped bit inside a value passes its integrity check.
"""

from __future__ import annotations

import sqlite3
from typing import Any

import msgspec

from edge_agent.core.records import Row
from edge_agent.errors import SpoolCorrupt
from wire_contract.limits import INT32_MAX, INT32_MIN, MAX_SLOTS, MAX_TIME_MS, MIN_TIME_MS

COLUMNS = "id, unit, time_ms, body, boot, mono_ms, synced"

_body = msgspec.msgpack.Encoder()
_read_body = msgspec.msgpack.Decoder(tuple[list[int | None], int])


def to_columns(row: Row) -> tuple[Any, ...]:
    """In the order of COLUMNS."""
    body = _body.encode((row.values, row.flags))
    return (row.id, row.unit, row.time_ms, body, row.boot, row.mono_ms, row.synced)


def from_columns(columns: tuple[Any, ...]) -> Row:
    """The inverse of `to_columns`. Raises SpoolCorrupt for what `to_columns` cannot have written."""
    row_id, unit, time_ms, body, boot, mono_ms, synced = columns
    try:
        values, flags = _read_body.decode(body)
        whole = (
            all(isinstance(each, int) for each in (row_id, unit, time_ms, mono_ms, synced))
            and isinstance(boot, str)
            and MIN_TIME_MS <= time_ms <= MAX_TIME_MS
            and 1 <= len(values) <= MAX_SLOTS
            and all(value is None or INT32_MIN <= value <= INT32_MAX for value in values)
            and any(value is not None for value in values)
            and 0 <= flags < 2**64
        )
    except (msgspec.MsgspecError, TypeError) as error:
        raise SpoolCorrupt(f"waiting sample {row_id!r:.20} cannot be read: {error}") from error
    if not whole:
        raise SpoolCorrupt(f"waiting sample {row_id!r:.20} is not what was written")
    return Row(row_id, unit, time_ms, tuple(values), flags, boot, mono_ms, bool(synced))


def is_sound(columns: tuple[Any, ...]) -> bool:
    try:
        from_columns(columns)
    except SpoolCorrupt:
        return False
    return True


def amend(db: sqlite3.Connection, row_id: int, flags: int) -> None:
    """Give a waiting sample, where it still waits, other flags; in a transaction of the caller."""
    found = db.execute("SELECT body FROM pending WHERE id = ?", (row_id,)).fetchone()
    if found:
        values, _ = _read_body.decode(found[0])
        db.execute("UPDATE pending SET body = ? WHERE id = ?", (_body.encode((values, flags)), row_id))
