"""Queries of the commands slice: a session in, plain dataclasses out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, text
from sqlmodel import Session

from fleet_server.commands.rules import State
from fleet_server.db import EVERY_TENANT
from wire_contract.limits import FILE_PIECE_BYTES
from wire_contract.topics import Address


@dataclass(frozen=True)
class FileRecord:
    """The file of a command. pieces: how many are there, of how many. complete: all of them."""

    name: str
    size: int
    sha256: bytes
    pieces: int

    @property
    def of(self) -> int:
        return -(-self.size // FILE_PIECE_BYTES)

    @property
    def complete(self) -> bool:
        return self.pieces == self.of


@dataclass(frozen=True)
class CommandRecord:
    """A row of `command`, with its file where it brought one. late: said by the lamppost after it ended."""

    id: int
    address: Address
    name: str
    arguments: dict[str, str]
    state: State
    asked_by: str
    asked_at: datetime
    reason: str
    bulk: str | None
    not_before: datetime
    expires_at: datetime
    timeout_s: int
    sent_at: datetime | None
    sendings: int
    began_at: datetime | None
    ended_at: datetime | None
    detail: str
    result: dict[str, str]
    late: str
    canceled_by: str
    file: FileRecord | None


@dataclass(frozen=True)
class Target:
    """A lamppost that can be told something. waiting: its commands that have not ended."""

    id: int
    address: Address
    state: str
    waiting: int


@dataclass(frozen=True)
class NewOrder:
    """What is asked of one lamppost, or of each of many."""

    name: str
    arguments: dict[str, str]
    asked_by: str
    asked_at: datetime
    reason: str
    key: str
    digest: str
    bulk: str | None
    expires_at: datetime
    timeout: timedelta


@dataclass(frozen=True)
class Before:
    """What was asked for under a key. digest: "" where an older server wrote it down."""

    id: int
    bulk: str | None
    digest: str


@dataclass(frozen=True)
class NewCommand:
    """token: its id on the wire, made of random bits. not_before: when it may be sent."""

    target: Target
    token: str
    not_before: datetime


@dataclass(frozen=True)
class Wanted:
    """Which commands a list holds; None: all. tenant "*" is every one."""

    tenant: str = EVERY_TENANT
    address: Address | None = None
    states: Sequence[State] = ()
    bulk: str | None = None
    before_id: int | None = None
    limit: int = 100


_COMMANDS = """
SELECT c.id, d.tenant, d.name AS device, c.name, c.arguments, c.state, c.asked_by, c.asked_at, c.reason,
       c.bulk, c.not_before, c.expires_at, c.timeout_s, c.sent_at, c.sendings, c.began_at, c.ended_at,
       c.detail, c.result, c.late, c.canceled_by, f.name AS file, f.size, f.sha256,
       (SELECT count(*) FROM command_piece p WHERE p.command_id = f.command_id) AS pieces
FROM command c JOIN device d ON d.id = c.device_id LEFT JOIN command_file f ON f.command_id = c.id
"""


def targets(session: Session, addresses: Sequence[Address]) -> dict[Address, Target]:
    """The lampposts of these addresses that there are. Nobody shuts one out before the transaction ends."""
    rows = session.execute(
        text(
            "SELECT d.id, d.tenant, d.name, d.state, (SELECT count(*) FROM command c WHERE c.device_id = d.id"
            "   AND c.state IN ('queued', 'sent', 'received')) AS waiting"
            " FROM device d JOIN unnest(CAST(:tenants AS text[]), CAST(:names AS text[])) AS w(tenant, name)"
            " USING (tenant, name) FOR KEY SHARE OF d"
        ),
        {"tenants": [a.tenant for a in addresses], "names": [a.device for a in addresses]},
    )
    found = (Target(id_, Address(tenant, name), state, waiting) for id_, tenant, name, state, waiting in rows)
    return {target.address: target for target in found}


_ADD = """
INSERT INTO command (tenant, device_id, token, name, arguments, asked_by, asked_at, reason,
                     idempotency_key, digest, bulk, not_before, expires_at, timeout_s)
SELECT n.tenant, n.device_id, n.token, :name, CAST(:arguments AS jsonb), :asked_by, :asked_at, :reason, :key,
       :digest, :bulk, n.not_before, :expires_at, :timeout_s
FROM unnest(CAST(:tenants AS text[]), CAST(:devices AS int[]), CAST(:tokens AS text[]),
            CAST(:instants AS timestamptz[]))
     WITH ORDINALITY AS n(tenant, device_id, token, not_before, place)
ORDER BY n.place RETURNING id
"""


def add(session: Session, order: NewOrder, commands: Sequence[NewCommand]) -> list[int]:
    """Write down the same for each of `commands`; their ids."""
    given = {
        "name": order.name,
        "arguments": json.dumps(order.arguments),
        "asked_by": order.asked_by,
        "asked_at": order.asked_at,
        "reason": order.reason,
        "key": order.key,
        "digest": order.digest,
        "bulk": order.bulk,
        "expires_at": order.expires_at,
        "timeout_s": int(order.timeout.total_seconds()),
        "tenants": [each.target.address.tenant for each in commands],
        "devices": [each.target.id for each in commands],
        "tokens": [each.token for each in commands],
        "instants": [each.not_before for each in commands],
    }
    return list(session.execute(text(_ADD), given).scalars())


def lock_key(session: Session, asked_by: str, key: str) -> None:
    """Until the transaction ends nobody else asks for anything under this key."""
    session.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended(:by || ' ' || :key, 13))"),
        {"by": asked_by, "key": key},
    )


def keyed(
    session: Session, tenant: str, asked_by: str, key: str, address: Address | None = None
) -> Before | None:
    """The first that was asked for under this key: of this lamppost, or a bulk; of anybody where None."""
    query = text(
        "SELECT c.id, c.bulk, c.digest FROM command c JOIN device d ON d.id = c.device_id"
        " WHERE (c.tenant = :tenant OR :tenant = '*') AND c.asked_by = :by AND c.idempotency_key = :key"
        " AND (CAST(:of AS text) IS NULL OR c.bulk IS NOT NULL OR d.tenant = :of AND d.name = :device)"
        " ORDER BY c.id LIMIT 1"
    )
    given = {"tenant": tenant, "by": asked_by, "key": key, "of": None, "device": None}
    if address is not None:
        given |= {"of": address.tenant, "device": address.device}
    row = session.execute(query, given).one_or_none()
    return None if row is None else Before(*row)


def get(session: Session, tenant: str, command_id: int, *, locked: bool = False) -> CommandRecord | None:
    """One command of a tenant ("*": of any), locked until the transaction ends where it is to change."""
    query = _COMMANDS + " WHERE c.id = :id AND (d.tenant = :tenant OR :tenant = '*')"
    query += " FOR NO KEY UPDATE OF c" if locked else ""
    row = session.execute(text(query), {"id": command_id, "tenant": tenant}).one_or_none()
    return None if row is None else _record(row)


def listed(session: Session, wanted: Wanted) -> list[CommandRecord]:
    """Newest first."""
    where, given = ["true"], dict[str, Any](limit=wanted.limit)
    if wanted.tenant != EVERY_TENANT:
        where.append("c.tenant = :tenant AND d.tenant = :tenant")
        given["tenant"] = wanted.tenant
    if wanted.address is not None:
        where.append("d.tenant = :of AND d.name = :device")
        given |= {"of": wanted.address.tenant, "device": wanted.address.device}
    if wanted.states:
        where.append("c.state = ANY(CAST(:states AS text[]))")
        given["states"] = list(map(str, wanted.states))
    if wanted.bulk is not None:
        where.append("c.bulk = :bulk")
        given["bulk"] = wanted.bulk
    if wanted.before_id is not None:
        where.append("c.id < :before")
        given["before"] = wanted.before_id
    query = text(f"{_COMMANDS} WHERE {' AND '.join(where)} ORDER BY c.id DESC LIMIT :limit")
    return [_record(row) for row in session.execute(query, given)]


def counts(session: Session, tenant: str, bulk: str) -> dict[State, int]:
    """How many commands of a bulk are in which state."""
    query = text(
        "SELECT state, count(*) FROM command WHERE bulk = :bulk AND (tenant = :tenant OR :tenant = '*')"
        " GROUP BY state"
    )
    return {State(state): n for state, n in session.execute(query, {"bulk": bulk, "tenant": tenant})}


def cancel(session: Session, ids: Sequence[int], by: str, now: datetime, why: str = "") -> None:
    """End them as canceled; whoever calls has asked the table of states. why: where nobody canceled them."""
    session.execute(
        text(
            "UPDATE command SET state = :state, canceled_by = :by, ended_at = :now,"
            " detail = CASE WHEN sendings = 0 OR :why <> '' THEN :why"
            " ELSE 'it was sent: the lamppost may do it all the same' END"
            " WHERE id = ANY(CAST(:ids AS bigint[]))"
        ),
        {"state": State.CANCELED, "by": by, "now": now, "ids": list(ids), "why": why},
    )


def lock_bulk(session: Session, tenant: str, bulk: str) -> list[tuple[int, State]]:
    """Ids and states of a bulk's commands that have not ended, locked."""
    query = text(
        "SELECT id, state FROM command WHERE bulk = :bulk AND (tenant = :tenant OR :tenant = '*')"
        " AND state IN ('queued', 'sent', 'received') ORDER BY id FOR NO KEY UPDATE"
    )
    return [(id_, State(state)) for id_, state in session.execute(query, {"bulk": bulk, "tenant": tenant})]


def lock_device(session: Session, address: Address) -> list[tuple[int, State]]:
    """Ids and states of a lamppost's commands that have not ended, locked."""
    query = text(
        "SELECT c.id, c.state FROM command c JOIN device d ON d.id = c.device_id"
        " WHERE d.tenant = :tenant AND d.name = :device AND c.state IN ('queued', 'sent', 'received')"
        " ORDER BY c.id FOR NO KEY UPDATE OF c"
    )
    rows = session.execute(query, {"tenant": address.tenant, "device": address.device})
    return [(id_, State(state)) for id_, state in rows]


def content(session: Session, command_id: int) -> bytes:
    """The pieces of a command's file that are there, in their order."""
    query = text("SELECT data FROM command_piece WHERE command_id = :id ORDER BY index")
    return b"".join(bytes(data) for (data,) in session.execute(query, {"id": command_id}))


def _record(row: Row[Any]) -> CommandRecord:
    fields = dict(row._mapping)
    address = Address(fields.pop("tenant"), fields.pop("device"))
    name, size, sha256, pieces = (fields.pop(each) for each in ("file", "size", "sha256", "pieces"))
    file = None if name is None else FileRecord(name, size, bytes(sha256), pieces)
    return CommandRecord(address=address, state=State(fields.pop("state")), file=file, **fields)
