"""Queries of requests for a second person."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlmodel import Session

from fleet_server.access.store import reading
from fleet_server.access.two_person_rules import State

_COLUMNS = (
    "id, tenant, action, resource, digest, what, reason, state, asked_by, asked_at, expires_at,"
    " decided_by, decided_at, note"
)


@dataclass(frozen=True)
class Request:
    """What one person wants to do. digest: of the arguments, so that nothing else is done under its name."""

    id: int
    tenant: str
    action: str
    resource: str
    digest: bytes = field(repr=False)
    what: str
    reason: str
    state: State
    asked_by: str
    asked_at: datetime
    expires_at: datetime
    decided_by: str = ""
    decided_at: datetime | None = None
    note: str = ""


@dataclass(frozen=True)
class Wanted:
    """tenant: whose it is that is acted on."""

    tenant: str
    action: str
    resource: str
    digest: bytes = field(repr=False)
    asked_by: str


def insert(
    session: Session, wanted: Wanted, what: str, reason: str, now: datetime, expires_at: datetime
) -> Request:
    number = session.execute(
        text(
            "INSERT INTO second_person_request"
            " (tenant, action, resource, digest, what, reason, state, asked_by, asked_at, expires_at)"
            " VALUES (:tenant, :action, :resource, :digest, :what, :reason, 'waiting', :by, :now, :expires)"
            " RETURNING id"
        ),
        _key(wanted) | {"what": what, "reason": reason, "now": now, "expires": expires_at},
    ).scalar_one()
    made = get(session, number)
    assert made is not None
    return made


def explain(session: Session, number: int, reason: str) -> None:
    session.execute(
        text("UPDATE second_person_request SET reason = :reason WHERE id = :id"),
        {"reason": reason, "id": number},
    )


def use(session: Session, wanted: Wanted, after: State, now: datetime) -> Request | None:
    """An agreement to exactly this becomes `after`, once: two that come together queue. None: no such.

    Where two were asked for at once and both were agreed to, one deed uses both.
    """
    numbers = session.execute(
        text(
            "UPDATE second_person_request SET state = :after WHERE tenant = :tenant AND action = :action"
            " AND resource = :resource AND digest = :digest AND asked_by = :by"
            " AND state = 'approved' AND expires_at > :now RETURNING id"
        ),
        _key(wanted) | {"after": str(after), "now": now},
    ).scalars()
    found = sorted(numbers)
    return get(session, found[-1]) if found else None


def same(session: Session, wanted: Wanted) -> Request | None:
    """The open request of this person for exactly this, locked."""
    row = session.execute(
        reading(
            _COLUMNS,
            "FROM second_person_request WHERE tenant = :tenant AND action = :action"
            " AND resource = :resource AND digest = :digest AND asked_by = :by"
            " AND state IN ('waiting', 'approved') ORDER BY id DESC LIMIT 1 FOR UPDATE",
        ),
        _key(wanted),
    ).first()
    return None if row is None else _request(row)


def get(session: Session, number: int, *, lock: bool = False) -> Request | None:
    held = " FOR UPDATE" if lock else ""
    row = session.execute(
        reading(_COLUMNS, f"FROM second_person_request WHERE id = :id{held}"),
        {"id": number},
    ).first()
    return None if row is None else _request(row)


def listed(session: Session, tenant: str | None, state: str | None, before: int, limit: int) -> list[Request]:
    """The newest first. None: of every tenant, of every state."""
    rows = session.execute(
        reading(
            _COLUMNS,
            "FROM second_person_request WHERE id < :before"
            " AND (CAST(:tenant AS text) IS NULL OR tenant = :tenant)"
            " AND (CAST(:state AS text) IS NULL OR state = :state) ORDER BY id DESC LIMIT :limit",
        ),
        {"tenant": tenant, "state": state, "before": before, "limit": limit},
    )
    return [_request(row) for row in rows]


def move(session: Session, number: int, state: State, by: str, now: datetime, note: str = "") -> None:
    """by "": nobody decided; time or the use did."""
    session.execute(
        text(
            "UPDATE second_person_request SET state = :state,"
            " decided_by = CASE WHEN :by = '' THEN decided_by ELSE :by END,"
            " decided_at = CASE WHEN :by = '' THEN decided_at ELSE :now END,"
            " note = CASE WHEN :by = '' THEN note ELSE :note END WHERE id = :id"
        ),
        {"state": str(state), "by": by, "now": now, "note": note, "id": number},
    )


def expire(session: Session, now: datetime) -> None:
    session.execute(
        text(
            "UPDATE second_person_request SET state = 'expired'"
            " WHERE state IN ('waiting', 'approved') AND expires_at <= :now"
        ),
        {"now": now},
    )


def forget(session: Session, before: datetime, most: int) -> int:
    """Requests from before that, whatever became of them. How many."""
    gone = session.execute(
        text(
            "DELETE FROM second_person_request WHERE id IN"
            " (SELECT id FROM second_person_request WHERE asked_at < :before LIMIT :most) RETURNING id"
        ),
        {"before": before, "most": most},
    )
    return len(gone.all())


def _key(wanted: Wanted) -> dict[str, Any]:
    return {
        "tenant": wanted.tenant,
        "action": wanted.action,
        "resource": wanted.resource,
        "digest": wanted.digest,
        "by": wanted.asked_by,
    }


def _request(row: Any) -> Request:
    return Request(
        row.id, row.tenant, row.action, row.resource, bytes(row.digest), row.what, row.reason,
        State(row.state), row.asked_by, row.asked_at, row.expires_at, row.decided_by, row.decided_at,
        row.note,
    )  # fmt: skip
