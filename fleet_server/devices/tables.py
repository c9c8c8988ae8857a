"""Tables of the devices slice. Seen by `store.py` and by the migrations' test only."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import (
    BigInteger,
    Boolean,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Text,
    UniqueConstraint,
    text,
)
from sqlmodel import SQLModel

from fleet_server.columns import column, document, identity, instant, key, maybe_instant, nullable


class Device(SQLModel, table=True):
    """One lamppost computer. `state` is what people decided, `presence` what the device last told."""

    __tablename__: ClassVar[str] = "device"
    __table_args__ = (UniqueConstraint("tenant", "name", name="device_tenant_name_key"),)

    id: int = identity()
    tenant: str = column(Text)
    name: str = column(Text)
    state: str = column(Text, default="'active'")  # rules.DeviceState
    site: str = column(Text, default="''")
    created_at: datetime = instant(default="now()")
    presence: str = column(Text, default="'never'")  # rules.PresenceState
    presence_session: int | None = nullable(BigInteger)
    presence_at: datetime | None = maybe_instant()  # street clock
    last_seen_at: datetime | None = maybe_instant()  # street clock
    agent_version: str = column(Text, default="''")
    clock_ok: bool | None = nullable(Boolean)
    epoch: bytes | None = nullable(LargeBinary)
    settings: dict[str, str] = document()
    backlog: dict[str, int] = document()
    reported: dict[str, Any] = document()  # up/twin: dotted key to value
    reported_version: int | None = nullable(BigInteger)
    reported_acknowledged: int | None = nullable(BigInteger)  # the last desired version it takes in
    reported_epoch: bytes | None = nullable(LargeBinary)  # the device's when it reported
    latitude: float | None = nullable(Float)  # as people declared it; the device never tells where it is
    longitude: float | None = nullable(Float)
    district: str = column(Text, default="''")
    cell: str = column(Text, default="''")  # the geohash that the device tells of itself


class DevicePlace(SQLModel, table=True):
    """Where a device stood, from `since` up to `until`: written by triggers of `device`, by nobody else.

    The first one is since ever ('-infinity'), the present one until ever ('infinity').
    """

    __tablename__: ClassVar[str] = "device_place"
    __table_args__ = (UniqueConstraint("device_id", "until", name="device_place_device_until_key"),)

    id: int = identity()
    device_id: int = column(Integer, ForeignKey("device.id", name="device_place_device_fkey"))
    since: datetime = instant()  # street clock
    until: datetime = instant()
    latitude: float | None = nullable(Float)
    longitude: float | None = nullable(Float)
    cell: str = column(Text, default="''")
    district: str = column(Text, default="''")
    assumed: bool = column(Boolean, default="false")  # moves before the table was there are not known


class DeviceCondition(SQLModel, table=True):
    """Something wrong with a device, current while `cleared_at` is NULL: one such row a code and subject."""

    __tablename__: ClassVar[str] = "device_condition"
    __table_args__ = (
        Index(
            "device_condition_current_key",
            "device_id",
            "code",
            "subject",
            unique=True,
            postgresql_where=text("cleared_at IS NULL"),
        ),
        Index("device_condition_device_idx", "device_id", "raised_at"),
    )

    id: int = identity(big=True)
    device_id: int = column(Integer, ForeignKey("device.id", name="device_condition_device_fkey"))
    code: str = column(Text)
    subject: str = column(Text, default="''")
    severity: str = column(Text)
    detail: str = column(Text, default="''")
    remedy: str = column(Text, default="''")
    source: str = column(Text, default="'device'")  # 'device' told it, or 'server' found it
    raised_at: datetime = instant()
    cleared_at: datetime | None = maybe_instant()


class SensorUnit(SQLModel, table=True):
    """One physical sensor at one place with one layout of slots; the same one through every epoch."""

    __tablename__: ClassVar[str] = "sensor_unit"
    __table_args__ = (
        UniqueConstraint("device_id", "kind", "serial", "site", "layout", name="sensor_unit_identity_key"),
    )

    id: int = identity()
    device_id: int = column(Integer, ForeignKey("device.id", name="sensor_unit_device_fkey"))
    kind: str = column(Text)
    serial: str = column(Text, default="''")
    site: str = column(Text, default="''")
    layout: str = column(Text)  # canonical JSON of the slots: [[channel, unit, exponent], ...]
    declared_at: datetime = instant()
    retention: str = column(Text, default="'standard'")  # the class of its samples; it never changes


class UnitKey(SQLModel, table=True):
    """How a device names a sensor unit within one epoch."""

    __tablename__: ClassVar[str] = "unit_key"
    __table_args__ = (Index("unit_key_sensor_unit_idx", "sensor_unit_id"),)

    device_id: int = key(Integer, ForeignKey("device.id", name="unit_key_device_fkey"))
    epoch: bytes = key(LargeBinary)
    key: int = key(Integer)
    sensor_unit_id: int = column(Integer, ForeignKey("sensor_unit.id", name="unit_key_sensor_unit_fkey"))


class Series(SQLModel, table=True):
    """What one slot of a sensor unit means. A value is the stored integer times ten to the `exponent`."""

    __tablename__: ClassVar[str] = "series"
    __table_args__ = (UniqueConstraint("sensor_unit_id", "slot", name="series_sensor_unit_slot_key"),)

    id: int = identity()
    sensor_unit_id: int = column(Integer, ForeignKey("sensor_unit.id", name="series_sensor_unit_fkey"))
    slot: int = column(SmallInteger)
    channel: str = column(Text)
    unit: str = column(Text)
    exponent: int = column(SmallInteger)


class CommandReply(SQLModel, table=True):
    """A device's answer to a command: kept, because replies are never dropped."""

    __tablename__: ClassVar[str] = "command_reply"
    __table_args__ = (Index("command_reply_command_idx", "device_id", "command"),)

    id: int = identity(big=True)
    device_id: int = column(Integer, ForeignKey("device.id", name="command_reply_device_fkey"))
    command: str = column(Text)
    ok: bool = column(Boolean)
    detail: str = column(Text, default="''")
    replied_at: datetime = instant()
