"""Tables of the commands slice, seen by `store.py` and the migrations' test only. Instants are real time."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from sqlalchemy import (
    BigInteger,
    Boolean,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Text,
    text,
)
from sqlmodel import SQLModel

from fleet_server.columns import column, document, identity, instant, key, maybe_instant, nullable

OPEN = "state IN ('queued', 'sent', 'received')"


class Command(SQLModel, table=True):
    """One thing that one lamppost is told to do. `token` is its id on the wire."""

    __tablename__: ClassVar[str] = "command"
    __table_args__ = (
        Index("command_token_key", "token", unique=True),
        Index("command_open_idx", "device_id", "id", postgresql_where=text(OPEN)),
        Index("command_due_idx", "id", postgresql_where=text(f"{OPEN} AND NOT waits")),
        Index("command_ends_idx", "state", "expires_at", postgresql_where=text(OPEN)),
        Index("command_device_idx", "device_id", "id"),
        Index("command_tenant_idx", "tenant", "id"),
        Index("command_bulk_idx", "bulk", postgresql_where=text("bulk IS NOT NULL")),
        Index(
            "command_idempotency_key",
            *("tenant", "asked_by", "idempotency_key", "device_id"),
            unique=True,
            postgresql_where=text("idempotency_key <> ''"),
        ),
    )

    id: int = identity(big=True)
    tenant: str = column(Text)
    device_id: int = column(Integer, ForeignKey("device.id", name="command_device_fkey"))
    token: str = column(Text)
    name: str = column(Text)  # wire_contract's CommandName
    arguments: dict[str, str] = document()
    state: str = column(Text, default="'queued'")  # rules.State
    asked_by: str = column(Text)
    asked_at: datetime = instant()
    reason: str = column(Text, default="''")
    idempotency_key: str = column(Text, default="''")
    digest: str = column(Text, default="''")  # of what was asked for under the key (rules.digest)
    bulk: str | None = nullable(Text)  # of all that were asked for in one call
    not_before: datetime = instant()
    waits: bool = column(Boolean, default="false")  # for its lamppost's next connection
    expires_at: datetime = instant()
    timeout_s: int = column(Integer)
    sent_at: datetime | None = maybe_instant()  # last
    sent_session: int | None = nullable(BigInteger)  # the lamppost's connection that it was sent to
    sendings: int = column(Integer, default="0")
    began_at: datetime | None = maybe_instant()
    ended_at: datetime | None = maybe_instant()
    detail: str = column(Text, default="''")
    result: dict[str, str] = document()
    late: str = column(Text, default="''")  # what the lamppost said after it had ended
    canceled_by: str = column(Text, default="''")


class CommandFile(SQLModel, table=True):
    """The file that a command brought, or is bringing. It is whole when all its pieces are there."""

    __tablename__: ClassVar[str] = "command_file"

    command_id: int = key(
        BigInteger, ForeignKey("command.id", name="command_file_command_fkey", ondelete="CASCADE")
    )
    tenant: str = column(Text)
    name: str = column(Text)
    size: int = column(Integer)  # bytes
    sha256: bytes = column(LargeBinary)
    came_at: datetime = instant()  # its first piece


class CommandPiece(SQLModel, table=True):
    """FILE_PIECE_BYTES of a file; the last one has the rest."""

    __tablename__: ClassVar[str] = "command_piece"

    command_id: int = key(
        BigInteger, ForeignKey("command_file.command_id", name="command_piece_file_fkey", ondelete="CASCADE")
    )
    index: int = key(SmallInteger)
    tenant: str = column(Text)
    data: bytes = column(LargeBinary)
