"""What follows from stored rows: the one-minute rollup, `latest`, and the worker role's marks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import Connection, Cursor
from psycopg.errors import UniqueViolation

from fleet_server.telemetry.ingest.pg_binary import (
    Int2Array,
    Int4Array,
    Int8Array,
    TimestamptzArray,
    copy_stream,
    to_timestamptz,
)
from fleet_server.telemetry.ingest.rows import Minutes, Rows, SeriesOfUnit, fold_minutes, hours, newest
from wire_contract.flags import Flag

# COPY of a minute's row costs a third of an upsert; asking whether a series is free, about three upserts.
MINUTES_WORTH_ASKING = 8

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
_FREE = """
SELECT t.place - 1 FROM unnest(%s::int[], %s::timestamptz[], %s::timestamptz[])
     WITH ORDINALITY AS t(series_id, first, last, place)
WHERE NOT EXISTS (SELECT FROM rollup_1m r
                  WHERE r.series_id = t.series_id AND r.bucket >= t.first AND r.bucket <= t.last)
"""
_COPY_MINUTES = "COPY rollup_1m (series_id, bucket, n, sum, min, max, flagged) FROM STDIN (FORMAT binary)"


def store_derived(connection: Connection[Any], many: Sequence[Rows], series_of: SeriesOfUnit) -> None:
    """Fold rows that were stored into the rollup and `latest`, and mark their hours; the caller commits."""
    minutes = fold_minutes(many, series_of)
    if not len(minutes.series):
        return
    with connection.cursor() as cursor:
        _store_minutes(connection, cursor, minutes)
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


def _store_minutes(connection: Connection[Any], cursor: Cursor[Any], minutes: Minutes) -> None:
    """COPY what is certainly new, as most of a drained history is; upsert the rest."""
    free = _free(cursor, minutes) & (minutes.n > 0)
    if free.any():
        try:
            with connection.transaction(), connection.cursor() as inner, inner.copy(_COPY_MINUTES) as copy:
                copy.write(_packed(minutes, free))
        except UniqueViolation:  # another worker was faster
            free[:] = False
    rest = ~free
    if rest.any():
        _upsert_minutes(cursor, minutes, rest)


def _free(cursor: Cursor[Any], minutes: Minutes) -> NDArray[np.bool_]:
    """Which minutes belong to a series that has none between its first and last one here."""
    series, starts = np.unique(minutes.series, return_index=True)
    if len(minutes.series) < MINUTES_WORTH_ASKING * len(series):
        return np.zeros(len(minutes.series), dtype=bool)
    ends = np.append(starts[1:], len(minutes.series)) - 1
    spans = TimestamptzArray(minutes.bucket_ms[starts]), TimestamptzArray(minutes.bucket_ms[ends])
    cursor.execute(_FREE, (Int4Array(series), *spans), prepare=True)
    free = np.zeros(len(series), dtype=bool)
    free[[row[0] for row in cursor]] = True
    return np.repeat(free, ends - starts + 1)


def _packed(minutes: Minutes, which: NDArray[np.bool_]) -> bytes:
    return copy_stream(
        [
            (minutes.series[which], ">i4"),
            (to_timestamptz(minutes.bucket_ms[which]), ">i8"),
            (minutes.n[which], ">i4"),
            (minutes.sum[which], ">i8"),
            (minutes.low[which], ">i4"),
            (minutes.high[which], ">i4"),
            (minutes.flagged[which], ">i4"),
        ]
    )


def _upsert_minutes(cursor: Cursor[Any], minutes: Minutes, which: NDArray[np.bool_]) -> None:
    some = minutes.n[which] > 0
    cursor.execute(
        _ROLLUP,
        (
            Int4Array(minutes.series[which]),
            TimestamptzArray(minutes.bucket_ms[which]),
            Int4Array(minutes.n[which]),
            Int8Array(minutes.sum[which]),
            Int4Array(np.where(some, minutes.low[which], 0)),
            Int4Array(np.where(some, minutes.high[which], 0)),
            Int4Array(minutes.flagged[which]),
        ),
        prepare=True,
    )
