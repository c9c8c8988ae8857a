"""What the spool holds, in numbers: for the agent that has it open, and for who looks at its file."""

from __future__ import annotations

import os
import shutil
import sqlite3
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edge_agent.core.records import ClassCounters, GivenUp, Usage
from edge_agent.errors import SpoolError
from edge_agent.io.spool_schema import sorted_errors
from wire_contract.classes import Class

ENDLESS_INODES = 1 << 40

_COUNTERS = (
    "messages, samples, readings, payload_bytes, acked_messages, acked_samples, shed_messages, shed_samples,"
    " waiting_messages, waiting_samples"
)


def counters(db: sqlite3.Connection) -> dict[Class, ClassCounters]:
    """Totals of each class since the epoch began."""
    rows = db.execute(f"SELECT cls, {_COUNTERS} FROM class ORDER BY cls").fetchall()  # noqa: S608 our own names
    return {Class(cls): ClassCounters(*counts) for cls, *counts in rows}


def given_up(db: sqlite3.Connection) -> tuple[GivenUp, ...]:
    """What was given up since the epoch began, by class and reason."""
    rows = db.execute("SELECT cls, reason, messages, samples FROM shed ORDER BY cls, reason").fetchall()
    return tuple(GivenUp(Class(cls), *rest) for cls, *rest in rows)


def usage(db: sqlite3.Connection, folder: Path) -> Usage:
    """Pages in use, pages to spare, and the disk that they are on."""
    pages, free, size = (
        db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return Usage((pages - free) * size, shutil.disk_usage(folder).free, free_inodes(folder), free * size)


def free_inodes(folder: Path) -> int:
    """Inodes that files may still take. A file system that makes them as needed (btrfs) says 0 of 0."""
    told = os.statvfs(folder)
    return told.f_favail if told.f_files else ENDLESS_INODES


def _counts_reasons(db: sqlite3.Connection) -> bool:
    """A file that this version has not opened for writing yet may be older."""
    return bool(db.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'shed'").fetchone()[0])


def plain(gone: GivenUp) -> dict[str, Any]:
    return {**asdict(gone), "cls": gone.cls.name.lower()}


def view(folder: Path) -> dict[str, Any]:
    """{"epoch", "units", "pending", "file_bytes", "classes": {name: counters}, "given_up": [...]}.

    Raises SpoolError.
    """
    path = folder / "spool.db"
    if not path.exists():
        raise SpoolError(f"{path}: there is no spool yet", "Start the agent once.")
    with sorted_errors(path):
        db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        try:
            epoch = db.execute("SELECT value FROM meta WHERE key = 'epoch'").fetchone()[0]
            classes = {cls.name.lower(): asdict(count) for cls, count in counters(db).items()}
            return {
                "epoch": bytes(epoch).hex(),
                "units": db.execute("SELECT count(*) FROM unit").fetchone()[0],
                "pending": db.execute("SELECT count(*) FROM pending").fetchone()[0],
                "file_bytes": path.stat().st_size,
                "classes": classes,
                "given_up": [plain(each) for each in given_up(db)] if _counts_reasons(db) else [],
            }
        finally:
            db.close()
