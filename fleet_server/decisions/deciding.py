"""The worker's tick: verdicts that nobody has decided on become incidents, in one transaction.

A verdict is marked when it was decided on, in the transaction that wrote what came of it: a worker that dies
leaves nothing half done, and a verdict that is committed late, behind ids that were decided on before, is
found all the same. Workers take turns by an advisory lock: two could open two incidents of one episode.
"""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any

from psycopg import Connection

from fleet_server.decisions import loading
from fleet_server.decisions.city import in_order
from fleet_server.decisions.loading import ms
from fleet_server.decisions.writing import Event, write

VERDICTS_A_TICK = 500  # a plume over a whole city in one round, and a round is still well under a second
ADVISORY_LOCK = 7_265_007

log = logging.getLogger(__name__)


def decide(connection: Connection[Any], now: datetime, limit: int = VERDICTS_A_TICK) -> int:
    """One tick; returns how many verdicts were decided on. now: the street clock's."""
    with connection.transaction(), connection.cursor() as cursor:
        locked = cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", (ADVISORY_LOCK,)).fetchone()
        if locked is None or not locked[0]:
            return 0
        verdicts = loading.undecided(connection, limit)
        if not verdicts and not loading.anything_due(connection, now):
            return 0
        city = loading.city(connection, verdicts)
        before = dict(city.incidents)
        for verdict in in_order(verdicts):
            city.hear(verdict)
        # Where more is waiting it is as late as the last of these: time must not run ahead of what was said.
        received = [v.received_ms for v in verdicts if v.received_ms is not None]
        behind = len(verdicts) == limit
        city.tick(min(ms(now), max(received, default=0)) if behind else ms(now))
        events = write(cursor, before, city, verdicts, now)
    _tell(events)
    return len(verdicts)


def _tell(events: list[Event]) -> None:
    for event in events:
        level = logging.WARNING if event.told else logging.INFO
        log.log(level, "incident %d %s: %s", event.incident, event.what, event.text)
