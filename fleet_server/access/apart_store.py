"""Queries of hands in others' accounts, and of when tenants last had two who could agree."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import text
from sqlmodel import Session

from fleet_server.access.apart_rules import Hand, What


def put_hand(session: Session, operator_id: int, by: str, what: What, now: datetime) -> None:
    """Nothing where `by` is no account, or this very one."""
    session.execute(
        text(
            "INSERT INTO account_hand (operator_id, by_id, what, at)"
            " SELECT :id, o.id, :what, :now FROM operator o WHERE o.name = :by AND o.id <> :id"
        ),
        {"id": operator_id, "by": by, "what": str(what), "now": now},
    )


def hands(session: Session, since: datetime) -> tuple[Hand, ...]:
    """Those after `since`: a handful, people are not made every day."""
    rows = session.execute(
        text(
            "SELECT DISTINCT o.name, b.name FROM account_hand h JOIN operator o ON o.id = h.operator_id"
            " JOIN operator b ON b.id = h.by_id WHERE h.at > :since"
        ),
        {"since": since},
    )
    return tuple(Hand(*row) for row in rows)


def held(session: Session) -> dict[str, datetime]:
    """By tenant: when it last had two."""
    rows = session.execute(text("SELECT tenant, held_at FROM two_person_hold"))
    return {row.tenant: row.held_at for row in rows}


def hold(session: Session, tenants: Iterable[str], now: datetime) -> None:
    for each in sorted(tenants):  # in one order: two changes at once do not wait for one another in a circle
        session.execute(
            text(
                "INSERT INTO two_person_hold (tenant, held_at) VALUES (:tenant, :now) ON CONFLICT (tenant)"
                " DO UPDATE SET held_at = greatest(two_person_hold.held_at, EXCLUDED.held_at)"
            ),
            {"tenant": each, "now": now},
        )


def forget(session: Session, before: datetime, most: int) -> int:
    """What tells nothing any more. How many rows."""
    gone = session.execute(
        text(
            "DELETE FROM account_hand WHERE id IN"
            " (SELECT id FROM account_hand WHERE at <= :before LIMIT :most) RETURNING id"
        ),
        {"before": before, "most": most},
    ).all()
    session.execute(text("DELETE FROM two_person_hold WHERE held_at <= :before"), {"before": before})
    return len(gone)
