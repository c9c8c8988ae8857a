"""Queries for the dead letters."""

from __future__ import annotations

from collections.abc import Sequence
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
    within: str | None = None  # of lampposts of this tenant


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
    " AND (CAST(:within AS text) IS NULL OR d.tenant = :within)"
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
    within: str | None = None,
) -> list[DeadLetterRecord]:
    """Newest first. waiting: only those that were not replayed yet."""
    query = text(
        f"SELECT {_COLUMNS}{_FROM} AND (CAST(:before AS bigint) IS NULL OR l.id < :before)"
        " ORDER BY l.id DESC LIMIT :limit"
    )
    which = asdict(LetterFilter(reason, device, since, waiting, within))
    return [
        DeadLetterRecord(*row)
        for row in session.execute(query, {**which, "before": before_id, "limit": limit})
    ]


def numbers(session: Session, which: LetterFilter) -> list[int]:
    """The ids of all that wait, declarations first: what waits for one is right only after it."""
    query = text(f"SELECT l.id{_FROM} ORDER BY l.class IS DISTINCT FROM 1, l.class, l.sequence, l.id")  # noqa: S608
    return [row[0] for row in session.execute(query, asdict(which))]


def known(session: Session, letter_ids: Sequence[int], within: str | None) -> set[int]:
    """Those of the letters that there are (of lampposts of the tenant)."""
    query = text(
        "SELECT l.id FROM dead_letter l LEFT JOIN device d ON d.id = l.device_id WHERE l.id = ANY(:ids)"
        " AND (CAST(:within AS text) IS NULL OR d.tenant = :within)"
    )
    return set(session.execute(query, {"ids": list(letter_ids), "within": within}).scalars())


def content(session: Session, letter_id: int, within: str | None) -> LetterContent | None:
    """None where there is no such letter (of a lamppost of the tenant)."""
    query = text(
        f"SELECT {_COLUMNS}, l.epoch, l.missing_unit, l.properties, l.payload"  # noqa: S608
        " FROM dead_letter l LEFT JOIN device d ON d.id = l.device_id WHERE l.id = :id"
        " AND (CAST(:within AS text) IS NULL OR d.tenant = :within)"
    )
    row = session.execute(query, {"id": letter_id, "within": within}).one_or_none()
    if row is None:
        return None
    *record, epoch, missing_unit, properties, payload = row
    pairs = [(name, value) for name, value in properties]
    return LetterContent(
        DeadLetterRecord(*record), epoch and bytes(epoch), missing_unit, pairs, bytes(payload)
    )
