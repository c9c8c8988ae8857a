"""What a device reports of its settings, taken in within the ingest's transaction; never commits."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from psycopg import Cursor
from psycopg.types.json import Jsonb

from fleet_server.devices.rules import report_counts
from fleet_server.twin import rules
from fleet_server.twin.rules import Sync
from wire_contract.messages import TwinReported


def hear(cursor: Cursor[Any], device_id: int, said: TwinReported, now: datetime) -> None:
    """Call it before `devices.reported.twin` writes the report down. now: the street clock's.

    A report that says nothing new still says that the device is there and what it has not got.
    """
    cursor.execute(
        "SELECT reported, reported_version, reported_epoch IS NOT DISTINCT FROM epoch, tenant FROM device"
        " WHERE id = %s FOR NO KEY UPDATE",
        (device_id,),
    )
    row = cursor.fetchone()
    assert row is not None
    reported, version, same_epoch, tenant = row
    if not report_counts(version, said.version, same_epoch=same_epoch):
        if said.version == version:
            _asked_again(cursor, device_id)
        return
    cursor.execute(
        "INSERT INTO device_twin (device_id, tenant) VALUES (%s, %s) ON CONFLICT DO NOTHING",
        (device_id, tenant),
    )
    cursor.execute(
        "SELECT desired, desired_version, acknowledged, acknowledged_desired, due_at IS NOT NULL, sendings,"
        " reported_at, acks <> '{}' FROM device_twin WHERE device_id = %s FOR UPDATE",
        (device_id,),
    )
    row = cursor.fetchone()
    assert row is not None
    *sync, at, had_acks = row
    before = Sync(*sync) if same_epoch else replace(Sync(*sync), had=None)
    forgot = said.acks is None and had_acks
    after = rules.heard(before, said.acknowledged, rules.wishes_of(said), forgot=forgot)
    reported_at = rules.changed_at(reported, said.document, at, now)
    _save(cursor, device_id, before, after, reported_at, rules.acks_of(said), reported != said.document)


def connected(cursor: Cursor[Any], device_id: int) -> None:
    """The device is there: what waited for it is due. After its presence is written."""
    cursor.execute(
        "UPDATE device_twin SET due_at = now() WHERE device_id = %s AND due_at = 'infinity'", (device_id,)
    )


def _save(
    cursor: Cursor[Any],
    device_id: int,
    before: Sync,
    after: Sync,
    reported_at: dict[str, str],
    acks: dict[str, rules.Json],
    changed: bool,
) -> None:
    """changed: it reports something else, so its groups may be others, and what it inherits."""
    cursor.execute(
        "UPDATE device_twin SET desired_version = %s, revision = revision + %s, acknowledged = %s,"
        " acknowledged_desired = %s, sendings = %s, reported_at = %s, acks = %s, stale = stale OR %s,"
        " due_at = CASE WHEN %s THEN now() + %s * interval '1 second' END WHERE device_id = %s",
        (
            after.version,
            int(after.version != before.version),
            after.acknowledged,
            None if after.had is None else Jsonb(dict(after.had)),
            after.sendings,
            Jsonb(reported_at),
            Jsonb(acks),
            changed,
            after.due,
            rules.asked_again_after_s(after.sendings),
            device_id,
        ),
    )


def _asked_again(cursor: Cursor[Any], device_id: int) -> None:
    cursor.execute(
        "UPDATE device_twin"
        " SET due_at = least(due_at, now() + least(%s, %s * sendings) * interval '1 second')"
        " WHERE device_id = %s AND due_at IS NOT NULL",
        (rules.LONGEST_RESEND_S, rules.ASKED_AGAIN_S, device_id),
    )
