"""Tables of the twin slice. Seen by its stores and by the migrations' test only.

A section is a flat JSON object, dotted key to value; beside it stands when each key changed (ISO 8601, the
street clock's).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import BigInteger, Boolean, ForeignKey, Index, Integer, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import SQLModel

from fleet_server.columns import column, document, identity, instant, key, maybe_instant, nullable


class DeviceTwin(SQLModel, table=True):
    """What one device is wished to do. `own`: its own section; `desired`: with what it inherits, as sent."""

    __tablename__: ClassVar[str] = "device_twin"
    __table_args__ = (
        Index("device_twin_due_idx", "due_at", postgresql_where=text("due_at IS NOT NULL")),
        Index("device_twin_stale_idx", "device_id", postgresql_where=text("stale")),
        Index("device_twin_tenant_idx", "tenant"),
    )

    device_id: int = key(Integer, ForeignKey("device.id", name="device_twin_device_fkey"))
    tenant: str = column(Text)
    revision: int = column(BigInteger, default="0")  # the etag: grows with tags, own and desired
    tags: dict[str, Any] = document()
    tags_at: dict[str, str] = document()
    own: dict[str, Any] = document()
    own_at: dict[str, str] = document()
    desired: dict[str, Any] = document()
    origin: dict[str, Any] = document()  # of each desired key: rules.Origin as JSON
    desired_version: int = column(BigInteger, default="0")
    stale: bool = column(Boolean, default="true")  # what it inherits may have changed
    acknowledged: int = column(BigInteger, default="0")
    acknowledged_desired: dict[str, Any] | None = nullable(JSONB)  # what it then had; NULL: not known
    due_at: datetime | None = maybe_instant()  # real time; NULL: it has what it should have
    sendings: int = column(Integer, default="0")  # of this version, since it was last heard of
    reported_at: dict[str, str] = document()
    acks: dict[str, Any] = document()  # key to {value, ac, av, ad}, as reported last


class TenantSetting(SQLModel, table=True):
    """What holds for every device of a tenant, where neither a group nor the device says otherwise."""

    __tablename__: ClassVar[str] = "tenant_setting"

    tenant: str = key(Text)
    revision: int = column(BigInteger, default="0")
    settings: dict[str, Any] = document()
    settings_at: dict[str, str] = document()


class DeviceGroup(SQLModel, table=True):
    """Devices of one tenant: listed (`query` NULL), or whoever the query fits."""

    __tablename__: ClassVar[str] = "device_group"
    __table_args__ = (UniqueConstraint("tenant", "name", name="device_group_tenant_name_key"),)

    id: int = identity()
    tenant: str = column(Text)
    name: str = column(Text)
    title: str = column(Text, default="''")
    query: str | None = nullable(Text)
    priority: int = column(Integer, default="0")
    revision: int = column(BigInteger, default="0")
    settings: dict[str, Any] = document()
    settings_at: dict[str, str] = document()
    created_at: datetime = instant(default="now()")
    slow_since: datetime | None = maybe_instant()  # its query holds the others up: looked at once a minute


class DeviceGroupMember(SQLModel, table=True):
    """Who is in it; of a query, as the worker role last found."""

    __tablename__: ClassVar[str] = "device_group_member"
    __table_args__ = (Index("device_group_member_device_idx", "device_id"),)

    group_id: int = key(
        Integer, ForeignKey("device_group.id", name="device_group_member_group_fkey", ondelete="CASCADE")
    )
    device_id: int = key(Integer, ForeignKey("device.id", name="device_group_member_device_fkey"))
    tenant: str = column(Text)
