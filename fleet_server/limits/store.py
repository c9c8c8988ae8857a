"""Queries of the limits slice: for people over a session; else over a connection, each one statement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import Connection
from sqlalchemy import text
from sqlmodel import Session

from fleet_server.devices.rules import DeviceState
from fleet_server.limits.rules import Own, Rate, State
from wire_contract.topics import Address


@dataclass(frozen=True)
class OpenFlood:
    id: int
    address: Address
    device_id: int
    device_state: DeviceState
    state: State
    rate: Rate
    until: datetime | None
    before: int  # floods of the same device since the given instant, this one not counted


@dataclass(frozen=True)
class FloodRecord:
    id: int
    address: Address
    state: State
    seen_at: datetime
    rate: Rate
    until: datetime | None
    ended_at: datetime | None


def listed(session: Session, before_id: int, limit: int, within: str | None) -> list[FloodRecord]:
    """Floods (of the tenant `within`; None: of all), the newest first."""
    query = text(
        "SELECT f.id, d.tenant, d.name, f.state, f.seen_at, f.messages, f.bytes, f.until, f.ended_at"
        " FROM flood f JOIN device d ON d.id = f.device_id"
        " WHERE f.id < :before AND (CAST(:within AS text) IS NULL OR f.tenant = :within)"
        " ORDER BY f.id DESC LIMIT :limit"
    )
    rows = session.execute(query, {"before": before_id, "within": within, "limit": limit})
    return [
        FloodRecord(id_, Address(tenant, name), State(state), at, Rate(messages, size), until, ended)
        for id_, tenant, name, state, at, messages, size, until, ended in rows
    ]


def own_limits(connection: Connection[Any]) -> dict[str, Own]:
    """Of the tenants that have any."""
    rows = connection.execute(
        "SELECT name, device_messages, device_mb FROM tenant"
        " WHERE device_messages IS NOT NULL OR device_mb IS NOT NULL"
    ).fetchall()
    return {name: Own(messages, megabytes) for name, messages, megabytes in rows}


def seen(connection: Connection[Any], floods: Mapping[Address, Rate], now: datetime) -> int:
    """Write down what the ingest counted; nothing where one of the device is open. Returns how many."""
    return connection.execute(
        "INSERT INTO flood (tenant, device_id, seen_at, messages, bytes)"
        " SELECT d.tenant, d.id, %s, f.messages, f.bytes"
        " FROM unnest(%s::text[], %s::text[], %s::bigint[], %s::bigint[]) AS f(tenant, name, messages, bytes)"
        " JOIN device d USING (tenant, name)"
        " ON CONFLICT (device_id) WHERE state IN ('seen', 'held') DO NOTHING",
        (
            now,
            [address.tenant for address in floods],
            [address.device for address in floods],
            [rate.messages for rate in floods.values()],
            [rate.bytes for rate in floods.values()],
        ),
    ).rowcount


def open_floods(connection: Connection[Any], since: datetime, now: datetime, limit: int) -> list[OpenFlood]:
    """Those that something may have to be done about: who is out for hours yet would fill the list.

    Nobody after them would be stopped then."""
    rows = connection.execute(
        "SELECT f.id, d.tenant, d.name, d.id, d.state, f.state, f.messages, f.bytes, f.until,"
        " (SELECT count(*) FROM flood o WHERE o.device_id = f.device_id AND o.id < f.id AND o.seen_at > %s)"
        " FROM flood f JOIN device d ON d.id = f.device_id"
        " WHERE f.state = 'seen' OR f.state = 'held' AND"
        " (f.until IS NULL OR f.until <= %s OR d.state <> 'quarantined') ORDER BY f.id LIMIT %s",
        (since, now, limit),
    ).fetchall()
    return [
        OpenFlood(id_, Address(t, n), device, DeviceState(ds), State(fs), Rate(messages, size), until, before)
        for id_, t, n, device, ds, fs, messages, size, until, before in rows
    ]


def move(
    connection: Connection[Any],
    flood: int,
    former: State,
    state: State,
    *,
    until: datetime | None,
    ended: datetime | None,
) -> bool:
    """False where it is not in the state `former` any more: a person was faster."""
    return (
        connection.execute(
            "UPDATE flood SET state = %s, until = %s, ended_at = %s WHERE id = %s AND state = %s",
            (state, until, ended, flood, former),
        ).rowcount
        == 1
    )


@dataclass(frozen=True)
class Open:
    id: int
    device_id: int
    state: State
    until: datetime | None


def open_of(session: Session, address: Address, *, lock: bool = False) -> Open | None:
    """The lamppost's open flood; locked: nobody else moves it until the transaction ends."""
    query = (
        "SELECT f.id, f.device_id, f.state, f.until FROM flood f JOIN device d ON d.id = f.device_id"
        " WHERE d.tenant = :tenant AND d.name = :name AND f.state IN ('seen', 'held')"
    )
    held = " FOR UPDATE OF f" if lock else ""
    row = session.execute(
        text(query + held), {"tenant": address.tenant, "name": address.device}
    ).one_or_none()
    return None if row is None else Open(row.id, row.device_id, State(row.state), row.until)


def end(session: Session, flood: Open, state: State, condition: str, now: datetime, street: datetime) -> None:
    """It is over, and so is the condition that told of it."""
    session.execute(
        text("UPDATE flood SET state = :state, ended_at = :now WHERE id = :id"),
        {"state": state, "now": now, "id": flood.id},
    )
    session.execute(
        text(
            "UPDATE device_condition SET cleared_at = greatest(raised_at, CAST(:street AS timestamptz))"
            " WHERE device_id = :device AND code = :code AND source = 'server' AND cleared_at IS NULL"
        ),
        {"street": street, "device": flood.device_id, "code": condition},
    )


def clear_conditions(connection: Connection[Any], code: str, since: datetime, street: datetime) -> None:
    """Of devices without an open flood, and without any since that instant."""
    connection.execute(
        "UPDATE device_condition c SET cleared_at = greatest(c.raised_at, %s)"
        " WHERE code = %s AND source = 'server' AND cleared_at IS NULL AND NOT EXISTS (SELECT 1 FROM flood f"
        "  WHERE f.device_id = c.device_id AND (f.state IN ('seen', 'held') OR f.seen_at > %s))",
        (street, code, since),
    )


def forget(connection: Connection[Any], before: datetime, limit: int) -> int:
    """Delete what ended before that instant."""
    return connection.execute(
        "DELETE FROM flood WHERE id IN (SELECT id FROM flood WHERE ended_at < %s ORDER BY id LIMIT %s)",
        (before, limit),
    ).rowcount
