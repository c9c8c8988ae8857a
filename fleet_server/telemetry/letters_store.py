"""Queries for the dead letters."""

from __future__ import annotations

from dataclasses import asdict, dataclass
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


@dataclass(frozen=True)
class LetterFilter:
    """Which letters; None is any, and `waiting` false. device: "tenant/name"; since: received at or after."""

    reason: str | None = None
    device: str | None = None
    since: datetime | None = None
    waiting: bool = True


@dataclass(frozen=True)
class LetterContent:
    """A letter with its bytes. epoch: of the lamppost's spool; properties: MQTT's user properties."""

    record: DeadLetterRecord
    epoch: bytes | None
    missing_unit: int | None
    properties: list[tuple[str, str]]
    payload: bytes


_COLUMNS = (
    "l.id, d.tenant || '/' || d.name, l.topic, l.class, l.sequence, l.reason, l.detail,"
    " octet_length(l.payload), l.received_at, l.attempts, l.replayed_at"
)
_FROM = (
    " FROM dead_letter l LEFT JOIN device d ON d.id = l.device_id"
    " WHERE (CAST(:reason AS text) IS NULL OR l.reason = :reason)"
    " AND (CAST(:device AS text) IS NULL OR d.tenant || '/' || d.name = :device)"
    " AND (CAST(:since AS timestamptz) IS NULL OR l.received_at >= :since)"
    " AND (NOT :waiting OR l.replayed_at IS NULL)"
)


def listed(
    session: Session,
    *,
    before_id: int | None,
    reason: str | None = None,
    waiting: bool = True,
    limit: int,
    device: str | None = None,
    since: datetime | None = None,
) -> list[DeadLetterRecord]:
    """Newest first. waiting: only those that were not replayed yet."""
    query = text(
        f"SELECT {_COLUMNS}{_FROM} AND (CAST(:before AS bigint) IS NULL OR l.id < :before)"
        " ORDER BY l.id DESC LIMIT :limit"
    )
    which = asdict(LetterFilter(reason, device, since, waiting))
    return [
        DeadLetterRecord(*row)
        for row in session.execute(query, {**which, "before": before_id, "limit": limit})
    ]


def numbers(session: Session, which: LetterFilter) -> list[int]:
    """The ids of all that wait, declarations first: what waits for one is right only after it."""
    query = text(f"SELECT l.id{_FROM} ORDER BY l.class IS DISTINCT FROM 1, l.class, l.sequence, l.id")  # noqa: S608
    return [row[0] for row in session.execute(query, asdict(which))]


def content(session: Session, letter_id: int) -> LetterContent | None:
    query = text(
        f"SELECT {_COLUMNS}, l.epoch, l.missing_unit, l.properties, l.payload"  # noqa: S608
        " FROM dead_letter l LEFT JOIN device d ON d.id = l.device_id WHERE l.id = :id"
    )
    row = session.execute(query, {"id": letter_id}).one_or_none()
    if row is None:
        return None
    *record, epoch, missing_unit, properties, payload = row
    pairs = [(name, value) for name, value in properties]
    return LetterContent(
        DeadLetterRecord(*record), epoch and bytes(epoch), missing_unit, pairs, bytes(payload)
    )
