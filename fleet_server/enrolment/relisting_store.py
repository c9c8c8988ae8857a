"""The queries of `relisting.py`: certificates that our records or the list say are shut out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlmodel import Session

from fleet_server.devices.rules import DeviceState
from fleet_server.enrolment.records import Certificate, certificate_of
from provisioning.revocation import CLOCKS
from wire_contract.topics import Address

_ANY = """
    SELECT k.serial, k.tenant, k.device, k.key_fingerprint, k.issued_at, k.not_after, k.revoked_at,
        k.revocation, d.state,
        NOT EXISTS (SELECT FROM certificate o WHERE o.tenant = k.tenant AND o.device = k.device
            AND (o.issued_at > k.issued_at OR o.issued_at = k.issued_at AND o.serial < k.serial)) AS newest
    FROM certificate k LEFT JOIN device d ON d.tenant = k.tenant AND d.name = k.device
    WHERE k.serial = ANY(:listed)
        OR k.revoked_at IS NOT NULL AND (k.not_after > :past OR k.revocation = '')
        OR d.state = 'quarantined' AND k.not_after > :now
        OR d.state = 'decommissioned' AND k.revocation IN ('', 'certificateHold')
"""


@dataclass(frozen=True)
class Shut:
    """newest: of its lamppost. state: its lamppost's; None where there is none."""

    certificate: Certificate
    newest: bool
    state: DeviceState | None

    @property
    def address(self) -> Address:
        return Address(self.certificate.tenant, self.certificate.device)


def shut(session: Session, listed: Iterable[int], now: datetime) -> list[Shut]:
    """Those of every lamppost that are revoked or on hold, are on the list (`listed`: serials), or are to be:
    their lamppost is shut out."""
    given = {"listed": [f"{each:x}" for each in listed], "now": now, "past": now - CLOCKS}
    rows = session.execute(text(_ANY), given)
    return [
        Shut(made, row.newest, None if row.state is None else DeviceState(row.state))
        for row in rows
        if (made := certificate_of(row)) is not None
    ]


def ends_of(session: Session, listed: Iterable[int], now: datetime) -> dict[int, tuple[datetime, str]]:
    """Of those serials: the last instant of each that ran out long ago, and why it is revoked or on hold."""
    rows = session.execute(
        text(
            "SELECT serial, not_after, revocation FROM certificate"
            " WHERE serial = ANY(:listed) AND not_after < :past AND revocation <> ''"
        ),
        {"listed": [f"{each:x}" for each in listed], "past": now - CLOCKS},
    )
    return {int(row.serial, 16): (row.not_after, row.revocation) for row in rows}
