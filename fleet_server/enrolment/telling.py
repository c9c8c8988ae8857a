"""A claim that was used twice, told at the lamppost that it was for: a condition until somebody looked."""

from __future__ import annotations

from datetime import datetime

from sqlmodel import Session

from fleet_server.devices import reported
from fleet_server.enrolment.store import Alarm
from wire_contract.errors import InvalidName
from wire_contract.messages import Condition
from wire_contract.topics import Address

CODE = "claim_used_twice"
SOURCE = "server"
REMEDY = "Find out who has the claim; then lamppost fleet alarms seen, and batch resume or revoke."


def tell(session: Session, alarm: Alarm, now: datetime, *, active: bool) -> None:
    """Raise it, or clear it; nothing where there is no such lamppost (yet)."""
    try:
        address = Address(alarm.tenant, alarm.device)
    except InvalidName:
        return
    session.flush()
    connection = session.connection().connection.driver_connection
    assert connection is not None, "a session without a connection"
    with connection.cursor() as cursor:
        found = reported.find_devices(cursor, [address]).get(address)
        if found is None:
            return
        detail = f"claim {alarm.claim_id} was shown with a second key, {alarm.key_fingerprint}"
        told = Condition(
            time_ms=int(now.timestamp() * 1000),
            code=CODE,
            subject=alarm.claim_id,
            active=active,
            severity="error",
            detail=detail,
            remedy=REMEDY,
        )
        reported.conditions(cursor, found.id, [told], now, SOURCE)
