"""What the worker does by itself: names and addresses go when their class says so."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from fleet_server.access.rules import WORKER
from fleet_server.audit.recording import record
from fleet_server.audit.rules import ADDRESS, Happening
from fleet_server.context import Context
from fleet_server.privacy import store
from fleet_server.privacy.inventory import PLACES, How, Kept

ROWS_A_TICK = 2_000


def forget_old(ctx: Context, now: datetime | None = None) -> int:
    """How many values became "erased"; where there were some, a line says how many of which place."""
    keep, instant = ctx.config.retention, now or datetime.now(UTC)
    told: dict[str, int] = {}
    with ctx.db.session() as session:
        if keep.addresses_days:
            before = instant - timedelta(days=keep.addresses_days)
            told["audit_personal.value: addresses"] = store.forget_beside(
                session, before, ROWS_A_TICK, ADDRESS
            )
        if keep.names_days:
            before = instant - timedelta(days=keep.names_days)
            told["audit_personal.value"] = store.forget_beside(session, before, ROWS_A_TICK, None)
            for place in PLACES:
                if place.kept is Kept.NAMES and place.how is How.NAME:
                    where = f"{place.table}.{place.column}"
                    told[where] = store.forget_old(session, place, before, ROWS_A_TICK)
        told = {where: rows for where, rows in told.items() if rows}
        if told:
            record(session, WORKER, Happening.PERSONAL_REMOVED, "*", after={"rows": told})
    return max(told.values(), default=0)
