"""Queries for the dead letters."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlmodel import Session


@dataclass(frozen=True)
class DeadLetterRecord:
    """A letter without its bytes. device: "tenant/name"; class_ and sequence: its place in the ledger."""

    id: int
    device: str | None
    topic: str
    class_: int | None
    sequence: int | None
    reason: str
    detail: str
    payload_bytes: int
    received_at: datetime
    attempts: int
    replayed_at: datetime | None


def listed(
    session: Session, *, before_id: int | None, reason: str | None, waiting: bool, limit: int
) -> list[DeadLetterRecord]:
    """Newest first. waiting: only those that were not replayed yet."""
    query = text(
        "SELECT l.id, d.tenant || '/' || d.name, l.topic, l.class, l.sequence, l.reason, l.detail,"
        " octet_length(l.payload), l.received_at, l.attempts, l.replayed_at"
        " FROM dead_letter l LEFT JOIN device d ON d.id = l.device_id"
        " WHERE (CAST(:before AS bigint) IS NULL OR l.id < :before)"
        " AND (CAST(:reason AS text) IS NULL OR l.reason = :reason)"
        " AND (NOT :waiting OR l.replayed_at IS NULL) ORDER BY l.id DESC LIMIT :limit"
    )
    values = {"before": before_id, "reason": reason, "waiting": waiting, "limit": limit}
    return [DeadLetterRecord(*row) for row in session.execute(query, values)]
