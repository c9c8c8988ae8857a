"""The stretch of time that a query asks for: given whole, half or not at all, within what the wire says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from fleet_server.context import Context
from fleet_server.errors import InvalidRequest
from wire_contract.limits import MAX_TIME_MS, MIN_TIME_MS

DEFAULT_SPAN = timedelta(hours=24)
EARLIEST = datetime.fromtimestamp(MIN_TIME_MS / 1000, UTC)  # no sample is older,
LATEST = datetime.fromtimestamp(MAX_TIME_MS / 1000, UTC)  # and none newer


def span(ctx: Context, begins: datetime | None, ends: datetime | None) -> tuple[datetime, datetime]:
    """Begin and end, UTC, the last 24 hours of the street where neither is given. Raises InvalidRequest."""
    for given in (begins, ends):
        if given is not None and given.tzinfo is None:
            raise InvalidRequest("from and to need a time zone.", remedy="Write 2026-11-20T12:00:00Z.")
    ends = min(max(ends or ctx.clock.now(), EARLIEST), LATEST)
    begins = min(max(begins or ends - DEFAULT_SPAN, EARLIEST), LATEST)
    if begins >= ends:
        raise InvalidRequest(f"from {begins.isoformat()} is not before to {ends.isoformat()}.")
    return begins, ends
