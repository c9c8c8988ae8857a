"""What stands for the state of stored telemetry: a few numbers that change whenever an answer may.

Every stored batch and tombstone has its row in the ledger, written in the transaction that stored what it
brought; folding moves it into the cursor's counts. A replayed letter adds its samples there. So the ledger's
sums change with every row that comes, late ones too, and cost a fraction of reading these. The worker's marks
tell whether hours, days and districts are folded from them yet.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlmodel import Session

from fleet_server.devices.rules import FRESH_UP_TO_S, LATE_UP_TO_S
from fleet_server.telemetry.store import FROM, WITHIN
from wire_contract.topics import Address

Version = tuple[Any, ...]

# The database's number is another one after a restore into a new one; the day changes with retention.
_STORED = """
    SELECT (SELECT oid FROM pg_database WHERE datname = current_database()),
           c.*, b.*, m.*, s.*, (SELECT max(id) FROM retention_log),
           date_trunc('day', CAST(:now AS timestamptz), 'UTC')
    FROM (SELECT sum(prefix), sum(batches), sum(samples) FROM batch_cursor {of_device}) c,
         (SELECT count(*), sum(last), sum(samples) FROM batch {of_device}) b,
         (SELECT count(*), min(id), max(id) FROM rollup_dirty {of_units}) m,
         (SELECT count(*), max(id) FROM series {of_series}) s
"""
_OF_DEVICE = {
    "of_device": "WHERE device_id = :device",
    "of_units": "WHERE sensor_unit IN (SELECT id FROM sensor_unit WHERE device_id = :device)",
    "of_series": "WHERE sensor_unit_id IN (SELECT id FROM sensor_unit WHERE device_id = :device)",
}
_OF_ALL = dict.fromkeys(_OF_DEVICE, "")
_DEVICES = "SELECT id FROM device WHERE tenant = :within"
_UNITS = f"SELECT id FROM sensor_unit WHERE device_id IN ({_DEVICES})"  # noqa: S608 - a constant
_OF_TENANT = {
    "of_device": f"WHERE device_id IN ({_DEVICES})",
    "of_units": f"WHERE sensor_unit IN ({_UNITS})",
    "of_series": f"WHERE sensor_unit_id IN ({_UNITS})",
}


def stored(session: Session, device: int | None, now: datetime, within: str | None) -> Version:
    """Of one device's telemetry, or of all (within a tenant)."""
    of_all = _OF_ALL if within is None else _OF_TENANT
    query = _STORED.format(**(of_all if device is None else _OF_DEVICE))
    return tuple(session.execute(text(query), {"device": device, "now": now, "within": within}).one())


def newest(session: Session, address: Address | None, now: datetime, within: str | None) -> Version:
    """Of the newest readings, and of how fresh they are at `now`.

    A unit's row is replaced by one with a later time only, so the sum of the times grows with each.
    """
    query = """
        SELECT (SELECT oid FROM pg_database WHERE datname = current_database()),
               count(*), sum(extract(epoch FROM l.time)), max(l.sensor_unit),
               count(*) FILTER (WHERE l.time >= :fresh), count(*) FILTER (WHERE l.time >= :late)
        FROM latest_unit l
    """
    if address is not None or within is not None:
        query += " JOIN sensor_unit u ON u.id = l.sensor_unit JOIN device d ON d.id = u.device_id WHERE true"
    query += "" if address is None else " AND d.tenant = :tenant AND d.name = :name"
    query += "" if within is None else " AND d.tenant = :within"
    values = {
        "within": within,
        "fresh": now - timedelta(seconds=FRESH_UP_TO_S),
        "late": now - timedelta(seconds=LATE_UP_TO_S),
        "tenant": address.tenant if address else None,
        "name": address.device if address else None,
    }
    return tuple(session.execute(text(query), values).one())


def districts(session: Session, now: datetime, within: str | None) -> Version:
    """Of the districts' hours and days: what is stored, what waits to be made, and who stands where."""
    mine = "(CAST(:within AS text) IS NULL OR tenant = :within)"
    query = f"""
        SELECT d.*, m.*, p.* FROM
            (SELECT count(*), sum(extract(epoch FROM hour)) FROM district_dirty WHERE {mine}) d,
            (SELECT count(*), max(id) FROM district_move WHERE {mine}) m,
            (SELECT md5(string_agg(id || '/' || tenant || '/' || district, ',' ORDER BY id))
             FROM device WHERE {mine}) p
    """  # noqa: S608 - a constant
    placed = session.execute(text(query), {"within": within}).one()
    return (*stored(session, None, now, within), *placed)


def device_of_unit(session: Session, unit: int, within: str | None) -> int | None:
    """None where there is no such sensor unit (in the tenant)."""
    found: int | None = session.execute(
        text(
            "SELECT u.device_id FROM sensor_unit u JOIN device d ON d.id = u.device_id"  # noqa: S608
            f" WHERE u.id = :unit AND {WITHIN}"
        ),
        {"unit": unit, "within": within},
    ).scalar()
    return found


def device_of_series(session: Session, series: int, within: str | None) -> int | None:
    """None where there is no such series (in the tenant)."""
    found: int | None = session.execute(
        text(f"SELECT u.device_id FROM {FROM} WHERE s.id = :id AND {WITHIN}"),  # noqa: S608 - constants
        {"id": series, "within": within},
    ).scalar()
    return found


def device_of(session: Session, address: Address) -> int | None:
    """None where there is no such device."""
    found: int | None = session.execute(
        text("SELECT id FROM device WHERE tenant = :tenant AND name = :name"),
        {"tenant": address.tenant, "name": address.device},
    ).scalar()
    return found
