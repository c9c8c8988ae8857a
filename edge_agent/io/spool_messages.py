"""The spool's messages as rows: stored, looked up, acknowledged, buried. In a transaction of the caller."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from edge_agent.core.leaving import leave
from edge_agent.core.records import Head, Sealed, Stored
from edge_agent.core.window import AckMark
from edge_agent.errors import SpoolCorrupt
from edge_agent.io.spool_schema import DATA, DECLARATION, TOMBSTONE
from wire_contract.classes import Class
from wire_contract.messages import Tombstone, TombstoneReason


def store(
    db: sqlite3.Connection, batch: Sealed, age_ms: int, kind: int = DATA, at_age_ms: int | None = None
) -> int:
    """Give a message its sequence. `age_ms`: the spool's age now; `at_age_ms`: when it was sealed, if not
    now."""
    cls, payload = int(batch.cls), batch.payload
    db.execute("INSERT OR REPLACE INTO meta VALUES ('age_ms', ?)", (age_ms,))
    (sequence,) = db.execute("SELECT next FROM class WHERE cls = ?", (cls,)).fetchone()
    db.execute(
        "INSERT INTO message (cls, sequence, last, kind, payload, samples, readings, from_ms, to_ms,"
        " sealed_at_age_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(cls, sequence, sequence, kind, payload, batch.samples, batch.readings),
            *(batch.from_ms, batch.to_ms, age_ms if at_age_ms is None else at_age_ms),
        ),
    )
    db.execute(
        "UPDATE class SET next = next + 1, messages = messages + 1, samples = samples + ?,"
        " readings = readings + ?, payload_bytes = payload_bytes + ?,"
        " waiting_messages = waiting_messages + ?, waiting_samples = waiting_samples + ? WHERE cls = ?",
        (batch.samples, batch.readings, len(payload), kind != TOMBSTONE, batch.samples, cls),
    )
    return int(sequence)


def store_plain(db: sqlite3.Connection, cls: Class, payload: bytes, now_ms: int, age_ms: int) -> int:
    """A message without samples."""
    return store(db, Sealed(cls, payload, (), 0, 0, now_ms, now_ms), age_ms)


def store_declaration(db: sqlite3.Connection, declaration: bytes, now_ms: int, age_ms: int) -> None:
    store(db, Sealed(Class.REPLY, declaration, (), 0, 0, now_ms, now_ms), age_ms, DECLARATION)


def entomb(
    db: sqlite3.Connection,
    cls: Class,
    reason: TombstoneReason,
    samples: int,
    between_ms: tuple[int, int],
    age_ms: int,
) -> int:
    """A tombstone for samples that never had a sequence. Returns its own."""
    from_ms, to_ms = between_ms
    (sequence,) = db.execute("SELECT next FROM class WHERE cls = ?", (int(cls),)).fetchone()
    payload = leave(cls, Tombstone(sequence, sequence, reason, samples, from_ms, to_ms))
    count_shed(db, cls, reason, 0, samples)
    return store(db, Sealed(cls, payload, (), 0, 0, from_ms, to_ms), age_ms, TOMBSTONE)


def count_shed(
    db: sqlite3.Connection, cls: Class, reason: TombstoneReason, messages: int, samples: int
) -> None:
    """Messages (and samples) given up: the class's totals, and those of the reason."""
    db.execute(
        "UPDATE class SET shed_messages = shed_messages + ?, shed_samples = shed_samples + ? WHERE cls = ?",
        (messages, samples, cls),
    )
    db.execute(
        "INSERT INTO shed VALUES (?, ?, ?, ?) ON CONFLICT (cls, reason) DO UPDATE SET"
        " messages = messages + excluded.messages, samples = samples + excluded.samples",
        (cls, reason.value, messages, samples),
    )


def heads(db: sqlite3.Connection, cls: Class, after: int, limit: int) -> list[Head]:
    rows = db.execute(
        "SELECT sequence, last FROM message WHERE cls = ? AND sequence > ? ORDER BY sequence LIMIT ?",
        (cls, after, limit),
    ).fetchall()
    return [Head(cls, sequence, last) for sequence, last in rows]


def load(db: sqlite3.Connection, epoch: bytes, cls: Class, sequence: int, age_ms: int) -> Stored | None:
    row = db.execute(
        "SELECT last, payload, samples, to_ms, sealed_at_age_ms FROM message WHERE cls = ? AND sequence = ?",
        (cls, sequence),
    ).fetchone()
    if row is None:
        return None
    last, payload, samples, to_ms, sealed_at_age_ms = row
    if not isinstance(payload, bytes) or not all(isinstance(each, int) for each in (last, *row[2:])):
        raise SpoolCorrupt(f"message {sequence} of class {cls.name} is not what was written")
    return Stored(epoch, Head(cls, sequence, last), payload, samples, to_ms, age_ms - sealed_at_age_ms)


def acknowledge(db: sqlite3.Connection, marks: Mapping[Class, AckMark]) -> None:
    """Delete what is covered, and count it."""
    for cls, mark in marks.items():
        for low, high in ((1, mark.prefix), *mark.ranges):
            _delete_acknowledged(db, cls, low, high)


def _delete_acknowledged(db: sqlite3.Connection, cls: Class, low: int, high: int) -> None:
    where = "cls = ? AND sequence >= ? AND last <= ?"
    # Sequences rise with `last`: the upper bound keeps a drain from looking at all that still waits.
    where += " AND sequence <= ?"
    between = (int(cls), low, high, high)
    count, kept, samples = db.execute(
        f"SELECT count(*), total(kind <> {TOMBSTONE}), total(samples) FROM message WHERE {where}",  # noqa: S608
        between,
    ).fetchone()
    if not count:
        return
    db.execute(f"DELETE FROM message WHERE {where}", between)  # noqa: S608 our own words
    db.execute(
        "UPDATE class SET acked_messages = acked_messages + ?, acked_samples = acked_samples + ?,"
        " waiting_messages = waiting_messages - ?, waiting_samples = waiting_samples - ? WHERE cls = ?",
        (count, int(samples), int(kept), int(samples), cls),
    )
