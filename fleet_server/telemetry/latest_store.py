"""The newest reading of each series: thousands of them in a few milliseconds.

Three narrow questions instead of a join for each reading: which series, what their units sent last, whose
they are. It reads the wide `latest_unit` itself: the view `latest` looks for a newer row once a reading,
which is 50 ms for 6,000 of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import text
from sqlmodel import Session

from fleet_server.telemetry.rules import scaled
from fleet_server.telemetry.store import SeriesInfo, series_of
from wire_contract.flags import Flag
from wire_contract.limits import MAX_SLOTS
from wire_contract.topics import Address


class LatestReading(NamedTuple):  # thousands at once: a tuple is made in a fifth of a frozen dataclass's time
    """The newest reading of a series; `value` is None where the sensor gave none. flag: a wire Flag."""

    series: SeriesInfo
    time: datetime
    value: float | None
    flag: int


_MISSING = int(Flag.MISSING)
_SERIES = """
    SELECT s.id, s.sensor_unit_id, s.slot, s.channel, s.unit, s.exponent FROM series s {device}
    WHERE s.id > :after {conditions}
          AND EXISTS (SELECT FROM latest_unit l
                      WHERE l.sensor_unit = s.sensor_unit_id AND (l.slots >> s.slot) & 1 = 1)
    ORDER BY s.id LIMIT :limit
"""
_JOIN_DEVICE = "JOIN sensor_unit u ON u.id = s.sensor_unit_id JOIN device d ON d.id = u.device_id"
_UNITS = """
    SELECT u.id, d.tenant, d.name, u.id, u.kind, u.site, u.serial
    FROM sensor_unit u JOIN device d ON d.id = u.device_id WHERE u.id = ANY(:units)
"""
_ROWS = f"""
    SELECT sensor_unit, slots, time, flags, {", ".join(f"s{slot}" for slot in range(MAX_SLOTS))}
    FROM latest_unit WHERE sensor_unit = ANY(:units) ORDER BY sensor_unit, time DESC, slots DESC
"""  # noqa: S608 - made of constants


def latest(
    session: Session,
    address: Address | None,
    channel: str | None,
    after_series: int,
    limit: int,
    within: str | None = None,
) -> list[LatestReading]:
    """The newest readings, by series id; of one device, of one channel, or of all (within a tenant)."""
    conditions = "" if within is None else " AND d.tenant = :within"
    conditions += "" if address is None else " AND d.tenant = :tenant AND d.name = :name"
    conditions += "" if channel is None else " AND s.channel = :channel"
    device = "" if address is None and within is None else _JOIN_DEVICE
    query = _SERIES.format(device=device, conditions=conditions)
    values = {
        "after": after_series,
        "within": within,
        "tenant": address.tenant if address else None,
        "name": address.device if address else None,
        "channel": channel,
        "limit": limit,
    }
    series = session.execute(text(query), values).all()
    units = {"units": list({row[1] for row in series})}
    words = {unit: tuple(of_unit) for unit, *of_unit in session.execute(text(_UNITS), units).all()}
    sent = _sent(session.execute(text(_ROWS), units).all())
    found = []
    for series_id, unit, slot, channel, measure, exponent in series:
        reading = sent[unit][slot]
        if reading is not None:
            time, stored, flag = reading
            info = series_of(series_id, *words[unit], slot, channel, measure, exponent)
            found.append(LatestReading(info, time, scaled(stored, exponent), flag))
    return found


def _sent(rows: Sequence[Sequence[Any]]) -> dict[int, list[tuple[datetime, int | None, int] | None]]:
    """Of each unit, by slot: time, stored value and flag of its newest row that has the slot."""
    found: dict[int, list[tuple[datetime, int | None, int] | None]] = defaultdict(lambda: [None] * MAX_SLOTS)
    for unit, slots, time, flags, *values in rows:  # newest first
        newest = found[unit]
        for slot, stored in enumerate(values):
            if slots >> slot & 1 and newest[slot] is None:
                flag = flags >> 4 * slot & 15
                newest[slot] = (time, None if flag == _MISSING else stored, flag)
    return found
