"""The air of a stretch computed anew, and how much of it changed: after calibrations, or formulas, did.

A new calibration marks its own past (`fleet_server/air/service.py`); this marks any stretch, and waits. The
work is the air slice's own tick, done here and by the worker role, whoever holds its lock.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg import Connection

from air_quality.nowcast import HOURS as NOWCAST_HOURS
from fleet_server.air.rules import HOUR, hour_of
from fleet_server.air.upkeep import ADVISORY_LOCK, follow
from fleet_server.telemetry.replaying import Stretch

POLL_S = 0.2
# An index is of the twelve hours up to its own: what changes in one moves the eleven after it.
REACH: timedelta = (NOWCAST_HOURS - 1) * HOUR

_MARK = """
INSERT INTO air_dirty (sensor_unit, hour)
SELECT DISTINCT s.sensor_unit_id, r.bucket FROM series s JOIN rollup_1h r ON r.series_id = s.id
WHERE s.sensor_unit_id = ANY(%s) AND r.bucket >= %s AND r.bucket < %s
      AND s.channel IN ('pm2_5', 'pm2_5_cf1', 'pm10', 'humidity')
ON CONFLICT DO NOTHING
"""
_LEFT = "SELECT count(*) FROM air_dirty WHERE sensor_unit = ANY(%s) AND hour >= %s AND hour < %s"
_KEEP = (
    "CREATE TEMPORARY TABLE hour_before AS SELECT * FROM air_hour"
    " WHERE device_id = ANY(%s) AND time >= %s AND time < %s",
    "CREATE TEMPORARY TABLE index_before AS SELECT * FROM air_index"
    " WHERE device_id = ANY(%s) AND time >= %s AND time < %s",
)
_CHANGED = """
SELECT count(DISTINCT (device_id, time)) FROM (
    (SELECT {columns} FROM {table}
     WHERE device_id = ANY(%(devices)s) AND time >= %(begins)s AND time < %(ends)s
     EXCEPT SELECT {columns} FROM {before})
    UNION ALL
    (SELECT {columns} FROM {before} EXCEPT SELECT {columns} FROM {table}
     WHERE device_id = ANY(%(devices)s) AND time >= %(begins)s AND time < %(ends)s)) changed
"""
_HOURS = _CHANGED.format(
    columns="device_id, time, pollutant, sensor_unit, raw, value, correction",
    table="air_hour",
    before="hour_before",
)
_INDICES = _CHANGED.format(
    columns="device_id, time, index_id, value, driver, concentration",
    table="air_index",
    before="index_before",
)


@dataclass(frozen=True)
class Recomputed:
    """marked: hours of sensor units; the others: hours of lampposts of which something is another now."""

    marked: int
    hours_changed: int
    indices_changed: int


def recompute(
    connection: Connection[Any],
    of: Stretch,
    now: Callable[[], datetime],
    told: Callable[[str], None],
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> Recomputed:
    """Mark the stretch, and return when all of it is computed. `connection` is in autocommit mode.

    now: the street clock's.
    """
    units = [unit.id for unit in of.units]
    devices = sorted({unit.device_id for unit in of.units})
    begins, ends = hour_of(of.begins), of.ends
    for statement in _KEEP:
        connection.execute(statement, (devices, begins, ends + REACH))
    with connection.transaction():
        # A tick that is under way took marks before this one, and would not see what it is for.
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (ADVISORY_LOCK,))
        marked = connection.execute(_MARK, (units, begins, ends)).rowcount
    while left := _count(connection, _LEFT, (units, begins, ends)):
        told(f"computing anew: {left} of {marked} hours of sensor units are left")
        if follow(connection, now()) == 0:
            sleep(POLL_S)  # the worker has the lock, and does it
    values = {"devices": devices, "begins": begins, "ends": ends + REACH}
    return Recomputed(marked, _count(connection, _HOURS, values), _count(connection, _INDICES, values))


def _count(connection: Connection[Any], query: str, values: Any) -> int:
    row = connection.execute(query.encode(), values).fetchone()
    assert row is not None
    return int(row[0])
