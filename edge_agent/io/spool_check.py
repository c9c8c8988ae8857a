"""What SQLite's integrity check does not see: a flipped bit in a row may change a value, and its type too.

SQLite keeps a value of any type in any column, so each is looked at before the loops believe it. A payload is
left to its own checksum.
"""

from __future__ import annotations

import sqlite3

from edge_agent.io.spool_schema import TOMBSTONE
from wire_contract.classes import Class
from wire_contract.limits import MAX_SEQUENCE, MAX_TIME_MS, MIN_TIME_MS

_CLASSES = f"({', '.join(str(int(cls)) for cls in Class)})"
_COUNTS = (
    *("next", "leased", "messages", "samples", "readings", "payload_bytes", "acked_messages"),
    *("acked_samples", "shed_messages", "shed_samples", "waiting_messages", "waiting_samples"),
)


def _not_integers(*columns: str) -> str:
    return " OR ".join(f"typeof({column}) <> 'integer'" for column in columns)


# table -> a condition that no sound row of it meets
_UNSOUND = {
    "meta": "(key = 'age_ms' AND typeof(value) <> 'integer')"
    " OR (key = 'session' AND (typeof(value) <> 'text' OR value GLOB '*[^0-9]*' OR length(value) > 15))",
    "unit": f"{_not_integers('high_ms', 'generation')} OR high_ms NOT BETWEEN {MIN_TIME_MS} AND {MAX_TIME_MS}"
    " OR generation NOT BETWEEN 0 AND 9"
    " OR typeof(kind) <> 'text' OR typeof(serial) <> 'text' OR typeof(site) <> 'text'",
    "message": f"{_not_integers('cls', 'sequence', 'last', 'kind', 'samples', 'readings')}"
    f" OR {_not_integers('from_ms', 'to_ms', 'sealed_at_age_ms')}"
    f" OR typeof(payload) <> 'blob' OR cls NOT IN {_CLASSES}"
    f" OR kind NOT BETWEEN 0 AND 2 OR last < sequence OR (kind <> {TOMBSTONE} AND last <> sequence)"
    f" OR sequence NOT BETWEEN 1 AND {MAX_SEQUENCE}",
    "class": f"cls NOT IN {_CLASSES} OR {_not_integers(*_COUNTS)}"
    " OR next < 1 OR leased < 0 OR messages <> next - 1",
    "shed": f"cls NOT IN {_CLASSES} OR typeof(reason) <> 'text' OR {_not_integers('messages', 'samples')}",
}


def unsound_table(db: sqlite3.Connection) -> str:
    """The first table with a row that cannot have been written, or "". Raises sqlite3.DatabaseError."""
    for table, condition in _UNSOUND.items():
        query = f"SELECT EXISTS (SELECT 1 FROM {table} WHERE {condition})"  # noqa: S608 our own words
        if db.execute(query).fetchone()[0]:
            return table
    if db.execute("SELECT count(*) FROM class").fetchone()[0] != len(Class):
        return "class"
    db.execute(
        "SELECT kind, serial, site FROM unit"
    ).fetchall()  # text that is no text says so when it is read
    db.execute("SELECT reason FROM shed").fetchall()
    return ""
