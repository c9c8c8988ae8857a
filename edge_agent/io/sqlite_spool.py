"""The Spool port on SQLite: one file, WAL, every commit on the disk when it returns."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from edge_agent.core.records import (
    ClassCounters,
    GivenUp,
    Head,
    Row,
    Sealed,
    Stamp,
    Stored,
    Unit,
    UnitIdentity,
    Usage,
    Weight,
)
from edge_agent.core.spool_policy import Shed
from edge_agent.core.window import AckMark
from edge_agent.errors import SpoolCorrupt, SpoolFull
from edge_agent.io import spool_messages, spool_rows, spool_view
from edge_agent.io.spool_check import unsound_table
from edge_agent.io.spool_folder import Ballast, hold, hold_again, lost_files, open_files
from edge_agent.io.spool_rescue import Replacement, Salvage, opened_to_read, salvage
from edge_agent.io.spool_schema import DATA, DECLARATION, bound, connect, create_or_check, sorted_errors
from edge_agent.io.spool_shed import give_back, shed_candidates, shed_run
from edge_agent.ports import Rescue
from wire_contract.classes import Class
from wire_contract.errors import WireError
from wire_contract.messages import TombstoneReason

LEASE = 256  # sequences noted as leaving ahead of time: one small write for so many messages
PATIENT_RESCUES = 30  # each ten seconds: whoever filled the disk for a moment costs no message its delivery

DeclarationOf = Callable[[Unit, int], bytes]
_Params = Sequence[Any] | Mapping[str, Any]


class SqliteSpool:
    """See `edge_agent.ports.Spool`. `folder` holds spool.db; a lock file keeps a second agent out.

    `declaration_of(unit, now_ms)` makes a unit's declaration: a rescued spool declares its units anew.
    `max_bytes` bounds the file hard, a quarter above the cap that the policy keeps.
    `street_s()`: monotonic street seconds. By it the spool ages while the agent runs; no setting of the civil
    clock makes a message older, and the time without power does not count.
    A file found damaged is rescued at once; `opened_with` says so. Raises SpoolInUse, SpoolFull, SpoolError.
    """

    def __init__(
        self,
        folder: Path,
        declaration_of: DeclarationOf,
        max_bytes: int = 0,
        street_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lock_file = hold(folder)
        self._path = folder / "spool.db"
        self._replacement = Replacement(self._path)
        self._ballast = Ballast(folder)
        self._street_s = street_s
        self._declaration_of = declaration_of
        self._max_bytes = max_bytes
        self._guard = threading.RLock()
        self._damaged = False  # closed, and no new file could take its place yet
        self._source: sqlite3.Connection | None = None  # of a damaged file, until a new one has its place
        self._taken_over: Salvage | None = None  # what the new file holds, until it is in its place
        self._rescues_refused = 0
        self.opened_with: Rescue | None = None
        self._replacement.finish()
        try:
            self._open_with_room()
        except SpoolCorrupt:
            self._rescues_refused = PATIENT_RESCUES  # an agent that does not start takes no samples
            self.opened_with = self._begin_anew(wall_ms=0)

    # -- opening, closing, rescue ------------------------------------------------------------------------

    def _open_with_room(self) -> None:
        """Even to read its journal SQLite needs room: on a full disk the ballast makes it."""
        try:
            self._open(self._path)
        except SpoolFull:
            if not self._ballast.drop():
                raise
            self._open(self._path)
        self._ballast.keep()

    def _open(self, path: Path) -> None:
        with sorted_errors(path):
            self._db = connect(path)
            try:
                create_or_check(self._db, path)
                self._check_rows()
            except (SpoolCorrupt, sqlite3.DatabaseError):
                self._db.close()
                raise
            bound(self._db, self._max_bytes)
            self._epoch = bytes(self._one("SELECT value FROM meta WHERE key = 'epoch'"))
            self._files = open_files(path)
            self._leased = {Class(c): upto for c, upto in self._db.execute("SELECT cls, leased FROM class")}
            self._age_base_ms, self._age_from_s = self._number("age_ms"), self._street_s()
        self._damaged = False

    def _check_rows(self) -> None:
        """Raises SpoolCorrupt for what cannot have been written here."""
        table = unsound_table(self._db)
        if table:
            raise SpoolCorrupt(f"{self._path}: table {table} holds what was never written")
        for columns in self._db.execute(f"SELECT {spool_rows.COLUMNS} FROM pending"):  # noqa: S608
            spool_rows.from_columns(columns)
        for key, *identity in self._db.execute("SELECT key, kind, serial, site FROM unit"):
            try:
                self._declaration_of(Unit(key, UnitIdentity(*identity)), 0)
            except (WireError, ValueError) as error:
                raise SpoolCorrupt(f"{self._path}: unit {key} cannot be declared: {error}") from error

    def _number(self, key: str) -> int:
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return int(row[0]) if row else 0

    def _age_ms(self) -> int:
        """For how long this spool has been in use, street time."""
        return self._age_base_ms + int((self._street_s() - self._age_from_s) * 1000)

    def rescue(self, now_ms: int) -> Rescue:
        with self._guard:
            if not self._damaged and lost_files(self._path, self._files):
                self._source = self._db  # it still reads what has no name any more
            else:
                self._db.close()
            return self._begin_anew(now_ms)

    def _begin_anew(self, wall_ms: int) -> Rescue:
        """The new file is whole before the damaged one leaves its place: it can always be done again."""
        self._damaged = True
        wall_ms = wall_ms or int(self._path.stat().st_mtime * 1000)
        self._lock_file = hold_again(self._path.parent, self._lock_file)
        self._taken_over = found = self._taken_over or self._draft(wall_ms)
        kept = self._replacement.put_in_place(wall_ms)
        self._open(self._path)
        self._taken_over, self._rescues_refused = None, 0
        self._ballast.keep()
        samples = found.samples + len(found.pending)
        return Rescue(str(kept or ""), len(found.keys), samples, found.epoch, self._epoch)

    def _draft(self, wall_ms: int) -> Salvage:
        """Write the new file, with what could be read of the old one.

        Where there is no room for a second copy of all messages, they stay in the file that is kept, after
        some tries: new samples and alarms need a spool more than old ones need this device.
        """
        self._source = self._source or opened_to_read(self._path)
        found = salvage(self._source)
        self._ballast.drop()
        try:
            self._write_draft(found, wall_ms)
        except SpoolFull:
            self._rescues_refused += 1
            if self._rescues_refused < PATIENT_RESCUES:
                raise
            found = replace(found, keys=(), left=found.left + found.samples)
            self._write_draft(found, wall_ms)
        self._source.close()  # while its journal's name is not yet another's: closing may delete that
        self._source = None
        return found

    def _write_draft(self, found: Salvage, wall_ms: int) -> None:
        self._open(self._replacement.draft())
        try:
            with self._transaction():
                self._refill(found, wall_ms)
                self._entomb(Class.HISTORY, TombstoneReason.SPOOL_CORRUPT, found.left, wall_ms, wall_ms)
            with sorted_errors(self._path):
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        finally:
            self._damaged = True
            self._db.close()

    def _refill(self, found: Salvage, wall_ms: int) -> None:
        self._age_base_ms = found.age_ms
        self._db.execute("INSERT INTO meta VALUES ('session', ?)", (str(found.session),))
        self._db.executemany("INSERT OR IGNORE INTO pending VALUES (?, ?, ?, ?, ?, ?, ?)", found.pending)
        for key, unit_kind, serial, site, high_ms, generation in found.units:
            unit = Unit(key, UnitIdentity(unit_kind, serial, site))
            try:
                declaration = self._declaration_of(unit, wall_ms)
            except (WireError, ValueError):
                continue  # damaged: its samples go to the dead letters, where their bytes are kept
            self._db.execute(
                "INSERT OR IGNORE INTO unit VALUES (?, ?, ?, ?, ?, ?)",
                (key, unit_kind, serial, site, high_ms, generation),
            )
            spool_messages.store_declaration(self._db, declaration, wall_ms, self._age_ms())
        for _, cls, _, _, _, payload, samples, readings, from_ms, to_ms, at_age_ms in found.messages():
            batch = Sealed(Class(cls), payload, (), samples, readings, from_ms, to_ms)
            spool_messages.store(self._db, batch, self._age_ms(), DATA, at_age_ms)

    def close(self) -> None:
        with self._guard, suppress(sqlite3.DatabaseError):  # all that matters was committed before
            self._db.execute("INSERT OR REPLACE INTO meta VALUES ('age_ms', ?)", (self._age_ms(),))
        with self._guard:
            self._db.close()
            os.close(self._lock_file)

    @property
    def epoch(self) -> bytes:
        return self._epoch

    # -- units -------------------------------------------------------------------------------------------

    def units(self) -> tuple[Unit, ...]:
        with self._reading():
            rows = self._db.execute("SELECT key, kind, serial, site FROM unit ORDER BY key").fetchall()
        return tuple(Unit(key, UnitIdentity(kind, serial, site)) for key, kind, serial, site in rows)

    def stamps(self) -> Mapping[int, Stamp]:
        with self._reading():
            rows = self._db.execute("SELECT key, high_ms, generation FROM unit").fetchall()
        return {key: Stamp(high, generation) for key, high, generation in rows}

    def declare(self, unit: Unit, declaration: bytes, now_ms: int) -> None:
        who = unit.identity
        with self._transaction():
            self._db.execute(
                "INSERT OR IGNORE INTO unit (key, kind, serial, site) VALUES (?, ?, ?, ?)",
                (unit.key, who.kind, who.serial, who.site),
            )
            spool_messages.store_declaration(self._db, declaration, now_ms, self._age_ms())

    def declarations_waiting(self) -> bool:
        with self._reading():
            query = "SELECT EXISTS (SELECT 1 FROM message WHERE cls = ? AND kind = ?)"
            return bool(self._one(query, (int(Class.REPLY), DECLARATION)))

    # -- samples -----------------------------------------------------------------------------------------

    def last_row_id(self) -> int:
        with self._reading():
            return int(self._one("SELECT coalesce(max(id), 0) FROM pending"))

    def waiting(self, synced: bool, limit: int) -> list[Row]:
        with self._reading():
            rows = self._db.execute(
                f"SELECT {spool_rows.COLUMNS} FROM pending WHERE synced = ? ORDER BY id LIMIT ?",  # noqa: S608
                (synced, limit),
            ).fetchall()
        return [spool_rows.from_columns(row) for row in rows]

    def commit(
        self,
        rows: Sequence[Row] = (),
        sealed: Sequence[Sealed] = (),
        amended: Mapping[int, int] | None = None,
        stamps: Mapping[int, Stamp] | None = None,
    ) -> None:
        with self._transaction():
            self._db.executemany(
                "INSERT OR REPLACE INTO pending VALUES (?, ?, ?, ?, ?, ?, ?)",
                [spool_rows.to_columns(row) for row in rows],
            )
            for row_id, flags in (amended or {}).items():
                spool_rows.amend(self._db, row_id, flags)
            for batch in sealed:
                spool_messages.store(self._db, batch, self._age_ms())
                self._db.executemany("DELETE FROM pending WHERE id = ?", [(i,) for i in batch.row_ids])
            self._db.executemany(
                "UPDATE unit SET high_ms = ?, generation = ? WHERE key = ?",
                [(mark.high_ms, mark.generation, key) for key, mark in (stamps or {}).items()],
            )

    def drop_rows(
        self, ids: Iterable[int], cls: Class, reason: TombstoneReason, from_ms: int, to_ms: int
    ) -> None:
        gone = list(ids)
        with self._transaction():
            self._db.executemany("DELETE FROM pending WHERE id = ?", [(i,) for i in gone])
            self._entomb(cls, reason, len(gone), from_ms, to_ms)

    # -- messages ----------------------------------------------------------------------------------------

    def put(self, cls: Class, payload: bytes, now_ms: int) -> int:
        with self._transaction():
            return spool_messages.store_plain(self._db, cls, payload, now_ms, self._age_ms())

    def put_tombstone(
        self, cls: Class, reason: TombstoneReason, samples: int, from_ms: int, to_ms: int
    ) -> int:
        with self._transaction():
            return self._entomb(cls, reason, samples, from_ms, to_ms)

    def _entomb(self, cls: Class, reason: TombstoneReason, samples: int, from_ms: int, to_ms: int) -> int:
        between_ms = (from_ms, to_ms)
        return spool_messages.entomb(self._db, cls, reason, samples, between_ms, self._age_ms())

    def heads(self, cls: Class, after: int, limit: int) -> list[Head]:
        with self._reading():
            return spool_messages.heads(self._db, cls, after, limit)

    def load(self, cls: Class, sequence: int) -> Stored | None:
        with self._reading():
            return spool_messages.load(self._db, self._epoch, cls, sequence, self._age_ms())

    def will_publish(self, cls: Class, sequence: int) -> None:
        if sequence <= self._leased[cls]:
            return
        with self._transaction():
            self._db.execute("UPDATE class SET leased = ? WHERE cls = ?", (sequence + LEASE, cls))
        self._leased[cls] = sequence + LEASE

    def acknowledge(self, marks: Mapping[Class, AckMark]) -> None:
        with self._transaction():
            spool_messages.acknowledge(self._db, marks)

    # -- room --------------------------------------------------------------------------------------------

    def weights(self, limit: int) -> list[Weight]:
        with self._reading():
            return shed_candidates(self._db, self._leased, self._age_ms(), limit)

    def shed(self, runs: Sequence[Shed]) -> None:
        self._ballast.drop()
        with self._transaction():
            for run in runs:
                shed_run(self._db, self._leased, run, self._age_ms())
        self.reclaim()

    def reclaim(self) -> None:
        with self._reading():
            give_back(self._db)
        self._ballast.keep()

    def bound(self, max_bytes: int) -> None:
        with self._reading():
            self._max_bytes = max_bytes
            bound(self._db, max_bytes)

    def usage(self) -> Usage:
        with self._reading():
            self._refuse_lost_files()
            return spool_view.usage(self._db, self._path.parent)

    def counters(self) -> dict[Class, ClassCounters]:
        with self._reading():
            return spool_view.counters(self._db)

    def given_up(self) -> tuple[GivenUp, ...]:
        with self._reading():
            return spool_view.given_up(self._db)

    def next_session(self, wall_ms: int) -> int:
        with self._transaction():
            session = max(self._number("session") + 1, wall_ms)
            self._db.execute("INSERT OR REPLACE INTO meta VALUES ('session', ?)", (str(session),))
        return session

    # -- helpers -----------------------------------------------------------------------------------------

    def _one(self, query: str, parameters: _Params = ()) -> Any:
        return self._db.execute(query, parameters).fetchone()[0]

    @contextmanager
    def _reading(self) -> Iterator[None]:
        with self._guard, sorted_errors(self._path):
            self._refuse_damaged()
            yield

    def _refuse_lost_files(self) -> None:
        """A file that is deleted or replaced while it is open takes what is written, and keeps none of it."""
        gone = lost_files(self._path, self._files)
        if gone:
            raise SpoolCorrupt(
                f"{self._path.parent}: {', '.join(gone)} was deleted or replaced by another program"
            )

    def _refuse_damaged(self) -> None:
        if self._damaged:
            raise SpoolCorrupt(f"{self._path}: damaged, and there was no room yet for a new one")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._guard, sorted_errors(self._path):
            self._refuse_damaged()
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
