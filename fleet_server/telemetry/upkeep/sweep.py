"""Devices that are online and say nothing, and conditions that are long over."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from psycopg import Connection

from fleet_server.devices.rules import SILENT_AFTER_S

SILENT = "silent"
CLOSED_KEPT = timedelta(days=90)  # a season: enough to see that the same thing happens again and again
ROWS_A_TICK = 1_000


def sweep_presence(connection: Connection[Any], now: datetime) -> int:
    """Raise `silent` for devices that are online and sent nothing for SILENT_AFTER_S, clear it for others.

    A condition beside the presence: the broker still holds the connection, and offline would be invented.
    """
    raised = connection.execute(
        "INSERT INTO device_condition (device_id, code, subject, severity, detail, remedy, source, raised_at)"
        " SELECT id, %(code)s, '', 'warning', 'online, and nothing has come since '"
        "   || to_char(last_seen_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI\"Z\"'),"
        "   'Look at the lamppost''s own conditions; lamppost agent doctor on the device says more.',"
        "   'server', %(now)s"
        " FROM device WHERE presence = 'online' AND last_seen_at < %(before)s ORDER BY id LIMIT %(limit)s"
        " ON CONFLICT (device_id, code, subject) WHERE cleared_at IS NULL DO NOTHING",
        {"code": SILENT, "now": now, "before": _before(now), "limit": ROWS_A_TICK},
    ).rowcount
    cleared = connection.execute(
        "UPDATE device_condition c SET cleared_at = greatest(c.raised_at, %(now)s) FROM device d"
        " WHERE c.device_id = d.id AND c.code = %(code)s AND c.source = 'server' AND c.cleared_at IS NULL"
        " AND (d.presence <> 'online' OR d.last_seen_at >= %(before)s)",
        {"code": SILENT, "now": now, "before": _before(now)},
    ).rowcount
    return raised + cleared


def _before(now: datetime) -> datetime:
    return now - timedelta(seconds=SILENT_AFTER_S)


def forget_conditions(connection: Connection[Any], now: datetime) -> int:
    """Delete conditions that were cleared more than CLOSED_KEPT ago; returns how many."""
    return connection.execute(
        "DELETE FROM device_condition WHERE id IN ("
        " SELECT id FROM device_condition WHERE cleared_at < %s ORDER BY id LIMIT %s)",
        (now - CLOSED_KEPT, ROWS_A_TICK),
    ).rowcount
