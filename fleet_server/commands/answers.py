"""What lampposts answer to commands, written inside the ingest's transaction.

Takes a psycopg cursor, never commits. Words come late, twice and out of order; `rules.step` says what counts.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from psycopg import Cursor
from psycopg.types.json import Jsonb

from fleet_server.commands import rules
from fleet_server.commands.rules import ENDS, Event, Refusal, State
from wire_contract.messages import CommandName, CommandReply, FilePiece


def connected(cursor: Cursor[Any], device_id: int) -> None:
    """The lamppost is there: what waited for it is to be looked at again. After its presence is written."""
    cursor.execute(
        "UPDATE command SET waits = false WHERE device_id = %s AND waits"
        " AND state IN ('queued', 'sent', 'received')",
        (device_id,),
    )


_LOST = "it began, and then knew nothing of it: its storage was replaced meanwhile"


def answered(cursor: Cursor[Any], device_id: int, said: CommandReply, now: datetime) -> bool:
    """Take a lamppost's word on a command; False where it is of none that it was asked. now: real time."""
    cursor.execute(
        "SELECT id, state FROM command WHERE token = %s AND device_id = %s FOR NO KEY UPDATE",
        (said.command, device_id),
    )
    row = cursor.fetchone()
    if row is None:
        return False
    command_id, before = row[0], State(row[1])
    event = rules.event_of(said.outcome, ok=said.ok)
    after = rules.step(before, event)
    if isinstance(after, Refusal):
        _note_late(cursor, command_id, before, event, said)
    elif after in ENDS:
        detail = _LOST if event is Event.TOO_LATE and before is State.RECEIVED else said.detail
        cursor.execute(
            "UPDATE command SET state = %s, detail = %s, result = %s, ended_at = %s,"
            " began_at = CASE WHEN %s THEN coalesce(began_at, %s) END WHERE id = %s",
            (after, detail, Jsonb(said.result), now, after in _BEGUN, now, command_id),
        )
    elif after is not before:
        cursor.execute("UPDATE command SET state = %s, began_at = %s WHERE id = %s", (after, now, command_id))
    return True


_BEGUN = (State.SUCCEEDED, State.FAILED)


def _note_late(cursor: Cursor[Any], command_id: int, state: State, event: Event, said: CommandReply) -> None:
    """The same end told again is no news, nor is a beginning."""
    if event is not Event.BEGIN and rules.step(State.SENT, event) is not state:
        told = f"{said.outcome or ('succeeded' if said.ok else 'failed')}: {said.detail}"
        cursor.execute("UPDATE command SET late = %s WHERE id = %s", (told, command_id))


def piece(cursor: Cursor[Any], device_id: int, said: FilePiece, now: datetime) -> bool:
    """Keep a piece of a file; False where no command of this lamppost brings such a file.

    Files of one lamppost are bounded by its commands, each by the wire's limits. The first piece says what
    the whole is; one of another whole is not taken.
    """
    cursor.execute(
        "SELECT id, tenant, name FROM command WHERE token = %s AND device_id = %s", (said.command, device_id)
    )
    row = cursor.fetchone()
    if row is None or rules.RULES[CommandName(row[2])].brings != said.name:
        return False
    command_id, tenant, _ = row
    cursor.execute(
        "INSERT INTO command_file (command_id, tenant, name, size, sha256, came_at)"
        " VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
        (command_id, tenant, said.name, said.size, said.sha256, now),
    )
    cursor.execute(
        "INSERT INTO command_piece (command_id, index, tenant, data)"
        " SELECT command_id, %s, tenant, %s FROM command_file"
        " WHERE command_id = %s AND size = %s AND sha256 = %s ON CONFLICT DO NOTHING",
        (said.index, said.data, command_id, said.size, said.sha256),
    )
    return True
