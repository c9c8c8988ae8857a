"""PostgreSQL's binary formats built by numpy: COPY streams and array parameters, without a Python loop.

Source: PostgreSQL documentation, COPY ("Binary Format"); array_recv in src/backend/utils/adt/arrayfuncs.c.
All integers are big-endian; a `timestamptz` is microseconds since 2000-01-01 UTC.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg.adapt import Buffer, Dumper
from psycopg.pq import Format

POSTGRES_EPOCH_MS = 946_684_800_000  # 2000-01-01T00:00:00Z in Unix milliseconds
US_PER_MS = 1_000
ROWS_AT_ONCE = 512  # of 130 bytes: they stay in a core's cache while their columns are filled in
MAX_LAYOUTS = 64  # of 70 kB each
COPY_HEADER = b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)  # signature, flags, length of the extension
COPY_TRAILER = struct.pack(">h", -1)

Column = tuple[NDArray[Any], str]  # values and their big-endian dtype: ">i2", ">i4", ">i8"


def to_timestamptz(times_ms: NDArray[np.int64]) -> NDArray[np.int64]:
    """Unix milliseconds as PostgreSQL stores them."""
    return (times_ms - POSTGRES_EPOCH_MS) * US_PER_MS


def copy_stream(columns: Sequence[Column]) -> bytes:
    """The whole COPY BINARY stream of rows whose fields are `columns` (each of n values, none NULL)."""
    return b"".join(copy_pieces(columns))


def copy_pieces(columns: Sequence[Column]) -> Iterator[bytes]:
    """The same in pieces, because memory of their size is used again and again, while a
    large piece is asked of the kernel each time.
    """
    rows = _blank(tuple(kind for _, kind in columns)).copy()
    count = len(columns[0][0])
    yield COPY_HEADER
    for first in range(0, count, ROWS_AT_ONCE):
        some = rows[: count - first]
        for i, (values, _) in enumerate(columns):
            some[f"value{i}"] = values[first : first + ROWS_AT_ONCE]
        yield some.tobytes()
    yield COPY_TRAILER


@lru_cache(MAX_LAYOUTS)
def _blank(kinds: tuple[str, ...]) -> NDArray[Any]:
    """Rows without their values."""
    fields: list[tuple[str, str]] = [("fields", ">i2")]
    for i, kind in enumerate(kinds):
        fields += [(f"length{i}", ">i4"), (f"value{i}", kind)]
    rows = np.zeros(ROWS_AT_ONCE, dtype=np.dtype(fields))
    rows["fields"] = len(kinds)
    for i, kind in enumerate(kinds):
        rows[f"length{i}"] = np.dtype(kind).itemsize
    return rows


class _Array:
    """n values, none NULL, as one binary array parameter. Subclasses say of which type."""

    element_oid: ClassVar[int]
    kind: ClassVar[str]

    def __init__(self, values: NDArray[Any] | Sequence[int]) -> None:
        elements = np.empty(len(values), dtype=[("length", ">i4"), ("value", self.kind)])
        elements["length"] = np.dtype(self.kind).itemsize
        elements["value"] = values
        self.data = _array_header(len(values), self.element_oid) + elements.tobytes()


def _array_header(count: int, element_oid: int) -> bytes:
    bounds = struct.pack(">ii", count, 1) if count else b""
    return struct.pack(">iii", int(count > 0), 0, element_oid) + bounds


class ByteaArray:
    """n byte strings as one binary array parameter."""

    def __init__(self, values: Sequence[bytes]) -> None:
        parts = [struct.pack(">i", len(value)) + value for value in values]
        self.data = _array_header(len(values), 17) + b"".join(parts)


class Int2Array(_Array):
    element_oid, kind = 21, ">i2"


class Int4Array(_Array):
    element_oid, kind = 23, ">i4"


class Int8Array(_Array):
    element_oid, kind = 20, ">i8"


class TimestamptzArray(_Array):
    """Made from Unix milliseconds."""

    element_oid, kind = 1184, ">i8"

    def __init__(self, times_ms: NDArray[np.int64]) -> None:
        super().__init__(to_timestamptz(times_ms))


class _ArrayDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: _Array | ByteaArray) -> Buffer:
        return obj.data


class _ByteaArrayDumper(_ArrayDumper):
    oid = 1001


class _Int2ArrayDumper(_ArrayDumper):
    oid = 1005


class _Int4ArrayDumper(_ArrayDumper):
    oid = 1007


class _Int8ArrayDumper(_ArrayDumper):
    oid = 1016


class _TimestamptzArrayDumper(_ArrayDumper):
    oid = 1185


def register_arrays(connection: psycopg.Connection[Any]) -> None:
    """Let `connection` take these arrays as parameters."""
    connection.adapters.register_dumper(ByteaArray, _ByteaArrayDumper)
    connection.adapters.register_dumper(Int2Array, _Int2ArrayDumper)
    connection.adapters.register_dumper(Int4Array, _Int4ArrayDumper)
    connection.adapters.register_dumper(Int8Array, _Int8ArrayDumper)
    connection.adapters.register_dumper(TimestamptzArray, _TimestamptzArrayDumper)
