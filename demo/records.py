"""What the demo reads back: rows from the database, counters from the agents' own files."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from typing import Any

import psycopg

from demo.layout import TENANT, Layout, Post
from demo.ledger import Stored
from firmware_bridge.kinds import SPECS, SensorKind
from fleet_server.config import load_config
from fleet_server.db import Database
from fleet_server.errors import DatabaseUnreachable

UNREACHABLE = (psycopg.Error, DatabaseUnreachable)
MAX_SLOTS = 16
_COLUMNS = ", ".join(f"s.s{i}" for i in range(MAX_SLOTS))
# The view `sample` does not say which transaction wrote a row; its tables do.
_SAMPLES = " UNION ALL ".join(
    f"SELECT xmin AS written, * FROM sample_{name}"  # noqa: S608 - names made here
    for name in ("short", "standard", "long")
)


@dataclass(frozen=True)
class DatabaseFigures:
    """Counts of samples in the whole city."""

    per_post: dict[str, int]
    history: int
    shed: int
    dead_letters: int


class Records:
    """Reads the server's database directly: the verdict on a run must not pass through what it judges."""

    def __init__(self, layout: Layout) -> None:
        self._database = Database(load_config(layout.server_config).database.url)

    def connect(self) -> psycopg.Connection[Any]:
        """A connection of its own; the caller closes it."""
        return self._database.raw()

    def rows(self, connection: psycopg.Connection[Any], post: Post) -> list[Stored]:
        """Every sample of one lamppost, with when its transaction committed."""
        query = f"""
            SELECT extract(epoch FROM s.time) * 1000,
                   extract(epoch FROM pg_xact_commit_timestamp(s.written)) * 1000, {_COLUMNS}
            FROM ({_SAMPLES}) s
            JOIN sensor_unit u ON u.id = s.sensor_unit JOIN device d ON d.id = u.device_id
            WHERE d.tenant = %s AND d.name = %s"""  # noqa: S608 - column names made here
        slots = len(SPECS[SensorKind(post.kind)].channels)
        return [
            Stored(float(street), None if committed is None else float(committed), tuple(values[:slots]))
            for street, committed, *values in connection.execute(query, (TENANT, post.name))
        ]

    def now(self, live_from_ms: float, history_from_ms: float = 0.0) -> DatabaseFigures:
        """`figures` on a connection of its own. Raises one of UNREACHABLE."""
        with contextlib.closing(self.connect()) as connection:
            return self.figures(connection, live_from_ms, history_from_ms)

    def figures(
        self, connection: psycopg.Connection[Any], live_from_ms: float, history_from_ms: float
    ) -> DatabaseFigures:
        """Counts, cheap enough for once a second. History lies between the two instants."""
        counted = connection.execute(
            """
            SELECT d.name, count(s.*),
                   count(s.*) FILTER (WHERE s.time >= to_timestamp(%s) AND s.time < to_timestamp(%s))
            FROM device d
            LEFT JOIN sensor_unit u ON u.device_id = d.id LEFT JOIN sample s ON s.sensor_unit = u.id
            WHERE d.tenant = %s GROUP BY d.name""",
            (history_from_ms / 1000, live_from_ms / 1000, TENANT),
        ).fetchall()
        shed = connection.execute("SELECT coalesce(sum(samples), 0) FROM tombstone").fetchone()
        dead = connection.execute("SELECT count(*) FROM dead_letter").fetchone()
        return DatabaseFigures(
            per_post={name: stored for name, stored, _ in counted},
            history=sum(history for _, _, history in counted),
            shed=int(shed[0]) if shed else 0,
            dead_letters=int(dead[0]) if dead else 0,
        )


def agent_status(post: Post) -> dict[str, Any]:
    """The agent's own status file; empty until it wrote one."""
    try:
        status = json.loads((post.data / "status.json").read_text())
    except (OSError, ValueError):
        return {}
    return status if isinstance(status, dict) else {}
