"""Read what can still be read of a damaged spool, and put the file aside. Nothing of it is ever deleted."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wire_contract.envelope import decode
from wire_contract.errors import WireError

SUFFIXES = ("", "-wal", "-shm")
_MESSAGE_COLUMNS = "id, cls, sequence, last, kind, payload, samples, readings, from_ms, to_ms, sealed_ms"


@dataclass(frozen=True)
class Salvage:
    """Rows read of a damaged file, as tuples in the order of the tables' columns."""

    epoch: bytes
    units: tuple[tuple[Any, ...], ...]
    pending: tuple[tuple[Any, ...], ...]
    messages: tuple[tuple[Any, ...], ...]


def salvage(path: Path) -> Salvage:
    """Read units, waiting samples and messages, each as far as the damage allows; a message counts only
    when its own checksum holds. Samples without their units say nothing, so without units they are left."""
    try:
        db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    except sqlite3.DatabaseError:
        return Salvage(b"", (), (), ())
    epoch = _epoch(db)
    units = tuple(_readable(db, "unit", "key, kind, serial, site, high_ms, generation"))
    pending = tuple(_readable(db, "pending", "id, unit, time_ms, body, boot, mono_ms, synced"))
    messages = tuple(row for row in _readable(db, "message", _MESSAGE_COLUMNS) if _whole(row[5]))
    db.close()
    known = {unit[0] for unit in units}
    return Salvage(
        epoch=epoch,
        units=units,
        pending=tuple(row for row in pending if row[1] in known),
        messages=messages if known else (),
    )


def put_aside(path: Path, wall_ms: int) -> Path:
    """Rename the file and its journal to spool.corrupt-<time>. Returns the new path of the file."""
    stem = path.with_name(f"{path.stem}.corrupt-{wall_ms}")
    for suffix in SUFFIXES:
        old = path.with_name(path.name + suffix)
        if old.exists():
            old.rename(stem.with_name(stem.name + suffix))
    return stem


def _epoch(db: sqlite3.Connection) -> bytes:
    try:
        row = db.execute("SELECT value FROM meta WHERE key = 'epoch'").fetchone()
    except sqlite3.DatabaseError:
        return b""
    return bytes(row[0]) if row else b""


def _readable(db: sqlite3.Connection, table: str, columns: str) -> Iterator[tuple[Any, ...]]:
    """Rows from the front until the damage, then from the back until it. The first column is the key."""
    seen = set()
    for direction in ("ASC", "DESC"):
        query = f"SELECT {columns} FROM {table} ORDER BY rowid {direction}"  # noqa: S608 our own names
        try:
            for row in db.execute(query):
                if row[0] in seen:
                    break
                seen.add(row[0])
                yield row
        except sqlite3.DatabaseError:
            continue


def _whole(payload: object) -> bool:
    if not isinstance(payload, bytes):
        return False
    try:
        decode(payload)
    except WireError:
        return False
    return True
