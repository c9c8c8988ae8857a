"""Tables of the enrolment slice, seen by `store.py` and the migrations' test only. Instants are real time."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from sqlalchemy import (
    Boolean,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Text,
    UniqueConstraint,
    text,
)
from sqlmodel import SQLModel

from fleet_server.columns import column, identity, instant, key, maybe_instant, nullable


class ClaimBatch(SQLModel, table=True):
    """Claims issued in advance: a number of them, for one technician, a district and some days."""

    __tablename__: ClassVar[str] = "claim_batch"

    id: str = key(Text)
    tenant: str = column(Text)
    technician: str = column(Text)  # whose they are: an account's name
    district: str = column(Text, default="''")
    size: int = column(Integer)
    valid_from: datetime = instant()
    valid_until: datetime = instant()
    state: str = column(Text)  # batch_rules.BatchState
    reason: str = column(Text, default="''")
    created_by: str = column(Text)
    created_at: datetime = instant()


class Claim(SQLModel, table=True):
    """The permission for one lamppost to ask. The secret itself is nowhere."""

    __tablename__: ClassVar[str] = "claim"
    __table_args__ = (
        Index("claim_batch_idx", "batch", postgresql_where=text("batch IS NOT NULL")),
        Index(
            "claim_registered_key_idx",
            "registered_key",
            postgresql_where=text("registered_key IS NOT NULL"),
        ),
    )

    id: str = key(Text)
    secret_hash: bytes = column(LargeBinary)
    bound: bool = column(Boolean)  # made for one device name; else the device proposes its own
    replaces: bool = column(Boolean)  # may take the name of a lamppost that exists
    created_by: str = column(Text)
    created_at: datetime = instant()
    latitude: float | None = nullable(Float)  # where the lamppost will stand, as the technician declares it
    longitude: float | None = nullable(Float)
    district: str = column(Text, default="''")
    tenant: str = column(Text)
    way: str = column(Text, default="'claim'")  # accept_policy.Way
    batch: str | None = nullable(Text, ForeignKey("claim_batch.id", name="claim_batch_fkey"))
    registered_key: str | None = nullable(Text)  # fingerprint of the key that may ask without a secret
    not_before: datetime | None = maybe_instant()


class Enrolment(SQLModel, table=True):
    """What became of a claim: one row each, its state in `rules.State`."""

    __tablename__: ClassVar[str] = "enrolment"
    __table_args__ = (
        UniqueConstraint("claim_id", name="enrolment_claim_key"),
        Index(
            "enrolment_open_name_key",
            "tenant",
            "device",
            unique=True,
            postgresql_where=text("state IN ('claimed', 'pending', 'accepted')"),
        ),
        Index(
            "enrolment_due_idx",
            "expires_at",
            postgresql_where=text("state IN ('claimed', 'suspended', 'pending')"),
        ),
    )

    id: int = identity()
    claim_id: str = column(Text, ForeignKey("claim.id", name="enrolment_claim_fkey"))
    state: str = column(Text)  # rules.State
    tenant: str = column(Text)
    device: str | None = nullable(Text)  # NULL while a free claim has not been used
    site: str = column(Text, default="''")
    key_fingerprint: str = column(Text, default="''")
    csr: bytes | None = nullable(LargeBinary)  # PKCS#10, DER
    requested_at: datetime | None = maybe_instant()
    expires_at: datetime = instant()  # of the claim, then of the pending request
    decided_by: str = column(Text, default="''")
    decided_at: datetime | None = maybe_instant()
    reason: str = column(Text, default="''")
    chain_pem: str = column(Text, default="''")
    known: bool = column(Boolean, default="false")  # there was a lamppost of this name with another key
    old_serial: str = column(Text, default="''")  # of the expired certificate whose key signed the request


class Certificate(SQLModel, table=True):
    """Every certificate issued to a device, so that a lost one can be revoked."""

    __tablename__: ClassVar[str] = "certificate"
    __table_args__ = (Index("certificate_device_idx", "tenant", "device"),)

    serial: str = key(Text)  # lower-case hex: up to 160 bits
    tenant: str = column(Text)
    device: str = column(Text)
    key_fingerprint: str = column(Text)
    issued_at: datetime = instant()
    not_after: datetime = instant()
    revoked_at: datetime | None = maybe_instant()  # or on hold since
    # RFC 5280's word; '': not revoked, or by a version that did not say
    revocation: str = column(Text, default="''")


class ClaimAlarm(SQLModel, table=True):
    """Somebody showed a claim that another key had used."""

    __tablename__: ClassVar[str] = "claim_alarm"
    __table_args__ = (UniqueConstraint("claim_id", "key_fingerprint", name="claim_alarm_key"),)

    id: int = identity()
    tenant: str = column(Text)
    claim_id: str = column(Text, ForeignKey("claim.id", name="claim_alarm_claim_fkey"))
    device: str = column(Text, default="''")
    key_fingerprint: str = column(Text)  # of the key that came second
    at: datetime = instant()
    seen_by: str = column(Text, default="''")
    seen_at: datetime | None = maybe_instant()
