"""Tables of the access slice. Seen by `store.py` and by the migrations' test only.

All instants here are real time (never the demo's scaled clock): a session lasts a person's shift.
"""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from sqlalchemy import Boolean, ForeignKey, Index, Integer, LargeBinary, Text, UniqueConstraint
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import SQLModel

from fleet_server.columns import column, identity, instant, key


class Operator(SQLModel, table=True):
    """A person with a local account. Kept when disabled: what they did stays theirs."""

    __tablename__: ClassVar[str] = "operator"
    __table_args__ = (UniqueConstraint("name", name="operator_name_key"),)

    id: int = identity()
    name: str = column(Text)
    password_hash: str = column(Text)  # Argon2id, PHC string
    roles: list[str] = column(ARRAY(Text))
    disabled: bool = column(Boolean, default="false")
    created_at: datetime = instant(default="now()")


class OperatorSession(SQLModel, table=True):
    """Who is signed in. The token itself is nowhere: its SHA-256 is the key."""

    __tablename__: ClassVar[str] = "operator_session"
    __table_args__ = (Index("operator_session_operator_idx", "operator_id"),)

    token_hash: bytes = key(LargeBinary)
    operator_id: int = column(Integer, ForeignKey("operator.id", name="operator_session_operator_fkey"))
    created_at: datetime = instant()
    expires_at: datetime = instant()


class SignInFailure(SQLModel, table=True):
    """Attempts to sign in since the last that succeeded, per name and address. Forgotten after a day."""

    __tablename__: ClassVar[str] = "sign_in_failure"

    name: str = key(Text)
    address: str = key(Text)
    failures: int = column(Integer)
    last_at: datetime = instant()
