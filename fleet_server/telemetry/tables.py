"""Tables of the telemetry slice. Seen by `store.py`, the ingest and the migrations' test only."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from fleet_server.columns import column, identity, instant, key, maybe_instant, nullable
from wire_contract.limits import MAX_SLOTS

SLOTS = range(MAX_SLOTS)
CLASSES = ("short", "standard", "long")
"""The retention classes: samples of each have a table of their own, `sample_<class>`."""


def _keys(*more: Column[Any]) -> list[Column[Any]]:
    return [Column("sensor_unit", Integer, primary_key=True, autoincrement=False), *more]


def _time(name: str, *, primary_key: bool = True) -> Column[Any]:
    return Column(name, DateTime(timezone=True), primary_key=primary_key, nullable=False)


def _values() -> list[Column[Any]]:
    """Scaled integers, NULL where the row does not fill the slot, and four bits of flag a slot.

    `flags` holds the wire's 64 unsigned bits in a signed column: slot 15 is in the sign.
    """
    return [*(Column(f"s{i}", Integer) for i in SLOTS), Column("flags", BigInteger, nullable=False)]


ROLLUP_FIELDS: dict[str, type[Integer]] = {
    "sum": BigInteger, "n": Integer, "min": Integer, "max": Integer, "flagged": Integer
}  # fmt: skip
"""By slot: `n` readings make up sum, min and max; `flagged` more are suspect or worse. NULL: not filled."""

# One sensor unit's slots at one instant. The view `sample` is all of them.
SAMPLES = tuple(Table(f"sample_{c}", SQLModel.metadata, *_keys(_time("time")), *_values()) for c in CLASSES)

# One sensor unit's minute, hour, day (UTC). The views `rollup_1m`, `rollup_1h`, `rollup_1d` are by series.
UNIT_ROLLUPS = tuple(
    Table(
        name,
        SQLModel.metadata,
        *_keys(_time("bucket")),
        *(Column(f"{field}_{i}", kind) for field, kind in ROLLUP_FIELDS.items() for i in SLOTS),
    )
    for name in ("unit_minute", "unit_hour", "unit_day")
)

# The newest row of each set of slots that a unit sends (bit i of `slots`: slot i). The view `latest` gives
# the newest reading of each series; its value is NULL when the sensor gave none.
LATEST_UNIT = Table(
    "latest_unit",
    SQLModel.metadata,
    *_keys(Column("slots", Integer, primary_key=True, autoincrement=False)),
    _time("time", primary_key=False),
    *_values(),
)

# What the lampposts of a district measured, in the channel's unit: each lamppost counts once in `mean`.
DISTRICT_ROLLUPS = tuple(
    Table(
        name,
        SQLModel.metadata,
        *(Column(part, Text, primary_key=True) for part in ("tenant", "district", "channel", "unit")),
        _time("bucket"),
        Column("lampposts", Integer, nullable=False),
        Column("n", BigInteger, nullable=False),
        *(Column(part, Float, nullable=False) for part in ("mean", "low", "high")),
    )
    for name in ("district_hour", "district_day")
)


class Batch(SQLModel, table=True):
    """The ledger: what was stored or accounted for. A tombstone's row covers `sequence` to `last`."""

    __tablename__: ClassVar[str] = "batch"
    __table_args__ = (Index("batch_received_idx", "received_at"),)

    device_id: int = key(Integer)
    epoch: bytes = key(LargeBinary)
    cls: int = key(SmallInteger, name="class")
    sequence: int = key(BigInteger)
    last: int = column(BigInteger)
    samples: int = column(Integer, default="0")
    history: bool = column(Boolean, default="false")
    received_at: datetime = instant(default="clock_timestamp()")


class BatchCursor(SQLModel, table=True):
    """What was folded out of the ledger: all up to `prefix` is accounted for, and how much that was."""

    __tablename__: ClassVar[str] = "batch_cursor"

    device_id: int = key(Integer)
    epoch: bytes = key(LargeBinary)
    cls: int = key(SmallInteger, name="class")
    prefix: int = column(BigInteger, default="0")
    batches: int = column(BigInteger, default="0")
    samples: int = column(BigInteger, default="0")


class Tombstone(SQLModel, table=True):
    """A range of sequences that a device shed, and why: `samples` instants, `begins` to `ends`, are gone."""

    __tablename__: ClassVar[str] = "tombstone"

    device_id: int = key(Integer, ForeignKey("device.id", name="tombstone_device_fkey"))
    epoch: bytes = key(LargeBinary)
    cls: int = key(SmallInteger, name="class")
    first: int = key(BigInteger)
    last: int = key(BigInteger)
    reason: str = column(Text)
    samples: int = column(Integer)
    begins: datetime | None = maybe_instant()
    ends: datetime | None = maybe_instant()
    received_at: datetime = instant(default="clock_timestamp()")


class DeadLetter(SQLModel, table=True):
    """A message that could not be stored as data, with its bytes, so that it can be replayed after a fix."""

    __tablename__: ClassVar[str] = "dead_letter"
    __table_args__ = (
        Index(
            "dead_letter_hash_key",
            "content_hash",
            unique=True,
            postgresql_where=text("sequence IS NULL"),
        ),
        Index("dead_letter_open_idx", "reason", "id", postgresql_where=text("replayed_at IS NULL")),
        Index("dead_letter_device_idx", "device_id", "id"),
    )

    id: int = identity(big=True)
    device_id: int | None = nullable(Integer, ForeignKey("device.id", name="dead_letter_device_fkey"))
    topic: str = column(Text)
    epoch: bytes | None = nullable(LargeBinary)
    cls: int | None = Field(default=None, sa_column=Column("class", SmallInteger, nullable=True))
    sequence: int | None = nullable(BigInteger)
    content_hash: bytes = column(LargeBinary)  # SHA-256 of topic, properties and payload
    payload: bytes = column(LargeBinary)
    properties: list[list[str]] = column(JSONB, default="'[]'")
    reason: str = column(Text)
    detail: str = column(Text, default="''")
    missing_unit: int | None = nullable(Integer)  # the unit key whose declaration it waits for
    received_at: datetime = instant(default="clock_timestamp()")
    attempts: int = column(Integer, default="0")
    replayed_at: datetime | None = maybe_instant()


class RollupDirty(SQLModel, table=True):
    """An hour of a sensor unit whose minutes changed. Appended only: no lock, and no mark is ever missed."""

    __tablename__: ClassVar[str] = "rollup_dirty"
    __table_args__ = (Index("rollup_dirty_unit_idx", "sensor_unit", "hour"),)

    id: int = identity(big=True)
    sensor_unit: int = column(Integer)
    hour: datetime = instant()


class DistrictDirty(SQLModel, table=True):
    """An hour of a district that one of its lampposts changed."""

    __tablename__: ClassVar[str] = "district_dirty"

    tenant: str = key(Text)
    district: str = key(Text)
    hour: datetime = key(DateTime(timezone=True))


class DistrictMove(SQLModel, table=True):
    """A lamppost left or joined this district: its hours there change. A trigger on `device` writes it."""

    __tablename__: ClassVar[str] = "district_move"

    id: int = identity(big=True)
    device_id: int = column(Integer)
    tenant: str = column(Text)
    district: str = column(Text)


class RetentionRule(SQLModel, table=True):
    """Samples of this kind of sensor, where it is declared from now on, are of this retention class."""

    __tablename__: ClassVar[str] = "retention_rule"

    tenant: str = key(Text)
    kind: str = key(Text)
    cls: str = Field(sa_column=Column("class", Text, nullable=False))


class TenantRetention(SQLModel, table=True):
    """A tenant's samples of a class go after so many days, before the class's own time is over."""

    __tablename__: ClassVar[str] = "tenant_retention"

    tenant: str = key(Text)
    cls: str = key(Text, name="class")
    keep_days: int = column(Integer)


class RetentionLog(SQLModel, table=True):
    """What retention removed: so many rows of `what`, all before `kept_from`."""

    __tablename__: ClassVar[str] = "retention_log"
    __table_args__ = (Index("retention_log_what_idx", "what", "at"),)

    id: int = identity(big=True)
    at: datetime = instant()
    what: str = column(Text)
    tenant: str = column(Text, default="''")
    rows: int = column(BigInteger)
    partitions: int = column(Integer, default="0")
    kept_from: datetime = instant()


class Verdict(SQLModel, table=True):
    """What a lamppost's model decided about one of its sensor units."""

    __tablename__: ClassVar[str] = "verdict"
    __table_args__ = (
        Index("verdict_unit_idx", "sensor_unit", "time"),
        Index("verdict_device_idx", "device_id", "id"),
        Index("verdict_undecided_idx", "id", postgresql_where=text("decided_at IS NULL")),
    )

    id: int = identity(big=True)
    device_id: int = column(Integer, ForeignKey("device.id", name="verdict_device_fkey"))
    sensor_unit: int = column(Integer)
    time: datetime = instant()
    kind: str = column(Text)
    score: float = column(Float)
    confidence: float = column(Float)
    reason: str = column(Text)
    model: str = column(Text)
    input_hash: bytes = column(LargeBinary)
    received_at: datetime | None = maybe_instant()  # street clock; NULL before this was kept
    history: bool = column(Boolean, default="false")  # drained after an outage
    decided_at: datetime | None = maybe_instant()  # NULL: the decisions slice has not looked at it


class IngestCounter(SQLModel, table=True):
    """What an ingest worker did, by name: counted in the same transaction as the rows it counts."""

    __tablename__: ClassVar[str] = "ingest_counter"

    worker: str = key(Text)
    name: str = key(Text)
    value: int = column(BigInteger, default="0")
