"""Rows into `sample`, and what follows from them into the rollup, `latest` and the worker role's marks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import Connection, Cursor, sql
from psycopg.errors import UniqueViolation

from fleet_server.telemetry.ingest.pg_binary import (
    Column,
    Int2Array,
    Int4Array,
    Int8Array,
    TimestamptzArray,
    copy_stream,
    to_timestamptz,
)
from fleet_server.telemetry.ingest.rows import Rows, SeriesOfUnit, fold_minutes, hours, newest
from wire_contract.flags import Flag
from wire_contract.limits import MAX_SLOTS

_SLOT_COLUMNS = [f"s{slot}" for slot in range(MAX_SLOTS)]
_DATA_COLUMNS = sql.SQL(", ").join(map(sql.Identifier, ["sensor_unit", "time", *_SLOT_COLUMNS, "flags"]))

_STAGE = sql.SQL(
    "CREATE TEMPORARY TABLE IF NOT EXISTS sample_stage (LIKE sample, ordinal integer, again integer)"
    " ON COMMIT DELETE ROWS"
)
_FROM_STAGE = sql.SQL(
    """
    WITH stored AS (
        INSERT INTO sample ({columns}) SELECT {columns} FROM sample_stage WHERE again = 0 ORDER BY ordinal
        ON CONFLICT (sensor_unit, time) DO NOTHING RETURNING sensor_unit, time
    )
    SELECT g.ordinal FROM sample_stage g JOIN stored USING (sensor_unit, time) WHERE g.again = 0
    """
).format(columns=_DATA_COLUMNS)
_TAKEN = sql.SQL(
    "SELECT g.ordinal FROM sample_stage g JOIN sample s USING (sensor_unit, time)"
    " WHERE ROW({mine}) IS DISTINCT FROM ROW({theirs}) ORDER BY g.ordinal"
).format(
    mine=sql.SQL(", ").join(sql.Identifier("g", c) for c in [*_SLOT_COLUMNS, "flags"]),
    theirs=sql.SQL(", ").join(sql.Identifier("s", c) for c in [*_SLOT_COLUMNS, "flags"]),
)

_ROLLUP = """
INSERT INTO rollup_1m AS r (series_id, bucket, n, sum, min, max, flagged)
SELECT series_id, bucket, n, sum, CASE WHEN n > 0 THEN low END, CASE WHEN n > 0 THEN high END, flagged
FROM unnest(%s::int[], %s::timestamptz[], %s::int[], %s::bigint[], %s::int[], %s::int[], %s::int[])
     AS t(series_id, bucket, n, sum, low, high, flagged)
ON CONFLICT (series_id, bucket) DO UPDATE SET
    n = r.n + excluded.n, sum = r.sum + excluded.sum, flagged = r.flagged + excluded.flagged,
    min = least(r.min, excluded.min), max = greatest(r.max, excluded.max)
"""
_LATEST = """
INSERT INTO latest AS l (series_id, time, value, flag)
SELECT series_id, time, CASE WHEN flag <> %s THEN value END, flag
FROM unnest(%s::int[], %s::timestamptz[], %s::int[], %s::smallint[]) AS t(series_id, time, value, flag)
ON CONFLICT (series_id) DO UPDATE SET time = excluded.time, value = excluded.value, flag = excluded.flag
WHERE l.time < excluded.time
"""
_DIRTY = "INSERT INTO rollup_dirty (sensor_unit, hour) SELECT * FROM unnest(%s::int[], %s::timestamptz[])"


@dataclass(frozen=True, slots=True, eq=False)
class Stored:
    """What became of rows: `new` were stored; `repeated` were there, the same; `taken`: another is there."""

    new: Rows
    repeated: int
    taken: Rows


def store_rows(connection: Connection[Any], rows: Rows) -> Stored:
    """Put rows into `sample`, inside the caller's transaction. An instant that is taken never fails it."""
    if not rows.again().any():
        try:
            with connection.transaction(), connection.cursor() as cursor:
                _copy(cursor, "sample", rows, [])
        except UniqueViolation:
            pass
        else:
            return Stored(rows, 0, rows.only(np.empty(0, dtype=np.int64)))
    return _store_one_by_one(connection, rows)


def store_derived(cursor: Cursor[Any], many: Sequence[Rows], series_of: SeriesOfUnit) -> None:
    """Fold rows that were stored into the one-minute rollup and `latest`, and mark their hours."""
    minutes = fold_minutes(many, series_of)
    if not len(minutes.series):
        return
    none_in = minutes.n == 0
    cursor.execute(
        _ROLLUP,
        (
            Int4Array(minutes.series),
            TimestamptzArray(minutes.bucket_ms),
            Int4Array(minutes.n),
            Int8Array(minutes.sum),
            Int4Array(np.where(none_in, 0, minutes.low)),
            Int4Array(np.where(none_in, 0, minutes.high)),
            Int4Array(minutes.flagged),
        ),
        prepare=True,
    )
    last = newest(many, series_of)
    arrays = (
        Int4Array(last.series),
        TimestamptzArray(last.time_ms),
        Int4Array(last.value),
        Int2Array(last.flag),
    )
    cursor.execute(_LATEST, (int(Flag.MISSING), *arrays), prepare=True)
    unit, hour_ms = hours(many)
    cursor.execute(_DIRTY, (Int4Array(unit), TimestamptzArray(hour_ms)), prepare=True)


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
        copy.write(copy_stream(columns))


def _store_one_by_one(connection: Connection[Any], rows: Rows) -> Stored:
    """The slow way, for rows of which some are there: stage, insert what is free, compare the others."""
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute(_STAGE)
        cursor.execute("DELETE FROM sample_stage")
        ordinal = np.arange(len(rows), dtype=np.int32)
        _copy(cursor, "sample_stage", rows, [("ordinal", ordinal), ("again", rows.again().astype(np.int32))])
        new = sorted(row[0] for row in cursor.execute(_FROM_STAGE))
        taken = [row[0] for row in cursor.execute(_TAKEN)]
    return Stored(
        rows.only(np.array(new, dtype=np.int64)),
        len(rows) - len(new) - len(taken),
        rows.only(np.array(taken, dtype=np.int64)),
    )
