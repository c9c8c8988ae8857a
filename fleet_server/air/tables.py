"""Tables of the air slice. Seen by `store.py` and by the migrations' test only."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from sqlalchemy import Boolean, DateTime, Float, ForeignKey, Index, Integer, SmallInteger, Text, text
from sqlalchemy import UniqueConstraint as Unique
from sqlmodel import SQLModel

from fleet_server.columns import column, identity, instant, key, nullable


class Calibration(SQLModel, table=True):
    """corrected = slope * raw + offset_ + humidity * RH, from `valid_from` on; of one unit and channel."""

    __tablename__: ClassVar[str] = "calibration"
    __table_args__ = (Unique("sensor_unit_id", "channel", "valid_from", name="calibration_begin_key"),)

    id: int = identity()
    sensor_unit_id: int = column(Integer, ForeignKey("sensor_unit.id", name="calibration_sensor_unit_fkey"))
    channel: str = column(Text)
    slope: float = column(Float)
    offset_: float = column(Float)
    humidity: float = column(Float)
    valid_from: datetime = instant()  # street clock
    source: str = column(Text, default="''")  # who measured it, against what
    created_by: str = column(Text)
    created_at: datetime = instant()  # real time


class AirDirty(SQLModel, table=True):
    """An hour of a sensor unit whose minutes, or whose calibration, changed."""

    __tablename__: ClassVar[str] = "air_dirty"
    __table_args__ = (Index("air_dirty_hour_idx", "hour"),)

    sensor_unit: int = key(Integer)
    hour: datetime = key(DateTime(timezone=True))


class AirHour(SQLModel, table=True):
    """A lamppost's hourly mean of one pollutant, in ug/m3, of the sensor unit that speaks for it."""

    __tablename__: ClassVar[str] = "air_hour"
    __table_args__ = (Index("air_hour_open_idx", "time", postgresql_where=text("NOT closed")),)

    device_id: int = key(Integer)
    time: datetime = key(DateTime(timezone=True))  # the hour's start
    pollutant: str = key(Text)
    sensor_unit: int = column(Integer)
    raw: float = column(Float)
    value: float = column(Float)  # corrected
    correction: str = column(Text)  # what was applied: "calibration" or a correction's id@version
    humidity: float | None = nullable(Float)  # percent, as it went into the correction
    parts: int = column(SmallInteger)  # of the hour's twelve, that hold readings
    complete: bool = column(Boolean)  # enough of them for an index
    closed: bool = column(Boolean)  # the hour was over when this was computed
    through: datetime = instant()  # end of its last minute with readings


class AirIndex(SQLModel, table=True):
    """A lamppost's index of an hour; of the running one as it is so far."""

    __tablename__: ClassVar[str] = "air_index"

    device_id: int = key(Integer)
    time: datetime = key(DateTime(timezone=True))  # the hour's start
    index_id: str = key(Text)  # with its version: "us-aqi@2024-05-06"
    value: int = column(Integer)
    level: int = column(SmallInteger)  # 1 to 6
    category: str = column(Text)
    driver: str = column(Text)  # the pollutant that decided
    concentration: float = column(Float)  # the driver's, ug/m3, as it went into the table
    correction: str = column(Text)  # the driver's
    through: datetime = instant()


class DistrictIndex(SQLModel, table=True):
    """A district's index of an hour: the median of its lampposts', the driver of its worst."""

    __tablename__: ClassVar[str] = "district_index"

    tenant: str = key(Text)
    district: str = key(Text)
    time: datetime = key(DateTime(timezone=True))
    index_id: str = key(Text)
    value: int = column(Integer)
    level: int = column(SmallInteger)
    category: str = column(Text)
    driver: str = column(Text)
    n: int = column(Integer)  # lampposts
