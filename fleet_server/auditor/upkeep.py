"""What the worker does with the log by itself: signs when it is due, removes what is too old."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from fleet_server.access.rules import WORKER, Principal
from fleet_server.audit import checkpoints, keys
from fleet_server.audit.recording import record
from fleet_server.audit.rules import Happening, Outcome
from fleet_server.auditor import store
from fleet_server.context import Context

DEVICES_A_TICK = 100  # the loudest; what the others sent is in the dead letters all the same


def sign_when_due(ctx: Context, now: datetime | None = None) -> int:
    """1 where a checkpoint was made. Raises ConfigurationError where this machine has no key."""
    key = keys.load(ctx.config.data_dir)
    with ctx.db.session() as session:
        return int(checkpoints.sign_when_due(session, key, now or datetime.now(UTC)) is not None)


def remove_old(ctx: Context, now: datetime | None = None) -> int:
    """How many lines went, at most LINES_REMOVED_A_TICK; that they did is a line. Ages are in real time."""
    days, instant = ctx.config.retention.audit_days, now or datetime.now(UTC)
    if not days:
        return 0
    key = keys.load(ctx.config.data_dir)
    before = instant - timedelta(days=days)
    with ctx.db.session() as session:
        removed = checkpoints.remove_old(session, key, before, instant)
        if removed:
            told = {"lines": removed, "older_than": before}
            record(session, WORKER, Happening.LINES_REMOVED, "audit log", after=told)
    return removed


def tell_refused_devices(ctx: Context) -> int:
    """A line for each device whose messages ingest did not take since the last look: unknown, or shut out.

    How far the look went stands in the lines themselves. Returns how many lines.
    """
    with ctx.db.session() as session:
        found = store.refused_devices(session, Happening.DEVICE_REFUSED, DEVICES_A_TICK)
        for each in found:
            told = {"messages": each.messages, "to_letter": each.to_letter}
            device = Principal("device", each.device, frozenset(), each.tenant, via="certificate")
            record(
                session, device, Happening.DEVICE_REFUSED, each.device,
                after=told, tenant=each.tenant, outcome=Outcome.REFUSED,
            )  # fmt: skip
    return len(found)
