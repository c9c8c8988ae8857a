"""Which sensor unit a block speaks of, which series its slots are, and how long its samples are kept."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from psycopg import Cursor

from fleet_server.telemetry.ingest.pg_binary import ByteaArray, Int4Array
from fleet_server.telemetry.partitions import Months
from wire_contract.limits import MAX_SLOTS

UnitName = tuple[int, bytes, int]
"""device id, epoch, unit key: how a device names a sensor unit on the wire."""


def find_units(cursor: Cursor[Any], names: Iterable[UnitName]) -> dict[UnitName, int]:
    """The sensor units of those names that were declared. Read every time: a key may be given anew."""
    wanted = sorted(set(names))
    if not wanted:
        return {}
    cursor.execute(
        "SELECT device_id, epoch, key, sensor_unit_id FROM unit_key"
        " JOIN unnest(%s::int[], %s::bytea[], %s::int[]) AS w(device_id, epoch, key)"
        " USING (device_id, epoch, key)",
        (
            Int4Array([name[0] for name in wanted]),
            ByteaArray([name[1] for name in wanted]),
            Int4Array([name[2] for name in wanted]),
        ),
        prepare=True,
        binary=True,
    )
    return {(device, epoch, key): unit for device, epoch, key, unit in cursor}


class SeriesCatalogue(dict[int, tuple[int, ...]]):
    """sensor unit -> the series of its 16 slots, 0 where there is none.

    retention: sensor unit -> the class of its samples. A unit's layout and class never change.
    months: which months the tables have.
    """

    def __init__(self) -> None:
        super().__init__()
        self.retention: dict[int, str] = {}
        self.months = Months()
        self._complete: set[tuple[int, tuple[int, ...]]] = set()

    def clear(self) -> None:
        """Forget all: the next connection may be to another database."""
        super().clear()
        self.retention.clear()
        self._complete.clear()
        self.months.clear()

    def learn(self, cursor: Cursor[Any], units: Iterable[int]) -> None:
        """Look up what is not known yet."""
        missing = sorted(set(units) - self.keys())
        if not missing:
            return
        found = {unit: [0] * MAX_SLOTS for unit in missing}
        cursor.execute("SELECT id, retention FROM sensor_unit WHERE id = ANY(%s)", (missing,))
        self.retention.update(cursor.fetchall())
        cursor.execute(
            "SELECT sensor_unit_id, slot, id FROM series WHERE sensor_unit_id = ANY(%s)", (missing,)
        )
        for unit, slot, series in cursor:
            found[unit][slot] = series
        self.update({unit: tuple(series) for unit, series in found.items()})

    def has(self, unit: int, slots: tuple[int, ...]) -> bool:
        """Are all these slots declared for the unit?"""
        asked = (unit, slots)
        if asked in self._complete:
            return True
        if not all(self[unit][slot] for slot in slots):
            return False
        self._complete.add(asked)
        return True
