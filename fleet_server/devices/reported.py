"""What devices tell of themselves, written inside the ingest's transaction: sensors, presence, conditions.

The hot path's part of the store: takes a psycopg connection or cursor, never commits.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg import Cursor
from psycopg.types.json import Jsonb

from fleet_server.devices.rules import (
    SEEN_EVERY_S,
    DeviceState,
    PresenceMark,
    PresenceState,
    cell_told,
    presence_counts,
    report_counts,
)
from wire_contract.messages import CommandReply, Condition, Presence, SensorDeclaration, TwinReported
from wire_contract.topics import Address


@dataclass(frozen=True, slots=True)
class KnownDevice:
    id: int
    address: Address
    state: DeviceState


def find_devices(cursor: Cursor[Any], addresses: Iterable[Address]) -> dict[Address, KnownDevice]:
    """The devices of these addresses. One that nobody registered is written down as quarantined.

    Its certificate is ours (the broker let it in), so an operator must see it; its data waits in the dead
    letters.
    """
    wanted = sorted(set(addresses), key=str)
    if not wanted:
        return {}
    found = _select(cursor, wanted)
    missing = [address for address in wanted if address not in found]
    if missing:
        cursor.execute(
            "INSERT INTO device (tenant, name, state)"
            " SELECT t, d, %s FROM unnest(%s::text[], %s::text[]) AS m(t, d) ON CONFLICT DO NOTHING",
            (DeviceState.QUARANTINED, [a.tenant for a in missing], [a.device for a in missing]),
        )
        found |= _select(cursor, missing)
    return found


def _select(cursor: Cursor[Any], addresses: Sequence[Address]) -> dict[Address, KnownDevice]:
    cursor.execute(
        "SELECT id, tenant, name, state FROM device"
        " JOIN unnest(%s::text[], %s::text[]) AS w(tenant, name) USING (tenant, name)",
        ([a.tenant for a in addresses], [a.device for a in addresses]),
    )
    known = (KnownDevice(id_, Address(t, n), DeviceState(state)) for id_, t, n, state in cursor)
    return {device.address: device for device in known}


def declare(cursor: Cursor[Any], device_id: int, epoch: bytes, said: SensorDeclaration, layout: str) -> int:
    """Write down a sensor unit, its key within the epoch and its series; returns the sensor unit's id.

    The same kind, serial, site and layout is the same unit, whatever the epoch and the key.
    """
    declared_at = datetime.fromtimestamp(said.time_ms / 1000, UTC)
    cursor.execute(
        "INSERT INTO sensor_unit AS u (device_id, kind, serial, site, layout, declared_at, retention)"
        " SELECT d.id, %s, %s, %s, %s, %s, coalesce(r.class, 'standard')"
        " FROM device d LEFT JOIN retention_rule r ON r.tenant = d.tenant AND r.kind = %s WHERE d.id = %s"
        " ON CONFLICT (device_id, kind, serial, site, layout)"
        " DO UPDATE SET declared_at = greatest(u.declared_at, excluded.declared_at) RETURNING id",
        (said.kind, said.serial, said.site, layout, declared_at, said.kind, device_id),
    )
    row = cursor.fetchone()
    assert row is not None
    unit: int = row[0]
    cursor.execute(
        "INSERT INTO unit_key (device_id, epoch, key, sensor_unit_id) VALUES (%s, %s, %s, %s)"
        " ON CONFLICT (device_id, epoch, key) DO UPDATE SET sensor_unit_id = excluded.sensor_unit_id",
        (device_id, epoch, said.unit, unit),
    )
    cursor.execute(
        "INSERT INTO series (sensor_unit_id, slot, channel, unit, exponent)"
        " SELECT %s, * FROM unnest(%s::int[], %s::text[], %s::text[], %s::int[]) ON CONFLICT DO NOTHING",
        (
            unit,
            list(range(len(said.slots))),
            [slot.channel for slot in said.slots],
            [slot.unit for slot in said.slots],
            [slot.exponent for slot in said.slots],
        ),
    )
    return unit


def reply(cursor: Cursor[Any], device_id: int, said: CommandReply, now: datetime) -> None:
    """Keep a device's answer to a command."""
    cursor.execute(
        "INSERT INTO command_reply (device_id, command, ok, detail, replied_at) VALUES (%s, %s, %s, %s, %s)",
        (device_id, said.command, said.ok, said.detail, now),
    )


def presence(cursor: Cursor[Any], device_id: int, said: Presence, now: datetime) -> bool:
    """Write down a birth or a will, unless it comes too late to count. True where it counted.

    now: the street clock's; a will's own time is when it was left with the broker, so `now` is when it fell.
    """
    cursor.execute(
        "SELECT presence_session, presence, presence_at, epoch FROM device WHERE id = %s FOR NO KEY UPDATE",
        (device_id,),
    )
    row = cursor.fetchone()
    assert row is not None
    session, state, at, epoch = row
    stored = None
    if session is not None:
        stored = PresenceMark(session, state == PresenceState.ONLINE, int(at.timestamp() * 1000))
    told = PresenceMark(said.session, said.online, said.time_ms)
    if not presence_counts(stored, told, same_epoch=epoch == said.epoch):
        return False
    if not said.online:
        cursor.execute(
            "UPDATE device SET presence = %s, presence_session = %s, presence_at = %s WHERE id = %s",
            (PresenceState.OFFLINE, said.session, now, device_id),
        )
        return True
    cursor.execute(
        # a restored card counts its reports from an earlier number: a new connection's first one counts
        "UPDATE device SET presence = %s, reported_version ="
        " CASE WHEN presence_session IS NOT DISTINCT FROM %s THEN reported_version END,"
        " presence_session = %s, presence_at = %s, epoch = %s,"
        " agent_version = %s, clock_ok = %s, settings = %s, backlog = %s, cell = %s"
        # by the street's clock: from when on it stands there
        " FROM (SELECT set_config('lamppost.now', %s, true)) AS clock WHERE id = %s",
        (
            PresenceState.ONLINE,
            said.session,
            said.session,
            datetime.fromtimestamp(said.time_ms / 1000, UTC),
            said.epoch,
            said.version,
            said.clock_ok,
            Jsonb(said.settings),
            Jsonb(said.backlog),
            cell_told(said.settings),
            now.isoformat(),
            device_id,
        ),
    )
    _replace_conditions(cursor, device_id, said, now)
    return True


def twin(cursor: Cursor[Any], device_id: int, said: TwinReported) -> bool:
    """Write down what a device reports of its settings; True where it counted: nothing newer was there."""
    cursor.execute(
        "SELECT reported_version, reported_epoch IS NOT DISTINCT FROM epoch FROM device"
        " WHERE id = %s FOR NO KEY UPDATE",
        (device_id,),
    )
    row = cursor.fetchone()
    assert row is not None
    version, same_epoch = row
    if not report_counts(version, said.version, same_epoch=same_epoch):
        return False
    cursor.execute(
        "UPDATE device SET reported = %s, reported_version = %s, reported_acknowledged = %s,"
        " reported_epoch = epoch WHERE id = %s",
        (Jsonb(said.document), said.version, said.acknowledged, device_id),
    )
    return True


def _replace_conditions(cursor: Cursor[Any], device_id: int, said: Presence, now: datetime) -> None:
    """A birth tells every condition that holds: the device's others are over."""
    active = [condition for condition in said.conditions if condition.active]
    cursor.execute(
        "UPDATE device_condition SET cleared_at = greatest(raised_at, %s)"
        " WHERE device_id = %s AND cleared_at IS NULL AND source = 'device'"
        " AND (code, subject) NOT IN (SELECT * FROM unnest(%s::text[], %s::text[]))",
        (now, device_id, [c.code for c in active], [c.subject for c in active]),
    )
    conditions(cursor, device_id, active, now)


def conditions(
    cursor: Cursor[Any], device_id: int, told: Sequence[Condition], now: datetime, source: str = "device"
) -> None:
    """Raise and clear conditions. They may come late and twice: what is newer stands.

    A time that cannot be right (the condition may be that the clock is wrong) is replaced by `now`.
    """
    for condition in sorted(told, key=lambda c: c.time_ms):
        at = _plausible(condition.time_ms, now)
        if condition.active:
            _raise(cursor, device_id, condition, at, source)
        else:
            _clear(cursor, device_id, condition, at, source)


def _raise(cursor: Cursor[Any], device_id: int, said: Condition, at: datetime, source: str) -> None:
    what = {
        "device": device_id,
        "code": said.code,
        "subject": said.subject,
        "severity": said.severity,
        "detail": said.detail,
        "remedy": said.remedy,
        "source": source,
        "at": at,
    }
    cursor.execute(  # its clearing may have come first: the line that left has no beginning of its own yet
        "UPDATE device_condition SET raised_at = %(at)s WHERE raised_at = cleared_at AND id = ("
        " SELECT id FROM device_condition WHERE device_id = %(device)s AND code = %(code)s"
        " AND subject = %(subject)s AND cleared_at >= %(at)s ORDER BY cleared_at, id LIMIT 1)",
        what,
    )
    cursor.execute(
        "INSERT INTO device_condition (device_id, code, subject, severity, detail, remedy, source, raised_at)"
        " SELECT %(device)s, %(code)s, %(subject)s, %(severity)s, %(detail)s, %(remedy)s, %(source)s, %(at)s"
        " WHERE NOT EXISTS (SELECT 1 FROM device_condition WHERE device_id = %(device)s AND code = %(code)s"
        "   AND subject = %(subject)s AND cleared_at >= %(at)s)"
        " ON CONFLICT (device_id, code, subject) WHERE cleared_at IS NULL DO UPDATE SET"
        " severity = excluded.severity, detail = excluded.detail, remedy = excluded.remedy",
        what,
    )


def _clear(cursor: Cursor[Any], device_id: int, said: Condition, at: datetime, source: str) -> None:
    """Clearing one that was never raised leaves a closed line: its raising may still be on the way."""
    what = {"device": device_id, "code": said.code, "subject": said.subject, "at": at}
    cursor.execute(
        "UPDATE device_condition SET cleared_at = %(at)s WHERE device_id = %(device)s AND code = %(code)s"
        " AND subject = %(subject)s AND cleared_at IS NULL AND raised_at <= %(at)s",
        what,
    )
    if cursor.rowcount == 0:
        cursor.execute(
            "INSERT INTO device_condition"
            " (device_id, code, subject, severity, detail, remedy, source, raised_at, cleared_at)"
            " SELECT %(device)s, %(code)s, %(subject)s, %(severity)s, %(detail)s, %(remedy)s, %(source)s,"
            " %(at)s, %(at)s WHERE NOT EXISTS (SELECT 1 FROM device_condition WHERE device_id = %(device)s"
            "   AND code = %(code)s AND subject = %(subject)s"
            "   AND (cleared_at IS NULL OR cleared_at >= %(at)s))",
            {
                **what,
                "severity": said.severity,
                "detail": said.detail,
                "remedy": said.remedy,
                "source": source,
            },
        )


def _plausible(time_ms: int, now: datetime) -> datetime:
    told = datetime.fromtimestamp(time_ms / 1000, UTC)
    return now if told.year < 2020 or told > now + timedelta(days=1) else told


def seen(cursor: Cursor[Any], device_ids: Iterable[int], now: datetime) -> None:
    """Move `last_seen_at` on, where it is old enough to be worth a row."""
    ids = sorted(set(device_ids))
    old = now - timedelta(seconds=SEEN_EVERY_S)
    cursor.execute(
        "UPDATE device SET last_seen_at = %(now)s WHERE id IN ("
        " SELECT id FROM device WHERE id = ANY(%(ids)s) AND (last_seen_at IS NULL OR last_seen_at < %(old)s)"
        " ORDER BY id FOR NO KEY UPDATE)",
        {"now": now, "ids": ids, "old": old},
    )
