"""What the worker does by itself: requests for a second person go with the names in them, hands in
others' accounts when they tell nothing any more.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from fleet_server.access import apart_store, approval_store
from fleet_server.access.apart_rules import APART_AFTER
from fleet_server.access.rules import WORKER
from fleet_server.audit.recording import record
from fleet_server.audit.rules import Happening
from fleet_server.context import Context

ROWS_A_TICK = 2_000


def forget_old(ctx: Context, now: datetime | None = None) -> int:
    """How many rows went, at most ROWS_A_TICK of a table; a line tells how many requests. In real time."""
    days, instant = ctx.config.retention.names_days, now or datetime.now(UTC)
    requests = 0
    with ctx.db.session() as session:
        hands = apart_store.forget(session, instant - APART_AFTER, ROWS_A_TICK)
        if days:
            before = instant - timedelta(days=days)
            requests = approval_store.forget(session, before, ROWS_A_TICK)
        if requests:
            told = {"rows": {"second_person_request": requests}, "older_than": before}
            record(session, WORKER, Happening.PERSONAL_REMOVED, "*", after=told)
    return max(hands, requests)
