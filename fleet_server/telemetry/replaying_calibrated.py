"""What samples become by calibration, as the air slice does it: own, else the kind's correction, else raw.

A calibration counts from the first full hour on, and humidity is the unit's own, else that of another unit on
its post within a quarter of an hour.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from psycopg import Connection

from air_quality.calibration import Calibration, corrected_channel, corrected_pm2_5
from fleet_server.air.rules import POLLUTANTS, hour_of
from fleet_server.telemetry.replaying import Sample, Unit
from fleet_server.telemetry.replaying_formats import Corrected
from fleet_server.telemetry.rules import scaled
from wire_contract.flags import Flag, unpack_flags

BORROW_MS = 15 * 60_000  # as the lamppost itself lends humidity (edge_agent/core/post.py)

_CALIBRATIONS = """
SELECT sensor_unit_id, slope, offset_, humidity, valid_from, source, channel FROM calibration
WHERE sensor_unit_id = ANY(%s)
"""


def calibrations(connection: Connection[Any], units: Sequence[Unit]) -> dict[int, list[Calibration]]:
    """Of each unit that has any."""
    found: dict[int, list[Calibration]] = defaultdict(list)
    for unit, slope, offset, humidity, begins, source, channel in connection.execute(
        _CALIBRATIONS, ([unit.id for unit in units],)
    ):
        begins_ms = int(begins.timestamp() * 1000)
        found[unit].append(Calibration(slope, offset, humidity, begins_ms, source, channel))
    return found


class Corrector:
    """`Corrector(...)(unit, sample)`: its pollutants corrected. Takes samples in time order."""

    def __init__(self, entries: Mapping[int, Sequence[Calibration]]) -> None:
        self._entries = entries
        self._humidity: dict[int, tuple[float, int]] = {}  # by device: the last one, and when

    def __call__(self, unit: Unit, sample: Sample) -> Corrected:
        values = believed(unit, sample)
        humidity = values.get("humidity")
        if humidity is not None:
            self._humidity[unit.device_id] = humidity, sample.time_ms
        elif (lent := self._humidity.get(unit.device_id)) and sample.time_ms - lent[1] <= BORROW_MS:
            humidity = lent[0]
        own = self._entries.get(unit.id, ())
        hour = hour_of(datetime.fromtimestamp(sample.time_ms / 1000, UTC))
        at_ms = int(hour.timestamp() * 1000)
        found: dict[str, tuple[float | None, str]] = {}
        for pollutant in POLLUTANTS:
            if pollutant not in values:
                continue
            made = (
                corrected_pm2_5(unit.kind, values, humidity, own, at_ms)
                if pollutant == "pm2_5"
                else corrected_channel(pollutant, values, humidity, own, at_ms)
            )
            found[pollutant] = made.value, made.correction
        return found


def believed(unit: Unit, sample: Sample) -> dict[str, float | None]:
    """By channel, in its unit; None where the reading is missing."""
    flags = unpack_flags(sample.flags)
    return {
        slot.channel: None if flags[slot.slot] == Flag.MISSING else scaled(stored, slot.exponent)
        for slot in unit.slots
        if (stored := sample.values[slot.slot]) is not None
    }
