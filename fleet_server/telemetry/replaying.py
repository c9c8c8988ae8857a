"""Stored samples read back as the stream they were: in time order over all sensor units, of one snapshot.

`sample` is kept by unit, and a city's month in time order does not fit into memory. So the stretch is read
in slices of time (keyset), each sorted by PostgreSQL and fetched by a cursor on its side: what is in memory
here is one fetch, whatever the stretch. A slice that comes out small makes the next one longer, and the other
way round.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg import Connection, IsolationLevel

from fleet_server.errors import NotFound
from wire_contract.limits import MAX_SLOTS
from wire_contract.topics import Address

ROWS_A_FETCH = 5_000
# Sorted in work_mem (4 MB) at 100 bytes a row; a slice that turns out larger is sorted on the server's disk.
ROWS_A_SLICE = 20_000
FIRST_SLICE = timedelta(minutes=10)
SHORTEST_SLICE, LONGEST_SLICE = timedelta(seconds=1), timedelta(days=31)
CADENCE_SAMPLES = 500
_UNSIGNED = 1 << 64
_SLOTS = ", ".join(f"s{slot}" for slot in range(MAX_SLOTS))


@dataclass(frozen=True, slots=True)
class Slot:
    """What a slot holds: value in `unit` = integer * 10**exponent."""

    slot: int
    channel: str
    unit: str
    exponent: int


@dataclass(frozen=True, slots=True)
class Unit:
    """One sensor unit. cadence_s: the median distance of its samples in the stretch; None: too few."""

    id: int
    device_id: int
    address: Address
    kind: str
    serial: str
    site: str
    slots: tuple[Slot, ...]
    cadence_s: float | None


@dataclass(frozen=True, slots=True)
class Sample:
    """As it is stored. values: scaled integers by slot, None where a slot was not filled; flags: 64 bits."""

    unit: int
    time_ms: int
    values: tuple[int | None, ...]
    flags: int


@dataclass(frozen=True)
class Stretch:
    """From `begins` up to `ends`, of these units, by id."""

    begins: datetime
    ends: datetime
    units: tuple[Unit, ...]


_DEVICES = "SELECT id, tenant, name FROM device ORDER BY id"
_UNITS = """
SELECT u.id, u.device_id, u.kind, u.serial, u.site, c.cadence
FROM sensor_unit u CROSS JOIN LATERAL (
    SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM step))::float8 AS cadence,
           count(*) AS n
    FROM (SELECT time - lag(time) OVER (ORDER BY time) AS step FROM (
        SELECT time FROM sample WHERE sensor_unit = u.id AND time >= %(begins)s AND time < %(ends)s
        ORDER BY time LIMIT %(limit)s) few) steps) c
WHERE u.device_id = ANY(%(devices)s) AND c.n > 0 ORDER BY u.id
"""
_SERIES = "SELECT sensor_unit_id, slot, channel, unit, exponent FROM series WHERE sensor_unit_id = ANY(%s)"
_SLICE = f"""
SELECT sensor_unit, round(extract(epoch FROM time) * 1000)::bigint, flags, {_SLOTS} FROM sample
WHERE sensor_unit = ANY(%s) AND time >= %s AND time < %s ORDER BY time, sensor_unit
"""  # noqa: S608 - made of the constants above


def begin(connection: Connection[Any]) -> None:
    """Everything read from now on, on this connection, is of one snapshot. Before anything else is read."""
    connection.isolation_level = IsolationLevel.REPEATABLE_READ
    connection.read_only = True
    connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")  # it may wait for its pace


def stretch(
    connection: Connection[Any], begins: datetime, ends: datetime, wanted: Sequence[Address] = ()
) -> Stretch:
    """What was measured from `begins` up to `ends` by these devices (none named: all). Raises NotFound."""
    known = {Address(tenant, name): id_ for id_, tenant, name in connection.execute(_DEVICES)}
    unknown = [str(address) for address in wanted if address not in known]
    if unknown:
        raise NotFound(
            f"There is no lamppost {', '.join(unknown)}.", remedy="See `lamppost fleet lamppost list`."
        )
    names = {known[address]: address for address in (wanted or known)}
    values = {"begins": begins, "ends": ends, "devices": list(names), "limit": CADENCE_SAMPLES}
    rows = connection.execute(_UNITS, values).fetchall()
    slots: dict[int, list[Slot]] = {row[0]: [] for row in rows}
    for unit, *slot in connection.execute(_SERIES, (list(slots),)):
        slots[unit].append(Slot(*slot))
    units = tuple(
        Unit(id_, device, names[device], kind, serial, site, tuple(sorted(slots[id_], key=_by_slot)), cadence)
        for id_, device, kind, serial, site, cadence in rows
    )
    return Stretch(begins.astimezone(UTC), ends.astimezone(UTC), units)


def _by_slot(slot: Slot) -> int:
    return slot.slot


def samples(connection: Connection[Any], of: Stretch, rows_a_fetch: int = ROWS_A_FETCH) -> Iterator[Sample]:
    """By time, then by unit. The same, whatever `rows_a_fetch`."""
    units = [unit.id for unit in of.units]
    at, width = of.begins, FIRST_SLICE
    while at < of.ends and units:
        until = min(at + width, of.ends)
        count = 0
        with connection.cursor(name="replay", binary=True) as cursor:
            cursor.itersize = rows_a_fetch
            for unit, time_ms, flags, *values in cursor.execute(_SLICE, (units, at, until)):
                count += 1
                yield Sample(unit, time_ms, tuple(values), flags % _UNSIGNED)
        at, width = until, next_width(width, count)


def next_width(width: timedelta, rows: int) -> timedelta:
    """How long the next slice is, after one with so many rows."""
    if rows > ROWS_A_SLICE:
        width /= 2
    elif rows < ROWS_A_SLICE // 4:
        width *= 2
    return min(max(width, SHORTEST_SLICE), LONGEST_SLICE)
