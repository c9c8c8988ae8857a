"""`latest_unit` has a row for each set of slots that a unit ever sent: as few as matter are kept.

A unit of sixteen slots can send 65,535 different sets, out of malice or by a broken driver, and each reader
of the latest readings would look at all of them.
"""

from __future__ import annotations

from typing import Any

from psycopg import Connection

from wire_contract.limits import MAX_SLOTS

UNITS_A_TICK = 20

# The newest row of each slot stays. `time` again at the end: a row that was written meanwhile stays as well.
_FORGET = """
WITH crowded AS (
    SELECT sensor_unit FROM latest_unit GROUP BY sensor_unit HAVING count(*) > %(most)s LIMIT %(units)s),
newest AS (
    SELECT DISTINCT ON (l.sensor_unit, slot) l.sensor_unit, l.slots
    FROM latest_unit l JOIN crowded USING (sensor_unit)
    JOIN generate_series(0, %(most)s - 1) slot ON (l.slots >> slot) & 1 = 1
    ORDER BY l.sensor_unit, slot, l.time DESC, l.slots DESC),
surpassed AS MATERIALIZED (
    SELECT l.sensor_unit, l.slots, l.time FROM latest_unit l JOIN crowded USING (sensor_unit)
    WHERE (l.sensor_unit, l.slots) NOT IN (SELECT sensor_unit, slots FROM newest))
DELETE FROM latest_unit l USING surpassed s
WHERE l.sensor_unit = s.sensor_unit AND l.slots = s.slots AND l.time = s.time
"""


def forget_surpassed(connection: Connection[Any]) -> int:
    """One tick; returns how many rows of which every slot is in a newer row were deleted."""
    return connection.execute(_FORGET, {"most": MAX_SLOTS, "units": UNITS_A_TICK}).rowcount
