"""The worker's part: commands whose time is over end, and what is kept long enough goes."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from psycopg import Connection

from fleet_server.commands import rules
from fleet_server.commands.rules import Clocks, Event, State
from fleet_server.tenants.rules import USUAL

ROWS_A_TICK = 1_000
_OVER = """
SELECT id, state, expires_at, began_at, timeout_s, sendings FROM command
WHERE state = 'queued' AND expires_at <= %(now)s OR state = 'sent' AND expires_at <= %(sent)s
      OR state = 'received' AND began_at + timeout_s * interval '1 second' <= %(now)s
ORDER BY id LIMIT %(limit)s FOR NO KEY UPDATE SKIP LOCKED
"""
_END = "UPDATE command SET state = %s, detail = %s, ended_at = %s WHERE id = %s"


def run_clocks(connection: Connection[Any], now: datetime) -> int:
    """End what has not begun, or not ended, in time; returns how many. now: real time."""
    ended = []
    given = {"now": now, "sent": now - rules.EXPIRY_GRACE, "limit": ROWS_A_TICK}
    with connection.transaction(), connection.cursor() as cursor:
        for row in cursor.execute(_OVER, given).fetchall():
            command_id, word, expires_at, began_at, timeout_s, sendings = row
            state = State(word)
            event = rules.due(Clocks(state, expires_at, began_at, timedelta(seconds=timeout_s)), now)
            after = state if event is None else rules.step(state, event)
            if isinstance(after, State) and after is not state:
                ended.append((after, _detail(state, event, sendings), now, command_id))
        cursor.executemany(_END, ended)
    return len(ended)


def _detail(state: State, event: Event | None, sendings: int) -> str:
    if event is Event.TIME_OUT:
        return "it began, and no word came of its end in time"
    if state is State.QUEUED:
        return "not sent: the lamppost was not online in time"
    return f"sent {sendings} times, and no word came that it began"


# The newest of each lamppost and of each tenant stay: nobody's files push out another tenant's.
_FORGET_FILES = """
DELETE FROM command_file WHERE command_id IN (
    SELECT f.command_id FROM (
        SELECT f.command_id, f.tenant, f.came_at,
               sum(f.size) OVER (PARTITION BY f.tenant ORDER BY f.command_id DESC) AS bytes,
               row_number() OVER (PARTITION BY c.device_id ORDER BY f.command_id DESC) AS place
        FROM command_file f JOIN command c ON c.id = f.command_id) f
    LEFT JOIN tenant t ON t.name = f.tenant
    WHERE f.came_at < %(before)s OR f.place > %(each)s
          OR f.bytes > coalesce(t.files_mb, %(megabytes)s) * 1000000.0
    LIMIT %(limit)s)
"""


def forget(connection: Connection[Any], now: datetime) -> int:
    """Delete files and commands that were kept long enough; returns how many. now: real time."""
    files = connection.execute(
        _FORGET_FILES,
        {
            "before": now - rules.FILES_KEPT,
            "each": rules.FILES_KEPT_EACH,
            "megabytes": USUAL.files_mb,
            "limit": ROWS_A_TICK,
        },
    ).rowcount
    commands = connection.execute(
        "DELETE FROM command WHERE id IN (SELECT id FROM command WHERE ended_at < %s ORDER BY id LIMIT %s)",
        (now - rules.KEPT, ROWS_A_TICK),
    ).rowcount
    return files + commands
