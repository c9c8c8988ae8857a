"""The rows of a download, in blocks of bounded size, read by server-side cursors in one snapshot.

One sensor unit after the other, each in the order of its index: nothing is sorted, nothing waits in memory,
the first bytes leave at once. The transaction is REPEATABLE READ: what is committed meanwhile is not in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg

from fleet_server.db import bind
from fleet_server.telemetry.bucket_store import FOUND
from fleet_server.telemetry.exports.asking import Channel, Question, Source
from fleet_server.telemetry.rules import SECONDS_OF, Resolution
from fleet_server.telemetry.steps import floored
from wire_contract.flags import Flag
from wire_contract.topics import Address

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ROWS_A_BLOCK = 8_192  # of twelve channels: 100,000 values, some megabytes as Python's own integers
STATEMENT_TIMEOUT = "60s"  # one fetch: a database that hangs is given up, and the place is free again
_BEGIN = (
    "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY",
    f"SET LOCAL statement_timeout = '{STATEMENT_TIMEOUT}'",
)
_SOURCES = """
    SELECT u.id, d.tenant, d.name, d.district, u.site, u.kind, u.serial, s.slot, s.id, s.channel, s.unit,
           s.exponent
    FROM series s JOIN sensor_unit u ON u.id = s.sensor_unit_id JOIN device d ON d.id = u.device_id
    WHERE (%(devices)s::text[] = '{}' OR d.tenant || '/' || d.name = ANY(%(devices)s))
          AND (%(districts)s::text[] = '{}' OR d.district = ANY(%(districts)s))
          AND (%(kinds)s::text[] = '{}' OR u.kind = ANY(%(kinds)s))
          AND (%(channels)s::text[] = '{}' OR s.channel = ANY(%(channels)s))
          AND (%(within)s::text IS NULL OR d.tenant = %(within)s)
    ORDER BY d.tenant, d.name, u.id, s.slot
"""
_MS = "(extract(epoch FROM {time}) * 1000)::bigint"
_SAMPLES = """
    SELECT {columns} FROM sample
    WHERE sensor_unit = %(unit)s AND time >= %(begins)s AND time < %(ends)s ORDER BY time
"""
_FOUND_BUCKETS = f"""
    SELECT {_MS.format(time="bucket")}, series_id, n::bigint, sum::float8, min, max, flagged::bigint
    FROM found ORDER BY bucket, series_id
"""  # noqa: S608 - made of the constants above


_COUNTED = {
    Resolution.RAW: ("sample", "time"),
    Resolution.MINUTE: ("unit_minute", "bucket"),
    Resolution.HOUR: ("unit_hour", "bucket"),
    Resolution.DAY: ("unit_day", "bucket"),
}


@dataclass(frozen=True)
class Cells:
    """A channel's values of a block, r each. present: it has a reading there at all; value: NaN for none.

    Raw: value and flag. Buckets: value is the mean, with low, high, n and flagged.
    """

    present: NDArray[np.bool_]
    value: NDArray[np.float64]
    flag: NDArray[np.int64] | None = None
    low: NDArray[np.float64] | None = None
    high: NDArray[np.float64] | None = None
    n: NDArray[np.int64] | None = None
    flagged: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class Block:
    """Rows of one sensor unit, ascending in time: Unix milliseconds, and the channels that the unit has."""

    source: Source
    times_ms: NDArray[np.int64]
    cells: Mapping[Channel, Cells]


Connection = psycopg.Connection[Any]


def begin(connection: Connection, tenant: str) -> None:
    """Open the snapshot, bound to the tenant. `connection` is not in autocommit mode."""
    for statement in _BEGIN:
        connection.execute(statement)
    bind(connection, tenant)


def sources(connection: Connection, question: Question, within: str | None) -> list[Source]:
    """The sensor units (of the tenant) with a series that the question asks for, by lamppost."""
    values = {
        "devices": [str(address) for address in question.devices],
        "districts": list(question.districts),
        "kinds": list(question.kinds),
        "channels": list(question.channels),
        "within": within,
    }
    found: dict[int, Source] = {}
    for (
        unit,
        tenant,
        name,
        district,
        site,
        kind,
        serial,
        slot,
        series,
        channel,
        measure,
        exponent,
    ) in connection.execute(_SOURCES, values):
        if unit not in found:
            address = Address(tenant, name)
            found[unit] = Source(unit, address, district, site, kind, serial, {})
        slots = found[unit].slots
        nth = sum((channel, measure) == (each.channel, each.unit) for each in slots)
        slots[Channel(channel, measure, nth)] = (slot, series, exponent)
    return list(found.values())


def more_than(connection: Connection, question: Question, of: list[Source], most: int) -> bool:
    """Are there more rows (instants or buckets of a sensor unit)? Counts no further than that."""
    table, column = _COUNTED[question.resolution]
    query = (
        f"SELECT count(*) > %(most)s FROM (SELECT FROM {table} WHERE sensor_unit = ANY(%(units)s)"  # noqa: S608
        f" AND {column} >= %(begins)s AND {column} < %(ends)s LIMIT %(most)s + 1) counted"
    )
    values = {
        "most": most,
        "units": [source.unit for source in of],
        "begins": question.begins,
        "ends": question.ends,
    }
    row = connection.execute(query.encode(), values).fetchone()
    return row is not None and bool(row[0])


def blocks(connection: Connection, question: Question, of: list[Source]) -> Iterator[Block]:
    """Every row, unit by unit. At most ROWS_A_BLOCK rows are held at a time."""
    for source in of:
        if question.resolution is Resolution.RAW:
            yield from _raw(connection, question, source)
        else:
            yield from _buckets(connection, question, source)


def _raw(connection: Connection, question: Question, source: Source) -> Iterator[Block]:
    slots = [int(slot) for slot, _, _ in source.slots.values()]
    columns = f"{_MS.format(time='time')}, flags, {', '.join(f's{slot}' for slot in slots)}"
    query = _SAMPLES.format(columns=columns)
    values = {"unit": source.unit, "begins": question.begins, "ends": question.ends}
    with connection.cursor(name="download", binary=True) as cursor:
        cursor.execute(query, values)
        while rows := cursor.fetchmany(ROWS_A_BLOCK):
            yield _raw_block(source, rows)


def _raw_block(source: Source, rows: list[tuple[Any, ...]]) -> Block:
    import numpy as np

    times, words, *columns = zip(*rows, strict=True)
    flags = np.array(words, dtype=np.int64)
    cells = {}
    for (channel, (slot, _, exponent)), stored in zip(source.slots.items(), columns, strict=True):
        numbers = np.array(stored, dtype=np.float64)  # NaN for None
        flag = (flags >> (4 * slot)) & 15
        present = ~np.isnan(numbers)
        value = np.where(flag == int(Flag.MISSING), np.nan, _scaled(numbers, exponent))
        cells[channel] = Cells(present, value, flag=flag)
    return Block(source, np.array(times, dtype=np.int64), cells)


def _buckets(connection: Connection, question: Question, source: Source) -> Iterator[Block]:
    step_s = SECONDS_OF[question.resolution]
    values = {
        "unit": source.unit,
        "series": [series for _, series, _ in source.slots.values()],
        "begins": floored(question.begins, step_s),
        "ends": floored(question.ends, step_s, up=True),
    }
    query = _named(FOUND[question.resolution]) + _FOUND_BUCKETS
    rest: list[tuple[Any, ...]] = []
    with connection.cursor(name="download", binary=True) as cursor:
        cursor.execute(query, values)
        while rows := cursor.fetchmany(ROWS_A_BLOCK * 4):
            rows = rest + rows
            last = next(at for at in range(len(rows), 0, -1) if at == 1 or rows[at - 1][0] != rows[at - 2][0])
            rest, whole = rows[last - 1 :], rows[: last - 1]  # the last bucket may go on in the next fetch
            if whole:
                yield _bucket_block(source, whole)
        if rest:
            yield _bucket_block(source, rest)


def _bucket_block(source: Source, rows: list[tuple[Any, ...]]) -> Block:
    """Rows by bucket, then series, put side by side."""
    import numpy as np

    at, which, n, total, low, high, flagged = (
        np.array(column, dtype=np.float64 if i in (3, 4, 5) else np.int64)
        for i, column in enumerate(zip(*rows, strict=True))
    )
    times, place = np.unique(at.astype(np.int64), return_inverse=True)
    cells = {}
    for channel, (_, series, exponent) in source.slots.items():
        mine = which == series
        where = place[mine]
        columns = [np.full(len(times), np.nan) for _ in range(3)]
        counts = [np.zeros(len(times), np.int64) for _ in range(2)]
        some = n[mine] > 0
        mean = np.divide(total[mine], n[mine], out=np.full(len(where), np.nan), where=some)
        for column, values in zip(columns, (mean, low[mine], high[mine]), strict=True):
            column[where] = _scaled(values, exponent)
        for count, values in zip(counts, (n[mine], flagged[mine]), strict=True):
            count[where] = values
        present = np.zeros(len(times), bool)
        present[where] = True
        cells[channel] = Cells(
            present, columns[0], low=columns[1], high=columns[2], n=counts[0], flagged=counts[1]
        )
    return Block(source, times, cells)


def _scaled(values: NDArray[np.float64], exponent: int) -> NDArray[np.float64]:
    """As `rules.scaled`, the same doubles."""
    found: NDArray[np.float64]
    found = values * float(10**exponent) if exponent >= 0 else values / float(10**-exponent)
    return found


def _named(query: str) -> str:
    """SQLAlchemy's `:name` as psycopg's `%(name)s`."""
    return re.sub(r"(?<!:):([a-z]+)", r"%(\1)s", query)
