"""What follows from stored rows: the minutes, the newest row of each unit, and the worker role's marks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import Connection, Cursor
from psycopg.errors import UniqueViolation

from fleet_server.telemetry.ingest.pg_binary import (
    Column,
    Int4Array,
    Int8Array,
    TimestamptzArray,
    copy_pieces,
    to_timestamptz,
)
from fleet_server.telemetry.ingest.rows import Minutes, Rows, bounds_of, fold_minutes, hours, newest

_DIRTY = "INSERT INTO rollup_dirty (sensor_unit, hour) SELECT * FROM unnest(%s::int[], %s::timestamptz[])"
# The bounds say nothing new: TimescaleDB excludes chunks by a constant, and not by what a join brings (its
# issue 10606). Without them each of a year's chunks is asked for each minute. Lateral with a limit, because a
# plan made while the table was empty would otherwise read all that lies within them, for ever.
_THERE = """
SELECT t.place FROM unnest(%s::int[], %s::timestamptz[]) WITH ORDINALITY AS t(sensor_unit, bucket, place)
CROSS JOIN LATERAL (
    SELECT FROM unit_minute m WHERE m.sensor_unit = t.sensor_unit AND m.bucket = t.bucket
    AND m.bucket >= %s AND m.bucket <= %s LIMIT 1
) AS there
"""
Slots = tuple[int, ...]
MAX_SETS = 512  # of slots, whose statements are kept: 10 kB each, and a device could send 65,535 sets


def store_derived(connection: Connection[Any], many: Sequence[Rows]) -> None:
    """Fold rows that were stored into minutes and newest rows, and mark their hours; the caller commits."""
    some = [rows for rows in many if len(rows)]
    if not some:
        return
    with connection.cursor() as cursor:
        for rows in some:
            _store_minutes(connection, cursor, fold_minutes(rows))
        for rows in some:
            _store_newest(cursor, newest(rows))
        unit, hour_ms = hours(some)
        cursor.execute(_DIRTY, (Int4Array(unit), TimestamptzArray(hour_ms)), prepare=True)


def _store_minutes(connection: Connection[Any], cursor: Cursor[Any], minutes: Minutes) -> None:
    """COPY what is new, for a third of what an upsert costs; upsert the rest."""
    free = _free(cursor, minutes) & (minutes.n > 0).all(axis=0)
    if free.any():
        try:
            copying = _copy_minutes(minutes.slots)
            with connection.transaction(), connection.cursor() as inner, inner.copy(copying) as copy:
                for piece in _packed(minutes.only(free)):
                    copy.write(piece)
        except UniqueViolation:  # another worker was faster
            free[:] = False
    rest = ~free
    if rest.any():
        _upsert_minutes(cursor, minutes.only(rest))


def _free(cursor: Cursor[Any], minutes: Minutes) -> NDArray[np.bool_]:
    """Which minutes their unit lacks, as far as can be seen now."""
    values = (Int4Array(minutes.unit), TimestamptzArray(minutes.bucket_ms), *bounds_of(minutes.bucket_ms))
    cursor.execute(_THERE, values, prepare=True, binary=True)
    free = np.ones(len(minutes.unit), dtype=bool)
    free[np.array(cursor.fetchall(), dtype=np.int64).ravel() - 1] = False
    return free


@lru_cache(MAX_SETS)
def _fields(slots: Slots) -> list[str]:
    return [f"{field}_{i}" for i in slots for field in ("n", "sum", "min", "max", "flagged")]


@lru_cache(MAX_SETS)
def _copy_minutes(slots: Slots) -> str:
    return f"COPY unit_minute (sensor_unit, bucket, {', '.join(_fields(slots))}) FROM STDIN (FORMAT binary)"


def _packed(minutes: Minutes) -> Iterator[bytes]:
    columns: list[Column] = [(minutes.unit, ">i4"), (to_timestamptz(minutes.bucket_ms), ">i8")]
    for i in range(len(minutes.slots)):
        columns += [(minutes.n[i], ">i4"), (minutes.sum[i], ">i8")]
        columns += [(each[i], ">i4") for each in (minutes.low, minutes.high, minutes.flagged)]
    return copy_pieces(columns)


@lru_cache(MAX_SETS)
def _upsert(slots: Slots) -> str:
    """NULL stands for a slot that was not filled before: what was and what comes are both kept."""
    kinds = {"n": "int", "sum": "bigint", "min": "int", "max": "int", "flagged": "int"}
    arrays = ", ".join(f"%s::{kind}[]" for _ in slots for kind in kinds.values())
    values = ", ".join(
        f"n_{i}, sum_{i}, CASE WHEN n_{i} > 0 THEN min_{i} END,"
        f" CASE WHEN n_{i} > 0 THEN max_{i} END, flagged_{i}"
        for i in slots
    )
    fold = {"min": "least(m.{c}, excluded.{c})", "max": "greatest(m.{c}, excluded.{c})"}
    added = "coalesce(m.{c} + excluded.{c}, m.{c}, excluded.{c})"
    folded = ", ".join(
        f"{field}_{i} = " + fold.get(field, added).format(c=f"{field}_{i}") for i in slots for field in kinds
    )
    names = ", ".join(_fields(slots))
    return (
        f"INSERT INTO unit_minute AS m (sensor_unit, bucket, {names})"  # noqa: S608 - slots are numbers
        f" SELECT sensor_unit, bucket, {values}"
        f" FROM unnest(%s::int[], %s::timestamptz[], {arrays}) AS t(sensor_unit, bucket, {names})"
        f" ON CONFLICT (sensor_unit, bucket) DO UPDATE SET {folded}"
    )


def _upsert_minutes(cursor: Cursor[Any], minutes: Minutes) -> None:
    some = minutes.n > 0
    low, high = np.where(some, minutes.low, 0), np.where(some, minutes.high, 0)
    arrays: list[Any] = [Int4Array(minutes.unit), TimestamptzArray(minutes.bucket_ms)]
    for i in range(len(minutes.slots)):
        arrays += [Int4Array(minutes.n[i]), Int8Array(minutes.sum[i])]
        arrays += [Int4Array(each[i]) for each in (low, high, minutes.flagged)]
    cursor.execute(_upsert(minutes.slots), arrays, prepare=True)


@lru_cache(MAX_SETS)
def _latest(slots: Slots) -> str:
    names = [f"s{i}" for i in slots] + ["flags"]
    arrays = ", ".join(["%s::int[]"] * len(slots))
    mask = sum(1 << i for i in slots)
    return (
        f"INSERT INTO latest_unit AS l (sensor_unit, slots, time, {', '.join(names)})"  # noqa: S608 - numbers
        f" SELECT sensor_unit, {mask}, time, {', '.join(names)}"
        f" FROM unnest(%s::int[], %s::timestamptz[], {arrays}, %s::bigint[])"
        f" AS t(sensor_unit, time, {', '.join(names)}) ON CONFLICT (sensor_unit, slots) DO UPDATE SET"
        f" time = excluded.time, {', '.join(f'{name} = excluded.{name}' for name in names)}"
        " WHERE l.time < excluded.time"
    )


def _store_newest(cursor: Cursor[Any], rows: Rows) -> None:
    values = [Int4Array(column) for column in rows.values]
    flags = Int8Array(rows.flags.view(np.int64))
    arrays = (Int4Array(rows.unit), TimestamptzArray(rows.time_ms), *values, flags)
    cursor.execute(_latest(rows.slots), arrays, prepare=True)
