"""Rows into their class's table by binary COPY, and the slow way round where an instant is taken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import Connection, Cursor, sql
from psycopg.errors import UniqueViolation

from fleet_server.telemetry.ingest.pg_binary import Column, copy_pieces, to_timestamptz
from fleet_server.telemetry.ingest.rows import Rows, bounds_of
from wire_contract.limits import MAX_SLOTS

_SLOT_COLUMNS = [f"s{slot}" for slot in range(MAX_SLOTS)]
_DATA_COLUMNS = sql.SQL(", ").join(map(sql.Identifier, ["sensor_unit", "time", *_SLOT_COLUMNS, "flags"]))

_STAGE = sql.SQL(
    "CREATE TEMPORARY TABLE IF NOT EXISTS sample_stage (LIKE sample_standard, ordinal integer, again integer)"
    " ON COMMIT DELETE ROWS"
)
_FROM_STAGE = sql.SQL(
    """
    WITH stored AS (
        INSERT INTO {table} ({columns}) SELECT {columns} FROM sample_stage WHERE again = 0 ORDER BY ordinal
        ON CONFLICT (sensor_unit, time) DO NOTHING RETURNING sensor_unit, time
    )
    SELECT g.ordinal FROM sample_stage g JOIN stored USING (sensor_unit, time) WHERE g.again = 0
    """
)
# The bounds and the form are those of `derived.py`, for the reasons there.
_TAKEN = sql.SQL(
    "SELECT g.ordinal FROM sample_stage g CROSS JOIN LATERAL (SELECT * FROM {table} s"
    " WHERE s.sensor_unit = g.sensor_unit AND s.time = g.time AND s.time >= %s AND s.time <= %s LIMIT 1) AS s"
    " WHERE ROW({mine}) IS DISTINCT FROM ROW({theirs}) ORDER BY g.ordinal"
)
_MINE = sql.SQL(", ").join(sql.Identifier("g", c) for c in [*_SLOT_COLUMNS, "flags"])
_THEIRS = sql.SQL(", ").join(sql.Identifier("s", c) for c in [*_SLOT_COLUMNS, "flags"])


@dataclass(frozen=True, slots=True, eq=False)
class Stored:
    """What became of rows: `new` were stored; `repeated` were there, the same; `taken`: another is there."""

    new: Rows
    repeated: int
    taken: Rows


def table_of(rows: Rows) -> str:
    return f"sample_{rows.retention}"


def store_rows(connection: Connection[Any], rows: Rows) -> Stored:
    """Put rows into their table, inside the caller's transaction. An instant that is taken never fails it."""
    if not rows.again().any():
        try:
            with connection.transaction(), connection.cursor() as cursor:
                _copy(cursor, table_of(rows), rows, [])
        except UniqueViolation:
            pass
        else:
            return Stored(rows, 0, rows.only(np.empty(0, dtype=np.int64)))
    return _store_one_by_one(connection, rows)


def _copy(cursor: Cursor[Any], table: str, rows: Rows, more: list[tuple[str, NDArray[Any]]]) -> None:
    names = ["sensor_unit", "time", *(f"s{slot}" for slot in rows.slots), "flags"]
    columns: list[Column] = [(rows.unit, ">i4"), (to_timestamptz(rows.time_ms), ">i8")]
    columns += [(column, ">i4") for column in rows.values]
    columns.append((rows.flags.view(np.int64), ">i8"))
    columns += [(values, ">i4") for _, values in more]
    command = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(
        sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, [*names, *(name for name, _ in more)]))
    )
    with cursor.copy(command) as copy:
        for piece in copy_pieces(columns):
            copy.write(piece)


def _store_one_by_one(connection: Connection[Any], rows: Rows) -> Stored:
    """The slow way, for rows of which some are there: stage, insert what is free, compare the others."""
    table = sql.Identifier(table_of(rows))
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute(_STAGE)
        cursor.execute("DELETE FROM sample_stage")
        ordinal = np.arange(len(rows), dtype=np.int32)
        _copy(cursor, "sample_stage", rows, [("ordinal", ordinal), ("again", rows.again().astype(np.int32))])
        stored = cursor.execute(_FROM_STAGE.format(table=table, columns=_DATA_COLUMNS))
        new = sorted(row[0] for row in stored)
        comparing = _TAKEN.format(table=table, mine=_MINE, theirs=_THEIRS)
        compared = cursor.execute(comparing, bounds_of(rows.time_ms))
        taken = [row[0] for row in compared]
    return Stored(
        rows.only(np.array(new, dtype=np.int64)),
        len(rows) - len(new) - len(taken),
        rows.only(np.array(taken, dtype=np.int64)),
    )
