"""Tables of the telemetry slice. Seen by `store.py`, the ingest and the migrations' test only."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

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
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from fleet_server.columns import column, identity, instant, key, maybe_instant, nullable


class Sample(SQLModel, table=True):
    """One sensor unit's slots at one instant: scaled integers, four bits of flag a slot in `flags`.

    `flags` holds the wire's 64 unsigned bits in a signed column: slot 15 is in the sign.
    """

    __tablename__: ClassVar[str] = "sample"

    sensor_unit: int = key(Integer)
    time: datetime = key(DateTime(timezone=True))
    s0: int | None = nullable(Integer)
    s1: int | None = nullable(Integer)
    s2: int | None = nullable(Integer)
    s3: int | None = nullable(Integer)
    s4: int | None = nullable(Integer)
    s5: int | None = nullable(Integer)
    s6: int | None = nullable(Integer)
    s7: int | None = nullable(Integer)
    s8: int | None = nullable(Integer)
    s9: int | None = nullable(Integer)
    s10: int | None = nullable(Integer)
    s11: int | None = nullable(Integer)
    s12: int | None = nullable(Integer)
    s13: int | None = nullable(Integer)
    s14: int | None = nullable(Integer)
    s15: int | None = nullable(Integer)
    flags: int = column(BigInteger)


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


class Rollup1m(SQLModel, table=True):
    """One series' minute. `n` readings make up sum, low and high; `flagged` more are suspect or worse."""

    __tablename__: ClassVar[str] = "rollup_1m"

    series_id: int = key(Integer)
    bucket: datetime = key(DateTime(timezone=True))
    n: int = column(Integer)
    sum: int = column(BigInteger)
    min: int | None = nullable(Integer)
    max: int | None = nullable(Integer)
    flagged: int = column(Integer)


class Rollup1h(SQLModel, table=True):
    """One series' hour, made from `rollup_1m` by the worker role."""

    __tablename__: ClassVar[str] = "rollup_1h"

    series_id: int = key(Integer)
    bucket: datetime = key(DateTime(timezone=True))
    n: int = column(Integer)
    sum: int = column(BigInteger)
    min: int | None = nullable(Integer)
    max: int | None = nullable(Integer)
    flagged: int = column(Integer)


class Rollup1d(SQLModel, table=True):
    """One series' day (UTC), made from `rollup_1h` by the worker role."""

    __tablename__: ClassVar[str] = "rollup_1d"

    series_id: int = key(Integer)
    bucket: datetime = key(DateTime(timezone=True))
    n: int = column(Integer)
    sum: int = column(BigInteger)
    min: int | None = nullable(Integer)
    max: int | None = nullable(Integer)
    flagged: int = column(Integer)


class RollupDirty(SQLModel, table=True):
    """An hour of a sensor unit whose minutes changed. Appended only: no lock, and no mark is ever missed."""

    __tablename__: ClassVar[str] = "rollup_dirty"
    __table_args__ = (Index("rollup_dirty_unit_idx", "sensor_unit", "hour"),)

    id: int = identity(big=True)
    sensor_unit: int = column(Integer)
    hour: datetime = instant()


class Latest(SQLModel, table=True):
    """The newest reading of a series. `value` is NULL when the sensor gave none."""

    __tablename__: ClassVar[str] = "latest"

    series_id: int = key(Integer)
    time: datetime = instant()
    value: int | None = nullable(Integer)
    flag: int = column(SmallInteger)


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
