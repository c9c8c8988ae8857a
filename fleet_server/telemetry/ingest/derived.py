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
from fleet_server.telemetry.ingest.rows import (
    MINUTE_MS,
    Minutes,
    Rows,
    SeriesOfUnit,
    fold_minutes,
    hours,
    newest,
)
from wire_contract.flags import Flag

# COPY of a minute's row costs a third of an upsert; asking what a series has there, about three upserts.
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
# No more of each series than there are new minutes, and one: a span may be a year with a minute at each end.
_THERE = """
SELECT t.place - 1, (extract(epoch FROM r.bucket) * 1000)::bigint
FROM unnest(%s::int[], %s::timestamptz[], %s::timestamptz[], %s::int[])
     WITH ORDINALITY AS t(series_id, first, last, most, place)
CROSS JOIN LATERAL (SELECT bucket FROM rollup_1m m
                    WHERE m.series_id = t.series_id AND m.bucket >= t.first AND m.bucket <= t.last
                    ORDER BY bucket LIMIT t.most) AS r
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
    """Which minutes their series certainly lacks. Some that it lacks may be left out, none that it has."""
    series, starts = np.unique(minutes.series, return_index=True)
    if len(minutes.series) < MINUTES_WORTH_ASKING * len(series):
        return np.zeros(len(minutes.series), dtype=bool)
    ends = np.append(starts[1:], len(minutes.series)) - 1
    most = ends - starts + 2
    spans = TimestamptzArray(minutes.bucket_ms[starts]), TimestamptzArray(minutes.bucket_ms[ends])
    cursor.execute(_THERE, (Int4Array(series), *spans, Int4Array(most)), prepare=True)
    found = np.array(cursor.fetchall(), dtype=np.int64).reshape(-1, 2)
    seen_all = np.bincount(found[:, 0], minlength=len(series)) < most
    place = np.repeat(np.arange(len(series)), ends - starts + 1)
    # one number for series and minute: there are far fewer than 2**28 minutes in all of the wire's time
    there = (found[:, 0] << 28) + found[:, 1] // MINUTE_MS
    free: NDArray[np.bool_] = ~np.isin((place << 28) + minutes.bucket_ms // MINUTE_MS, there)
    return free & seen_all[place]


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
