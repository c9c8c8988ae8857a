"""Tables of the audit log. Seen by `store.py` and by the migrations' test only.

Instants are real time. Rows of `audit_line` come by the function `audit_append` alone (migration 0009), which
numbers and chains them; triggers refuse to change or remove any that no signed checkpoint stands for.
"""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from sqlalchemy import BigInteger, Boolean, ForeignKey, Index, LargeBinary, Text
from sqlmodel import SQLModel

from fleet_server.columns import column, instant, key, maybe_instant, nullable


class AuditLine(SQLModel, table=True):
    """`body` is what happened, byte for byte what `hash` is of; at, tenant and action are copies from it."""

    __tablename__: ClassVar[str] = "audit_line"
    __table_args__ = (
        Index("audit_line_tenant_idx", "tenant", "number"),
        Index("audit_line_action_idx", "action", "number"),
        Index("audit_line_at_idx", "at"),
    )

    number: int = key(BigInteger)
    at: datetime = instant()
    tenant: str = column(Text)
    action: str = column(Text)
    body: str = column(Text)
    hash: bytes = column(LargeBinary)


class AuditPersonal(SQLModel, table=True):
    """A value that a line has a digest of. Erased: salt NULL, value the tombstone."""

    __tablename__: ClassVar[str] = "audit_personal"
    __table_args__ = (Index("audit_personal_value_idx", "value", postgresql_using="hash"),)

    number: int = key(
        BigInteger, ForeignKey("audit_line.number", name="audit_personal_line_fkey", ondelete="CASCADE")
    )
    name: str = key(Text)
    tenant: str = column(Text)
    salt: bytes | None = nullable(LargeBinary)
    value: str = column(Text)
    erased_at: datetime | None = maybe_instant()


class AuditHead(SQLModel, table=True):
    """One row: the newest line's number and hash. Number 0: none was ever written."""

    __tablename__: ClassVar[str] = "audit_head"

    one: bool = key(Boolean)
    number: int = column(BigInteger)
    hash: bytes = column(LargeBinary)


class AuditCheckpoint(SQLModel, table=True):
    """A signature over a line's number and hash. `retention`: the lines up to it may be gone."""

    __tablename__: ClassVar[str] = "audit_checkpoint"

    number: int = key(BigInteger)
    kind: str = key(Text)  # "checkpoint", "retention"
    at: datetime = instant()
    hash: bytes = column(LargeBinary)
    key_id: str = column(Text)
    signature: bytes = column(LargeBinary)
