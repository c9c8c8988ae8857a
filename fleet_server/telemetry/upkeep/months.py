"""The months that are about to begin, made while there is time."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from psycopg import Connection

from fleet_server.telemetry.partitions import ahead, is_partitioned, make_months


def months_ahead(connection: Connection[Any], now: datetime) -> int:
    """One tick; returns how many partitions were made. now: the street clock's."""
    return make_months(connection, ahead(now)) if is_partitioned(connection) else 0
