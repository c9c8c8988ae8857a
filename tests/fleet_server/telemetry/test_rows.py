"""Rows, what follows from them, and the binary COPY: against plain Python and plain INSERT, at random."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import psycopg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fleet_server.telemetry.ingest.pg_binary import (
    Int2Array,
    Int4Array,
    Int8Array,
    TimestamptzArray,
    register_arrays,
)
from fleet_server.telemetry.ingest.rows import (
    HOUR_MS,
    MINUTE_MS,
    Piece,
    Rows,
    assemble,
    fold_minutes,
    hours,
    newest,
)
from fleet_server.telemetry.ingest.samples import store_rows
from fleet_server.telemetry.partitions import Months
from tests.fleet_server.telemetry.support import Desk
from wire_contract.decode_numpy import NumpyBlock
from wire_contract.flags import Flag, unpack_flags
from wire_contract.limits import INT32_MAX, INT32_MIN

BELIEVED = {Flag.SUSPECT_RANGE, Flag.SUSPECT_RATE}  # the worst smoke, a plume's front
EXCLUDED = {flag for flag in Flag if flag.qartod in (3, 4, 9)} - BELIEVED
UNITS = (1, 2, 3)
SERIES = {unit: tuple(100 * unit + slot for slot in range(16)) for unit in UNITS}
BEFORE_2000_MS = 946_684_800_000 - 7
DAY_MS = 86_400_000


NEAR = st.integers(BEFORE_2000_MS, BEFORE_2000_MS + 3 * HOUR_MS)
EVER = NEAR | st.integers(0, 4_000_000_000_000)


@st.composite
def piece_lists(draw: st.DrawFn, instants: st.SearchStrategy[int] = EVER) -> list[Piece]:
    """Blocks of a few units and sets of slots; no two rows of one unit and instant."""
    keys = draw(st.lists(st.tuples(st.sampled_from(UNITS), instants), min_size=1, max_size=40, unique=True))
    by_block: dict[tuple[int, tuple[int, ...]], list[int]] = defaultdict(list)
    sets = st.sets(st.integers(0, 15), min_size=1, max_size=16).map(lambda s: tuple(sorted(s)))
    two_sets = draw(st.lists(sets, min_size=2, max_size=2))
    for unit, time_ms in keys:
        by_block[unit, draw(st.sampled_from(two_sets))].append(time_ms)
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    pieces = []
    for origin, ((unit, slots), times) in enumerate(by_block.items()):
        values = rng.integers(INT32_MIN, INT32_MAX, (len(slots), len(times)), dtype=np.int32, endpoint=True)
        flags = rng.integers(0, 2**64 - 1, len(times), dtype=np.uint64, endpoint=True)
        block = NumpyBlock(unit, slots, np.array(times, dtype=np.int64), values, flags)
        pieces.append(Piece(origin, unit, block))
    return pieces


def readings(pieces: list[Piece]) -> list[tuple[int, int, int, int]]:
    """(series, time, value, flag), one by one."""
    found = []
    for piece in pieces:
        for row, (time_ms, word) in enumerate(zip(piece.block.times_ms, piece.block.flags, strict=True)):
            flags = unpack_flags(int(word))
            for i, slot in enumerate(piece.block.slots):
                series = SERIES[piece.sensor_unit][slot]
                found.append((series, int(time_ms), int(piece.block.values[i, row]), flags[slot]))
    return found


Minute = tuple[int, int, list[int], int]
"""n, sum, the lowest and the highest (none where n is 0), flagged."""


def together(a: Minute, b: Minute) -> Minute:
    ends = a[2] + b[2]
    return a[0] + b[0], a[1] + b[1], [min(ends), max(ends)] if ends else [], a[3] + b[3]


def folded(many: list[Rows]) -> dict[tuple[int, int], Minute]:
    """By series and minute: what the wide minutes of all sets of slots come to."""
    found: dict[tuple[int, int], Minute] = {}
    for m in map(fold_minutes, many):
        assert len({*zip(m.unit.tolist(), m.bucket_ms.tolist(), strict=True)}) == len(m.unit)
        for i, slot in enumerate(m.slots):
            for j, unit in enumerate(m.unit):
                n = int(m.n[i, j])
                ends = [int(m.low[i, j]), int(m.high[i, j])] if n else []
                one = (n, int(m.sum[i, j]), ends, int(m.flagged[i, j]))
                minute = (SERIES[int(unit)][slot], int(m.bucket_ms[j]))
                found[minute] = together(found.get(minute, (0, 0, [], 0)), one)
    return found


@given(piece_lists())
def test_minutes_newest_and_hours_are_what_a_loop_finds(pieces: list[Piece]) -> None:
    many = assemble(pieces)
    expected: dict[tuple[int, int], Minute] = {}
    last: dict[int, tuple[int, int, int]] = {}
    for series, time_ms, value, flag in readings(pieces):
        minute = (series, time_ms // MINUTE_MS * MINUTE_MS)
        one: Minute = (0, 0, [], 1) if flag in EXCLUDED else (1, value, [value], 0)
        expected[minute] = together(expected.get(minute, (0, 0, [], 0)), one)
        if series not in last or time_ms > last[series][0]:
            last[series] = (time_ms, value, flag)
    assert folded(many) == expected
    found: dict[int, tuple[int, int, int]] = {}
    for rows in map(newest, many):
        for i, slot in enumerate(rows.slots):
            for j, unit in enumerate(rows.unit):
                what = (int(rows.time_ms[j]), int(rows.values[i, j]), int(rows.flag_of(i)[j]))
                series = SERIES[int(unit)][slot]
                found[series] = max(found.get(series, what), what)
    assert found == last
    unit, hour_ms = hours(many)
    assert set(zip(unit.tolist(), hour_ms.tolist(), strict=True)) == {
        (p.sensor_unit, int(t) // HOUR_MS * HOUR_MS) for p in pieces for t in p.block.times_ms
    }


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(piece_lists(NEAR))  # a month's end is among them, and a table for each month costs time
def test_binary_copy_stores_what_plain_inserts_store(desk: Desk, pieces: list[Piece]) -> None:
    connection = desk.connection
    Months().ensure(connection, [piece.block.times_ms for piece in pieces])
    with connection.transaction(force_rollback=True):
        for rows in assemble(pieces):
            stored = store_rows(connection, rows)
            assert (len(stored.new), stored.repeated, len(stored.taken)) == (len(rows), 0, 0)
            again = store_rows(connection, rows)
            assert (len(again.new), again.repeated, len(again.taken)) == (0, len(rows), 0)
        connection.execute("CREATE TEMPORARY TABLE plain (LIKE sample) ON COMMIT DROP")
        for piece in pieces:
            _insert(connection, piece)
        for difference in ("TABLE sample EXCEPT ALL TABLE plain", "TABLE plain EXCEPT ALL TABLE sample"):
            assert connection.execute(difference).fetchall() == []


def _insert(connection: psycopg.Connection[Any], piece: Piece) -> None:
    columns = ", ".join(f"s{slot}" for slot in piece.block.slots)
    for row, (time_ms, word) in enumerate(zip(piece.block.times_ms, piece.block.flags, strict=True)):
        signed = int(word) - 2**64 if int(word) >= 2**63 else int(word)
        values = [int(value) for value in piece.block.values[:, row]]
        places = ", ".join(["%s"] * len(values))
        connection.execute(
            f"INSERT INTO plain (sensor_unit, time, {columns}, flags)"  # type: ignore[arg-type]
            f" VALUES (%s, timestamptz '1970-01-01 00:00Z' + %s * interval '1 millisecond', {places}, %s)",
            (piece.sensor_unit, int(time_ms), *values, signed),
        )


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=50))
def test_arrays_arrive_as_they_are(desk: Desk, values: list[int]) -> None:
    register_arrays(desk.connection)
    whole = np.array(values, dtype=np.int64)
    for kind, bits, sql_type in (
        (Int2Array, 16, "smallint"),
        (Int4Array, 32, "int"),
        (Int8Array, 64, "bigint"),
    ):
        narrowed = whole >> (64 - bits)
        found = desk.connection.execute(f"SELECT %s::{sql_type}[]", (kind(narrowed),)).fetchone()  # type: ignore[arg-type]
        assert found == (narrowed.tolist(),)
    times = np.abs(whole) % (80 * 365 * DAY_MS)
    found = desk.connection.execute(
        "SELECT array(SELECT round(extract(epoch FROM t) * 1000)::bigint FROM unnest(%s::timestamptz[]) t)",
        (TimestamptzArray(times),),
    ).fetchone()
    assert found == (times.tolist(),)
