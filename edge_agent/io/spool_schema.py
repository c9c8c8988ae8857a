"""The spool's file: its tables, how it is opened, and which of SQLite's errors means what."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_agent.errors import SpoolCorrupt, SpoolError, SpoolFull
from wire_contract.classes import Class

SCHEMA_VERSION = 3
EPOCH_BYTES = 16
DATA, TOMBSTONE, DECLARATION = 0, 1, 2  # message.kind

PAGE_HEADROOM = 1.25  # the file itself may outgrow max_bytes by pages that shedding has not yet freed
PAGE_BYTES = 1024  # a commit touches few bytes in each of some pages: a quarter of what 4096 would write

# journal_mode WAL with synchronous FULL: one fsync a commit, and a committed transaction survives a power
# cut (sqlite.org/pragma.html#pragma_synchronous). NORMAL syncs only at a checkpoint: nothing would be
# damaged, but all since the last one could be gone, hours at one sample a minute, and sequences used twice.
# tests/edge_agent/io/test_power_cut.py shows both. The cache is small: the agent's memory bar is 40 MB.
_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA cache_size = -512",
    "PRAGMA journal_size_limit = 4194304",
    "PRAGMA busy_timeout = 5000",
)

_TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE unit (
    key INTEGER PRIMARY KEY, kind TEXT NOT NULL, serial TEXT NOT NULL, site TEXT NOT NULL,
    high_ms INTEGER NOT NULL DEFAULT 0, generation INTEGER NOT NULL DEFAULT 0,
    UNIQUE (kind, serial, site)
);
CREATE TABLE pending (
    id INTEGER PRIMARY KEY, unit INTEGER NOT NULL, time_ms INTEGER NOT NULL, body BLOB NOT NULL,
    boot TEXT NOT NULL, mono_ms INTEGER NOT NULL, synced INTEGER NOT NULL
);
CREATE TABLE message (
    id INTEGER PRIMARY KEY, cls INTEGER NOT NULL, sequence INTEGER NOT NULL, last INTEGER NOT NULL,
    kind INTEGER NOT NULL, payload BLOB NOT NULL, samples INTEGER NOT NULL, readings INTEGER NOT NULL,
    from_ms INTEGER NOT NULL, to_ms INTEGER NOT NULL, sealed_at_age_ms INTEGER NOT NULL,
    UNIQUE (cls, sequence)
);
CREATE TABLE class (
    cls INTEGER PRIMARY KEY, next INTEGER NOT NULL DEFAULT 1, leased INTEGER NOT NULL DEFAULT 0,
    messages INTEGER NOT NULL DEFAULT 0, samples INTEGER NOT NULL DEFAULT 0,
    readings INTEGER NOT NULL DEFAULT 0, payload_bytes INTEGER NOT NULL DEFAULT 0,
    acked_messages INTEGER NOT NULL DEFAULT 0, acked_samples INTEGER NOT NULL DEFAULT 0,
    shed_messages INTEGER NOT NULL DEFAULT 0, shed_samples INTEGER NOT NULL DEFAULT 0,
    waiting_messages INTEGER NOT NULL DEFAULT 0, waiting_samples INTEGER NOT NULL DEFAULT 0
);
"""
# What was given up, by reason. Since version 3; what an older file counted has none.
_SHED_TABLE = """CREATE TABLE shed (
    cls INTEGER NOT NULL, reason TEXT NOT NULL, messages INTEGER NOT NULL, samples INTEGER NOT NULL,
    PRIMARY KEY (cls, reason)
) WITHOUT ROWID"""
REASON_NOT_KEPT = "before_3"
WRITE_VERSION_AT, NEWEST_WRITE_VERSION = 18, 2  # in the file's header; 2 is the write-ahead log

_FULL = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN}
READ_ONLY_REMEDY = (
    "The disk is mounted read-only, or the file is another user's: look for the disk's errors (dmesg) and"
    " replace the card, or give the folder back: sudo chown -R lamppost on device.data_dir."
)
_NO_TEXT = "Could not decode to UTF-8"  # Python's own word on a text column, without a code of SQLite's
# The last three: our statements fit our tables and keep their constraints, while these are what we wrote.
_CORRUPT = {
    *(sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT),
    *(sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH),
}


@contextmanager
def sorted_errors(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours: cannot be written, or damaged."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in _CORRUPT or str(error).startswith(_NO_TEXT):
            raise SpoolCorrupt(f"{path}: {error}") from error
        if code == sqlite3.SQLITE_READONLY:
            raise SpoolFull(f"{path}: {error}", READ_ONLY_REMEDY) from error
        if code in _FULL:
            raise SpoolFull(f"{path}: {error}", "Free space on this disk (df -h, df -i).") from error
        if code == sqlite3.SQLITE_IOERR:
            raise SpoolFull(f"{path}: {error}", "Check the storage (dmesg); replace the card.") from error
        raise SpoolError(f"{path}: {error}") from error


def connect(path: Path) -> sqlite3.Connection:
    """Open or create the file with our settings, without looking at what is in it. Raises SpoolCorrupt."""
    if _says_read_only(path):
        raise SpoolCorrupt(f"{path}: its header says that it is not to be written")
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=64)
    if path.stat().st_size == 0:  # only then do they take effect, and only then is there nothing to spoil
        db.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        db.execute("PRAGMA auto_vacuum = INCREMENTAL")
    for pragma in _PRAGMAS:
        db.execute(pragma)
    return db


def _says_read_only(path: Path) -> bool:
    """A flipped bit in the file's write version: SQLite reads such a file and never writes it (sqlite.org,
    Database File Format, 1.3.3)."""
    try:
        with path.open("rb") as file:
            header = file.read(WRITE_VERSION_AT + 1)
    except OSError:
        return False  # there is none yet, or opening it says why not
    return len(header) > WRITE_VERSION_AT and header[WRITE_VERSION_AT] > NEWEST_WRITE_VERSION


def bound(db: sqlite3.Connection, max_bytes: int) -> None:
    """Let the file grow no further than a quarter above `max_bytes`; 0: as it is. It does not shrink it."""
    if max_bytes:
        page_bytes = db.execute("PRAGMA page_size").fetchone()[0]
        db.execute(f"PRAGMA max_page_count = {int(max_bytes * PAGE_HEADROOM) // page_bytes}")


def create_or_check(db: sqlite3.Connection, path: Path) -> None:
    """Lay the tables in a new file, or check an existing one. Raises SpoolCorrupt."""
    if db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0:
        db.execute("BEGIN IMMEDIATE")
        for statement in (*_TABLES.split(";"), _SHED_TABLE):
            if statement.strip():
                db.execute(statement)
        db.execute("INSERT INTO meta VALUES ('epoch', ?)", (os.urandom(EPOCH_BYTES),))
        db.executemany("INSERT INTO class (cls) VALUES (?)", [(int(cls),) for cls in Class])
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        db.execute("COMMIT")
        return
    verdict = db.execute("PRAGMA quick_check(1)").fetchone()[0]
    if verdict != "ok":
        raise SpoolCorrupt(f"{path}: {verdict}")
    version = _brought_up(db)
    epoch = db.execute("SELECT value FROM meta WHERE key = 'epoch'").fetchone()
    if version != SCHEMA_VERSION or not _is_epoch(epoch and epoch[0]):
        raise SpoolCorrupt(f"{path}: not a spool of version {SCHEMA_VERSION} (version {version})")


def _brought_up(db: sqlite3.Connection) -> int:
    """The file's version, after an older one was made this one, with all that is in it."""
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    if version != 2:
        return version
    db.execute("BEGIN IMMEDIATE")
    db.execute(_SHED_TABLE)
    db.execute(
        "INSERT INTO shed SELECT cls, ?, shed_messages, shed_samples FROM class WHERE shed_samples > 0",
        (REASON_NOT_KEPT,),
    )
    db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    db.execute("COMMIT")
    return SCHEMA_VERSION


def _is_epoch(value: object) -> bool:
    return isinstance(value, bytes) and len(value) == EPOCH_BYTES
