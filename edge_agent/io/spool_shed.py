"""The spool's rows that policy sheds, and the tombstones in their place. In a transaction of the caller."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from edge_agent.core.leaving import leave
from edge_agent.core.records import Head, Weight
from edge_agent.core.spool_policy import Shed, joined
from edge_agent.io.spool_messages import count_shed
from edge_agent.io.spool_schema import DATA, TOMBSTONE
from wire_contract.classes import NEVER_DROP, Class
from wire_contract.envelope import decode
from wire_contract.messages import Tombstone

VACUUM_BYTES = 1 << 20  # given back to the disk a step: reclaiming never holds the spool for long

Leases = Mapping[Class, int]  # up to which sequence a message of this class may have left the device


def shed_candidates(db: sqlite3.Connection, leased: Leases, age_ms: int, limit: int) -> list[Weight]:
    """Messages that may be shed, the oldest `limit` of each class, lowest class first. `age_ms`: the spool's
    own age."""
    return [
        Weight(
            head=Head(cls, sequence, last),
            size_bytes=size,
            samples=samples,
            from_ms=from_ms,
            to_ms=to_ms,
            age_ms=age_ms - sealed_at_age_ms,
            maybe_published=sequence <= leased[cls],
        )
        for cls in sorted(set(Class) - NEVER_DROP, reverse=True)
        for sequence, last, size, samples, from_ms, to_ms, sealed_at_age_ms in db.execute(
            "SELECT sequence, last, length(payload), samples, from_ms, to_ms, sealed_at_age_ms FROM message"
            " WHERE cls = ? AND kind = ? ORDER BY sequence LIMIT ?",
            (cls, DATA, limit),
        ).fetchall()
    ]


def shed_run(db: sqlite3.Connection, leased: Leases, run: Shed, age_ms: int) -> None:
    """Replace the messages of a run by one tombstone, joined to the one before it where that never left."""
    between = (run.cls, run.first, run.last)
    gone = db.execute("DELETE FROM message WHERE cls = ? AND sequence BETWEEN ? AND ?", between).rowcount
    count_shed(db, run.cls, run.reason, gone, run.samples)
    db.execute(
        "UPDATE class SET waiting_messages = waiting_messages - ?, waiting_samples = waiting_samples - ?"
        " WHERE cls = ?",
        (gone, run.samples, run.cls),
    )
    before = _tombstone_before(db, leased, run)
    whole = joined(before, run) if before else run
    if before:
        db.execute("DELETE FROM message WHERE cls = ? AND sequence = ?", (before.cls, before.first))
    tombstone = Tombstone(whole.first, whole.last, whole.reason, whole.samples, whole.from_ms, whole.to_ms)
    db.execute(
        "INSERT INTO message (cls, sequence, last, kind, payload, samples, readings, from_ms, to_ms,"
        " sealed_at_age_ms) VALUES (?, ?, ?, ?, ?, 0, 0, ?, ?, ?)",
        (
            *(whole.cls, whole.first, whole.last, TOMBSTONE, leave(whole.cls, tombstone)),
            *(whole.from_ms, whole.to_ms, age_ms),
        ),
    )


def give_back(db: sqlite3.Connection) -> None:
    """Give freed pages back to the disk."""
    (page,) = db.execute("PRAGMA page_size").fetchone()
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    # Each step of this statement frees one page and gives a row without columns: `execute` would stop there.
    db.executescript(f"PRAGMA incremental_vacuum({VACUUM_BYTES // page});")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _tombstone_before(db: sqlite3.Connection, leased: Leases, run: Shed) -> Shed | None:
    """The tombstone that ends where this run begins, of the same reason, that never left the device."""
    if run.first <= leased[run.cls]:
        return None
    row = db.execute(
        "SELECT payload FROM message WHERE cls = ? AND last = ? AND kind = ? AND sequence > ?",
        (run.cls, run.first - 1, TOMBSTONE, leased[run.cls]),
    ).fetchone()
    if row is None:
        return None
    found = decode(row[0])
    if not isinstance(found, Tombstone) or found.reason is not run.reason:
        return None
    return Shed(run.cls, found.first, found.last, run.reason, found.samples, found.from_ms, found.to_ms)
