"""The Spool port on SQLite: one file, WAL, every commit on the disk when it returns."""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from edge_agent.core.records import (
    ClassCounters,
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
from edge_agent.errors import SpoolCorrupt, SpoolInUse
from edge_agent.io.spool_rescue import Salvage, put_aside, salvage
from edge_agent.io.spool_schema import DATA, DECLARATION, TOMBSTONE, connect, create_or_check, sorted_errors
from edge_agent.io.spool_shed import shed_candidates, shed_run
from edge_agent.ports import Rescue
from wire_contract.classes import Class
from wire_contract.envelope import encode
from wire_contract.messages import Tombstone, TombstoneReason

LEASE = 256  # sequences noted as leaving ahead of time: one small write for so many messages
VACUUM_PAGES = 256  # 1 MiB given back to the disk a step: reclaiming never holds the spool for long
BALLAST_BYTES = 1 << 20  # kept aside so that shedding can be written when the disk is full to the brim
PAGE_HEADROOM = 1.25  # the file itself may outgrow max_bytes by pages that shedding has not yet freed

_body = msgspec.msgpack.Encoder()
_read_body = msgspec.msgpack.Decoder(tuple[list[int | None], int])
DeclarationOf = Callable[[Unit, int], bytes]
_Params = Sequence[Any] | Mapping[str, Any]


class SqliteSpool:
    """See `edge_agent.ports.Spool`. `folder` holds spool.db; a lock file keeps a second agent out.

    `declaration_of(unit, now_ms)` makes a unit's declaration: a rescued spool declares its units anew.
    `max_bytes` bounds the file hard, a quarter above the cap that the policy keeps.
    A file found damaged is rescued at once; `opened_with` says so. Raises SpoolInUse, SpoolFull.
    """

    def __init__(self, folder: Path, declaration_of: DeclarationOf, max_bytes: int = 0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / "spool.db"
        self._ballast = folder / "ballast"
        self._declaration_of = declaration_of
        self._max_bytes = max_bytes
        self._guard = threading.RLock()
        self._lock_file = _lock(folder / "lock")
        self.opened_with: Rescue | None = None
        try:
            self._open()
        except SpoolCorrupt:
            self.opened_with = self._begin_anew(wall_ms=0)

    # -- opening, closing, rescue ------------------------------------------------------------------------

    def _open(self) -> None:
        with sorted_errors(self._path):
            self._db = connect(self._path)
            try:
                create_or_check(self._db, self._path)
            except (SpoolCorrupt, sqlite3.DatabaseError):
                self._db.close()
                raise
            if self._max_bytes:
                page = self._one("PRAGMA page_size")
                self._db.execute(f"PRAGMA max_page_count = {int(self._max_bytes * PAGE_HEADROOM) // page}")
            self._epoch = bytes(self._one("SELECT value FROM meta WHERE key = 'epoch'"))
            leased = self._db.execute("SELECT cls, leased FROM class")
            self._leased = {Class(cls): upto for cls, upto in leased}
        self._keep_ballast()

    def rescue(self, now_ms: int) -> Rescue:
        with self._guard:
            self._db.close()
            return self._begin_anew(now_ms)

    def _begin_anew(self, wall_ms: int) -> Rescue:
        wall_ms = wall_ms or int(self._path.stat().st_mtime * 1000)
        found = salvage(self._path)
        kept = put_aside(self._path, wall_ms)
        self._open()
        with self._transaction():
            self._refill(found, wall_ms)
            self._entomb(Class.HISTORY, TombstoneReason.SPOOL_CORRUPT, 0, wall_ms, wall_ms, wall_ms)
        data = [row for row in found.messages if row[4] == DATA]
        samples = sum(row[6] for row in data) + len(found.pending)
        return Rescue(str(kept), len(data), samples, found.epoch, self._epoch)

    def _refill(self, found: Salvage, wall_ms: int) -> None:
        self._db.executemany("INSERT INTO unit VALUES (?, ?, ?, ?, ?, ?)", found.units)
        self._db.executemany("INSERT INTO pending VALUES (?, ?, ?, ?, ?, ?, ?)", found.pending)
        for key, unit_kind, serial, site, *_ in found.units:
            unit = Unit(key, UnitIdentity(unit_kind, serial, site))
            declaration = self._declaration_of(unit, wall_ms)
            self._store(Class.REPLY, declaration, 0, 0, wall_ms, wall_ms, wall_ms, DECLARATION)
        for row in sorted(found.messages, key=lambda row: (row[1], row[2])):
            _, cls, _, _, kind, payload, samples, readings, from_ms, to_ms, sealed_ms = row
            if kind == DATA:  # old tombstones name old sequences; declarations were made anew above
                self._store(Class(cls), payload, samples, readings, from_ms, to_ms, sealed_ms, DATA)

    def close(self) -> None:
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
            self._store(Class.REPLY, declaration, 0, 0, now_ms, now_ms, now_ms, DECLARATION)

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
                "SELECT id, unit, time_ms, body, boot, mono_ms, synced FROM pending"
                " WHERE synced = ? ORDER BY id LIMIT ?",
                (synced, limit),
            ).fetchall()
        return [_row(*row) for row in rows]

    def commit(
        self,
        rows: Sequence[Row] = (),
        sealed: Sequence[Sealed] = (),
        amended: Mapping[int, int] | None = None,
        stamps: Mapping[int, Stamp] | None = None,
        now_ms: int = 0,
    ) -> None:
        with self._transaction():
            self._db.executemany(
                "INSERT OR REPLACE INTO pending VALUES (?, ?, ?, ?, ?, ?, ?)",
                [
                    (r.id, r.unit, r.time_ms, _body.encode((r.values, r.flags)), r.boot, r.mono_ms, r.synced)
                    for r in rows
                ],
            )
            for row_id, flags in (amended or {}).items():
                self._amend(row_id, flags)
            for batch in sealed:
                self._store(
                    batch.cls,
                    batch.payload,
                    batch.samples,
                    batch.readings,
                    batch.from_ms,
                    batch.to_ms,
                    now_ms,
                )
                self._db.executemany("DELETE FROM pending WHERE id = ?", [(i,) for i in batch.row_ids])
            self._db.executemany(
                "UPDATE unit SET high_ms = ?, generation = ? WHERE key = ?",
                [(mark.high_ms, mark.generation, key) for key, mark in (stamps or {}).items()],
            )

    def _amend(self, row_id: int, flags: int) -> None:
        found = self._db.execute("SELECT body FROM pending WHERE id = ?", (row_id,)).fetchone()
        if found:
            values, _ = _read_body.decode(found[0])
            body = _body.encode((values, flags))
            self._db.execute("UPDATE pending SET body = ? WHERE id = ?", (body, row_id))

    def drop_rows(self, ids: Iterable[int], cls: Class, reason: TombstoneReason, now_ms: int) -> None:
        gone = list(ids)
        with self._transaction():
            self._db.executemany("DELETE FROM pending WHERE id = ?", [(i,) for i in gone])
            self._entomb(cls, reason, len(gone), now_ms, now_ms, now_ms)

    # -- messages ----------------------------------------------------------------------------------------

    def put(self, cls: Class, payload: bytes, now_ms: int) -> int:
        with self._transaction():
            return self._store(cls, payload, 0, 0, now_ms, now_ms, now_ms)

    def put_tombstone(
        self, cls: Class, reason: TombstoneReason, samples: int, from_ms: int, to_ms: int, now_ms: int
    ) -> int:
        with self._transaction():
            return self._entomb(cls, reason, samples, from_ms, to_ms, now_ms)

    def _entomb(
        self, cls: Class, reason: TombstoneReason, samples: int, from_ms: int, to_ms: int, now_ms: int
    ) -> int:
        sequence = self._one("SELECT next FROM class WHERE cls = ?", (int(cls),))
        tombstone = Tombstone(sequence, sequence, reason, samples, from_ms, to_ms)
        self._add(cls, "shed_samples", samples)
        return self._store(cls, encode(tombstone), 0, 0, from_ms, to_ms, now_ms, TOMBSTONE)

    def _store(
        self,
        cls: Class,
        payload: bytes,
        samples: int,
        readings: int,
        from_ms: int,
        to_ms: int,
        sealed_ms: int,
        kind: int = DATA,
    ) -> int:
        """Give a message its sequence, in the transaction of the caller."""
        sequence = int(self._one("SELECT next FROM class WHERE cls = ?", (int(cls),)))
        self._db.execute(
            "INSERT INTO message (cls, sequence, last, kind, payload, samples, readings, from_ms, to_ms,"
            " sealed_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (cls, sequence, sequence, kind, payload, samples, readings, from_ms, to_ms, sealed_ms),
        )
        self._db.execute(
            "UPDATE class SET next = next + 1, messages = messages + 1, samples = samples + ?,"
            " readings = readings + ?, payload_bytes = payload_bytes + ?,"
            " waiting_messages = waiting_messages + ?, waiting_samples = waiting_samples + ? WHERE cls = ?",
            (samples, readings, len(payload), kind != TOMBSTONE, samples, cls),
        )
        return sequence

    def heads(self, cls: Class, after: int, limit: int) -> list[Head]:
        with self._reading():
            rows = self._db.execute(
                "SELECT sequence, last FROM message WHERE cls = ? AND sequence > ? ORDER BY sequence LIMIT ?",
                (cls, after, limit),
            ).fetchall()
        return [Head(cls, sequence, last) for sequence, last in rows]

    def load(self, cls: Class, sequence: int) -> Stored | None:
        with self._reading():
            row = self._db.execute(
                "SELECT last, payload, samples, sealed_ms FROM message WHERE cls = ? AND sequence = ?",
                (cls, sequence),
            ).fetchone()
        return Stored(self._epoch, Head(cls, sequence, row[0]), row[1], row[2], row[3]) if row else None

    def will_publish(self, cls: Class, sequence: int) -> None:
        if sequence <= self._leased[cls]:
            return
        with self._transaction():
            self._db.execute("UPDATE class SET leased = ? WHERE cls = ?", (sequence + LEASE, cls))
        self._leased[cls] = sequence + LEASE

    def acknowledge(self, marks: Mapping[Class, AckMark]) -> None:
        with self._transaction():
            for cls, mark in marks.items():
                for low, high in ((1, mark.prefix), *mark.ranges):
                    where = "cls = ? AND sequence >= ? AND last <= ?"
                    count, kept, samples = self._db.execute(
                        f"SELECT count(*), total(kind <> 1), total(samples) FROM message WHERE {where}",  # noqa: S608
                        (cls, low, high),
                    ).fetchone()
                    if count:
                        self._db.execute(f"DELETE FROM message WHERE {where}", (cls, low, high))  # noqa: S608
                        self._add(cls, "acked_messages", count)
                        self._add(cls, "acked_samples", int(samples))
                        self._add(cls, "waiting_messages", -int(kept))
                        self._add(cls, "waiting_samples", -int(samples))

    # -- room --------------------------------------------------------------------------------------------

    def weights(self, limit: int) -> list[Weight]:
        with self._reading():
            return shed_candidates(self._db, self._leased, limit)

    def shed(self, runs: Sequence[Shed], now_ms: int) -> None:
        self._ballast.unlink(missing_ok=True)
        with self._transaction():
            for run in runs:
                shed_run(self._db, self._leased, run, now_ms)
        with self._reading():
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            self._db.execute(f"PRAGMA incremental_vacuum({VACUUM_PAGES})").fetchall()
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        self._keep_ballast()

    def usage(self) -> Usage:
        with self._reading():
            pages = self._one("PRAGMA page_count") - self._one("PRAGMA freelist_count")
            used = pages * self._one("PRAGMA page_size")
        disk = os.statvfs(self._path.parent)
        return Usage(used, shutil.disk_usage(self._path.parent).free, disk.f_favail)

    def counters(self) -> dict[Class, ClassCounters]:
        with self._reading():
            rows = self._db.execute(
                "SELECT cls, messages, samples, readings, payload_bytes, acked_messages, acked_samples,"
                " shed_messages, shed_samples, waiting_messages, waiting_samples FROM class ORDER BY cls"
            ).fetchall()
        return {Class(row[0]): ClassCounters(*row[1:]) for row in rows}

    def next_session(self, wall_ms: int) -> int:
        with self._transaction():
            row = self._db.execute("SELECT value FROM meta WHERE key = 'session'").fetchone()
            session = max(int(row[0]) + 1 if row else 1, wall_ms)
            self._db.execute("INSERT OR REPLACE INTO meta VALUES ('session', ?)", (str(session),))
        return session

    # -- helpers -----------------------------------------------------------------------------------------

    def _add(self, cls: Class, column: str, amount: int) -> None:
        self._db.execute(f"UPDATE class SET {column} = {column} + ? WHERE cls = ?", (amount, cls))  # noqa: S608

    def _one(self, query: str, parameters: _Params = ()) -> Any:
        return self._db.execute(query, parameters).fetchone()[0]

    @contextmanager
    def _reading(self) -> Iterator[None]:
        with self._guard, sorted_errors(self._path):
            yield

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._guard, sorted_errors(self._path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def _keep_ballast(self) -> None:
        if self._ballast.exists():
            return
        try:
            with self._ballast.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, BALLAST_BYTES)
        except OSError:
            self._ballast.unlink(missing_ok=True)  # the disk is full already; it is made once there is room


def _row(row_id: int, unit: int, time_ms: int, body: bytes, boot: str, mono_ms: int, synced: int) -> Row:
    values, flags = _read_body.decode(body)
    return Row(row_id, unit, time_ms, tuple(values), flags, boot, mono_ms, bool(synced))


def _lock(path: Path) -> int:
    """Hold the folder for this process; the kernel lets go when it dies. Raises SpoolInUse."""
    import fcntl

    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        raise SpoolInUse(
            f"{path.parent}: another agent uses this spool", "Stop it first: systemctl stop lamppost-agent."
        ) from error
    return handle
