"""Tables of the access slice. Seen by the stores and by the migrations' test only.

All instants here are real time (never the demo's scaled clock): a session lasts a person's shift.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import Field, SQLModel

from fleet_server.columns import column, identity, instant, key, maybe_instant, nullable


def _operator(table: str) -> ForeignKey:
    return ForeignKey("operator.id", name=f"{table}_operator_fkey")


def _number() -> Any:
    kind = Column("number", Integer, Identity(always=True), nullable=False)
    return Field(default=None, sa_column=kind)


class Operator(SQLModel, table=True):
    """A person's account, or a machine's. Kept when disabled: what they did stays theirs."""

    __tablename__: ClassVar[str] = "operator"
    __table_args__ = (UniqueConstraint("name", name="operator_name_key"),)

    id: int = identity()
    name: str = column(Text)
    # Argon2id, PHC string; none: signs in by OpenID Connect, or never (a machine's, with tokens)
    password_hash: str | None = nullable(Text)
    disabled: bool = column(Boolean, default="false")
    created_at: datetime = instant(default="now()")
    must_change_password: bool = column(Boolean, default="false")  # somebody else chose it


class OperatorGrant(SQLModel, table=True):
    """An account's roles in a tenant ("*": in every one). source: "local", given here; "oidc", by its
    groups."""

    __tablename__: ClassVar[str] = "operator_grant"

    operator_id: int = key(Integer, _operator("operator_grant"))
    tenant: str = key(Text)
    source: str = key(Text)
    roles: list[str] = column(ARRAY(Text))


class OperatorIdentity(SQLModel, table=True):
    """Whom an OpenID provider means. The pair is the person; names and addresses change hands."""

    __tablename__: ClassVar[str] = "operator_identity"

    issuer: str = key(Text)
    subject: str = key(Text)
    operator_id: int = column(Integer, _operator("operator_identity"))
    linked_at: datetime = instant()


class OperatorSession(SQLModel, table=True):
    """Who is signed in. The token itself is nowhere: its SHA-256 is the key."""

    __tablename__: ClassVar[str] = "operator_session"
    __table_args__ = (Index("operator_session_operator_idx", "operator_id"),)

    token_hash: bytes = key(LargeBinary)
    operator_id: int = column(Integer, _operator("operator_session"))
    created_at: datetime = instant()
    expires_at: datetime = instant()
    number: int = _number()  # what it is called in a list
    tenant: str = column(Text, default="'*'")
    via: str = column(Text, default="'password'")
    address: str = column(Text, default="''")
    agent: str = column(Text, default="''")  # what the browser calls itself
    provider_session: str = column(Text, default="''")  # `sid` of the OpenID provider


class AccountHand(SQLModel, table=True):
    """Somebody made another's account, set its password, took its second factor or made it an approver."""

    __tablename__: ClassVar[str] = "account_hand"

    id: int = identity()
    operator_id: int = column(Integer, _operator("account_hand"))
    by_id: int = column(Integer, ForeignKey("operator.id", name="account_hand_by_fkey"))
    what: str = column(Text)
    at: datetime = instant()


class TwoPersonHold(SQLModel, table=True):
    """When a tenant last had two who could agree, before an account was changed."""

    __tablename__: ClassVar[str] = "two_person_hold"

    tenant: str = key(Text)
    held_at: datetime = instant()


class ProviderLogout(SQLModel, table=True):
    """A logout token of the OpenID provider that was used, until it is too old to be used again."""

    __tablename__: ClassVar[str] = "provider_logout"

    token_hash: bytes = key(LargeBinary)  # SHA-256 of issuer and `jti`
    expires_at: datetime = instant()


class SignInFailure(SQLModel, table=True):
    """Attempts to sign in since the last that succeeded, per name and address. Forgotten after a day.

    The name "*" stands for everybody from that address.
    """

    __tablename__: ClassVar[str] = "sign_in_failure"

    name: str = key(Text)
    address: str = key(Text)
    failures: int = column(Integer)
    last_at: datetime = instant()


class SecondFactor(SQLModel, table=True):
    """The key of somebody's authenticator (RFC 6238), sealed; not asked for before it is confirmed."""

    __tablename__: ClassVar[str] = "second_factor"

    operator_id: int = key(Integer, _operator("second_factor"))
    sealed: bytes = column(LargeBinary)
    created_at: datetime = instant()
    confirmed_at: datetime | None = maybe_instant()
    last_step: int = column(BigInteger, default="0")  # the newest step whose code was used


class RecoveryCode(SQLModel, table=True):
    """A code for the day the authenticator is lost. SHA-256: it has 80 random bits."""

    __tablename__: ClassVar[str] = "recovery_code"

    operator_id: int = key(Integer, _operator("recovery_code"))
    code_hash: bytes = key(LargeBinary)
    used_at: datetime | None = maybe_instant()


class SignInTicket(SQLModel, table=True):
    """The password was right, the second factor is still to come."""

    __tablename__: ClassVar[str] = "sign_in_ticket"

    ticket_hash: bytes = key(LargeBinary)
    operator_id: int = column(Integer, _operator("sign_in_ticket"))
    wanted: str = column(Text)  # the tenant
    expires_at: datetime = instant()
    failures: int = column(Integer, default="0")


class SignInFlow(SQLModel, table=True):
    """Somebody was sent to the OpenID provider and is expected back, once."""

    __tablename__: ClassVar[str] = "sign_in_flow"

    state_hash: bytes = key(LargeBinary)
    binding_hash: bytes = column(LargeBinary)  # of what only that browser has
    nonce: str = column(Text)
    verifier: str = column(Text)
    wanted: str = column(Text)  # the page
    expires_at: datetime = instant()


class ApiToken(SQLModel, table=True):
    """A machine's permission. The token itself is nowhere: its SHA-256 is here."""

    __tablename__: ClassVar[str] = "api_token"
    __table_args__ = (
        UniqueConstraint("token_hash", name="api_token_hash_key"),
        Index("api_token_tenant_idx", "tenant", "id"),
    )

    id: int = identity()
    tenant: str = column(Text)
    operator_id: int = column(Integer, _operator("api_token"))
    name: str = column(Text)
    roles: list[str] = column(ARRAY(Text))
    scopes: list[str] = column(ARRAY(Text))
    token_hash: bytes = column(LargeBinary)
    created_by: str = column(Text)
    created_at: datetime = instant()
    expires_at: datetime = instant()
    last_used_at: datetime | None = maybe_instant()
    revoked_at: datetime | None = maybe_instant()
    revoked_by: str = column(Text, default="''")


class SecondPersonRequest(SQLModel, table=True):
    """What one person wants to do and a second has to agree to (two_person_rules.py has its states)."""

    __tablename__: ClassVar[str] = "second_person_request"
    __table_args__ = (Index("second_person_request_tenant_idx", "tenant", "id"),)

    id: int = identity()
    tenant: str = column(Text)
    action: str = column(Text)
    resource: str = column(Text)
    digest: bytes = column(LargeBinary)
    what: str = column(Text)
    reason: str = column(Text)
    state: str = column(Text)
    asked_by: str = column(Text)
    asked_at: datetime = instant()
    expires_at: datetime = instant()
    decided_by: str = column(Text, default="''")
    decided_at: datetime | None = maybe_instant()
    note: str = column(Text, default="''")
