"""What a question names and there is not: an empty answer would look as if nothing had been measured.

Asked only where nothing was found; of a tenant, always. Names of another tenant are none here: nobody learns
of them.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import text
from sqlmodel import Session

from fleet_server.access.rules import Principal
from fleet_server.access.service import need_there
from fleet_server.context import Context
from fleet_server.errors import InvalidRequest, NotFound
from fleet_server.nearest import told as nearest
from fleet_server.telemetry import versions
from wire_contract.errors import InvalidName
from wire_contract.topics import Address

SHOWN = 64  # characters of a name that somebody made up
_CHANNELS = """
    SELECT DISTINCT s.channel FROM series s
    WHERE CAST(:within AS text) IS NULL OR s.sensor_unit_id IN (
        SELECT u.id FROM sensor_unit u JOIN device d ON d.id = u.device_id WHERE d.tenant = :within)
"""
_DISTRICTS = """
    SELECT DISTINCT district FROM device
    WHERE district <> '' AND (CAST(:within AS text) IS NULL OR tenant = :within)
"""


def need_device(session: Session, address: Address) -> int:
    """Its id. Raises NotFound."""
    found = versions.device_of(session, address)
    if found is None:
        raise NotFound(f"There is no device {address}.")
    return found


def need_channels(session: Session, asked: Iterable[str], within: str | None) -> None:
    """Raises InvalidRequest for one that no lamppost (of the tenant) ever had; where none had any, nothing is
    wrong yet."""
    known = set(session.execute(text(_CHANNELS), {"within": within}).scalars())
    for name in sorted(set(asked) - known) if known else ():
        raise InvalidRequest(f"There is no channel {name[:SHOWN]!r} here.", remedy=nearest(name, known))


def need_tenant(ctx: Context, principal: Principal, asked: str) -> None:
    """Raises InvalidRequest, NotFound."""
    try:
        Address(asked, "x")
    except InvalidName as wrong:
        raise InvalidRequest(f"tenant: {wrong}") from None
    need_there(ctx, principal, asked)


def need_district(session: Session, asked: str, within: str | None) -> None:
    """Raises NotFound where no lamppost (of the tenant) stands in it."""
    known = set(session.execute(text(_DISTRICTS), {"within": within}).scalars())
    if asked not in known:
        raise NotFound(f"There is no district {asked[:SHOWN]!r} here.", remedy=nearest(asked, known))
