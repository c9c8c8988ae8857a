"""The spool's counters, read from its file while an agent may be using it."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from edge_agent.errors import SpoolError
from edge_agent.io.spool_schema import sorted_errors
from wire_contract.classes import Class

_COUNTERS = (
    "messages, samples, readings, payload_bytes, acked_messages, acked_samples, shed_messages, shed_samples,"
    " waiting_messages, waiting_samples"
)


def view(folder: Path) -> dict[str, Any]:
    """{"epoch", "units", "pending", "file_bytes", "classes": {name: counters}}. Raises SpoolError."""
    path = folder / "spool.db"
    if not path.exists():
        raise SpoolError(f"{path}: there is no spool yet", "Start the agent once.")
    names = [name.strip() for name in _COUNTERS.split(",")]
    with sorted_errors(path):
        db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        try:
            epoch = db.execute("SELECT value FROM meta WHERE key = 'epoch'").fetchone()[0]
            classes = {
                Class(cls).name.lower(): dict(zip(names, counts, strict=True))
                for cls, *counts in db.execute(f"SELECT cls, {_COUNTERS} FROM class ORDER BY cls")  # noqa: S608
            }
            return {
                "epoch": bytes(epoch).hex(),
                "units": db.execute("SELECT count(*) FROM unit").fetchone()[0],
                "pending": db.execute("SELECT count(*) FROM pending").fetchone()[0],
                "file_bytes": path.stat().st_size,
                "classes": classes,
            }
        finally:
            db.close()
