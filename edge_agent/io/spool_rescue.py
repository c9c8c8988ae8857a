"""Read what can still be read of a damaged spool, and put the file aside. Nothing of it is ever deleted."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_agent.core.stamping import GENERATIONS
from edge_agent.errors import SpoolFull
from edge_agent.io import spool_rows
from edge_agent.io.spool_schema import DATA
from wire_contract.classes import Class
from wire_contract.envelope import decode
from wire_contract.errors import WireError
from wire_contract.limits import MAX_TIME_MS
from wire_contract.messages import SampleBatch, VerdictBatch

SUFFIXES = ("", "-wal", "-shm")
_MESSAGE_COLUMNS = (
    "id, cls, sequence, last, kind, payload, samples, readings, from_ms, to_ms, sealed_at_age_ms"
)

_KIND, _PAYLOAD = 4, 5  # their places in that


@dataclass(frozen=True)
class Salvage:
    """What can be read of a damaged file: rows as tuples in the order of the tables' columns; of the messages
    their `keys` (class, sequence, id, samples) in order, as all of them may be more than memory holds."""

    epoch: bytes
    session: int
    age_ms: int
    units: tuple[tuple[Any, ...], ...]
    pending: tuple[tuple[Any, ...], ...]
    keys: tuple[tuple[int, int, int, int], ...]
    source: sqlite3.Connection
    left: int = 0  # samples of messages that stay where they are

    def messages(self) -> Iterator[tuple[Any, ...]]:
        """The rows of `keys`, one at a time."""
        for _, _, row_id, _ in self.keys:
            query = f"SELECT {_MESSAGE_COLUMNS} FROM message WHERE id = ?"  # noqa: S608 our own names
            with suppress(sqlite3.DatabaseError):
                yield from self.source.execute(query, (row_id,)).fetchall()

    @property
    def samples(self) -> int:
        """How many the messages hold."""
        return sum(samples for *_, samples in self.keys)


def opened_to_read(path: Path) -> sqlite3.Connection:
    """The damaged file, or an empty one where not even its first bytes are there."""
    try:
        return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, check_same_thread=False)
    except sqlite3.DatabaseError:
        return sqlite3.connect(":memory:", check_same_thread=False)


def salvage(db: sqlite3.Connection) -> Salvage:
    """Read units, waiting samples and messages, each as far as the damage allows; a message counts only
    when its own checksum holds. Samples without their unit say nothing: they are left, and counted."""
    epoch, session, age_ms = (_meta(db, key) for key in ("epoch", "session", "age_ms"))
    found = _readable(db, "unit", "key, kind, serial, site, high_ms, generation")
    units = tuple(_with_stamp(row) for row in found if _is_unit(row))
    pending = tuple(row for row in _readable(db, "pending", spool_rows.COLUMNS) if spool_rows.is_sound(row))
    known = {unit[0] for unit in units}
    # Old tombstones name old sequences, and the units are declared anew: neither is taken over.
    # Old tombstones name old sequences, and the units are declared anew: neither is taken over. What speaks
    # of a unit that is lost stays in the file: its key will soon be another's.
    found_keys = [
        ((row[1], row[2], row[0], row[6]), _units_of(row[_PAYLOAD]) <= known)
        for row in _readable(db, "message", _MESSAGE_COLUMNS)
        if _is_message(row) and row[_KIND] == DATA
    ]
    kept_rows = tuple(row for row in pending if row[1] in known)
    left = sum(key[3] for key, whose in found_keys if not whose) + len(pending) - len(kept_rows)
    return Salvage(
        epoch=epoch if isinstance(epoch, bytes) else b"",
        session=_number(session),
        age_ms=_number(age_ms),
        units=units,
        pending=kept_rows,
        keys=tuple(sorted(key for key, whose in found_keys if whose)),
        source=db,
        left=left,
    )


class Replacement:
    """A new file for the damaged one at `path`. It is `spool.draft` while it is written and `spool.next` once
    it is whole: a power cut at any moment leaves either the old file in its place or a new one that only has
    to be moved there."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._draft, self._next = path.with_name("spool.draft"), path.with_name("spool.next")

    def draft(self) -> Path:
        """Where to write the new file; nothing is there."""
        for suffix in SUFFIXES:
            self._draft.with_name(self._draft.name + suffix).unlink(missing_ok=True)
        return self._draft

    def put_in_place(self, wall_ms: int) -> Path | None:
        """The draft is whole and closed. Returns where the damaged file is kept, None where it has no name
        any more. Raises SpoolFull; then it can be done again."""
        try:
            if self._draft.exists():
                self._draft.rename(self._next)
            kept = put_aside(self._path, wall_ms)
            self._next.rename(self._path)
        except OSError as error:
            raise SpoolFull(f"{self._path}: {error.strerror}", "Check the storage (dmesg).") from error
        return kept

    def finish(self) -> None:
        """At a start: finish what a power cut interrupted."""
        if self._next.exists():
            put_aside(self._path, int(self._next.stat().st_mtime * 1000))
            self._next.rename(self._path)


def put_aside(path: Path, wall_ms: int) -> Path | None:
    """Rename the file and its journal to spool.corrupt-<time>. Returns the new path of the file, if there is
    one."""
    stem = path.with_name(f"{path.stem}.corrupt-{wall_ms}")
    for suffix in SUFFIXES:
        old = path.with_name(path.name + suffix)
        if old.exists():
            old.rename(stem.with_name(stem.name + suffix))
    return stem if stem.exists() else None


def _meta(db: sqlite3.Connection, key: str) -> object:
    try:
        row = db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    except sqlite3.DatabaseError:
        return None
    return row[0] if row else None


def _number(value: object) -> int:
    """A number of the meta table, 0 where the damage left none."""
    try:
        number = int(value) if isinstance(value, int | str) else 0
    except ValueError:
        return 0
    return number if 0 <= number <= MAX_TIME_MS else 0


def _is_unit(row: tuple[Any, ...]) -> bool:
    key, kind, serial, site, *_ = row
    return isinstance(key, int) and all(isinstance(each, str) for each in (kind, serial, site))


def _with_stamp(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """A damaged stamp costs less than the unit: it only keeps times apart after a jump back of the clock."""
    *identity, high_ms, generation = row
    sound = isinstance(high_ms, int) and isinstance(generation, int) and 0 <= generation < GENERATIONS
    stamp = (high_ms, generation) if sound and 0 <= high_ms <= MAX_TIME_MS else (0, 0)
    return (*identity, *stamp)


def _units_of(payload: bytes) -> set[int]:
    """The units that a message speaks of."""
    message = decode(payload)
    if isinstance(message, SampleBatch):
        return {block.unit for block in message.blocks}
    return {each.unit for each in message.verdicts} if isinstance(message, VerdictBatch) else set()


def _is_message(row: tuple[Any, ...]) -> bool:
    _, cls, *numbers = (value for at, value in enumerate(row) if at != _PAYLOAD)
    return cls in set(Class) and all(isinstance(each, int) for each in numbers) and _whole(row[_PAYLOAD])


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
