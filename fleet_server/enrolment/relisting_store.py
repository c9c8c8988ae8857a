"""The query of `relisting.py`: which certificates are not to open the door, by our records."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlmodel import Session

from fleet_server.devices.rules import DeviceState
from wire_contract.topics import Address


@dataclass(frozen=True)
class Shut:
    """A certificate that has not run out. marked: it is revoked or on hold, as our records say; else its
    lamppost is shut out. newest: of its lamppost. state: its lamppost's; None where there is none."""

    serial: str
    address: Address
    marked: bool
    newest: bool
    state: DeviceState | None


def shut(session: Session, now: datetime) -> list[Shut]:
    """Those of every lamppost."""
    rows = session.execute(
        text(
            "SELECT k.serial, k.tenant, k.device, k.revoked_at IS NOT NULL AS marked, d.state,"
            " NOT EXISTS (SELECT FROM certificate o WHERE o.tenant = k.tenant AND o.device = k.device"
            "  AND (o.issued_at > k.issued_at OR o.issued_at = k.issued_at AND o.serial < k.serial))"
            " AS newest"
            " FROM certificate k LEFT JOIN device d ON d.tenant = k.tenant AND d.name = k.device"
            " WHERE k.not_after > :now"
            " AND (k.revoked_at IS NOT NULL OR d.state IN ('quarantined', 'decommissioned'))"
        ),
        {"now": now},
    )
    return [
        Shut(
            row.serial,
            Address(row.tenant, row.device),
            row.marked,
            row.newest,
            None if row.state is None else DeviceState(row.state),
        )
        for row in rows
    ]
