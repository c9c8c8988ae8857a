"""Tables of the limits slice. Seen by `store.py` and by the migrations' test only."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from sqlalchemy import BigInteger, ForeignKey, Index, Integer, Text, text
from sqlmodel import SQLModel

from fleet_server.columns import column, identity, instant, maybe_instant


class Flood(SQLModel, table=True):
    """More than a lamppost sends, counted within a minute. At most one is open for each device."""

    __tablename__: ClassVar[str] = "flood"
    __table_args__ = (
        Index(
            "flood_open_key",
            "device_id",
            unique=True,
            postgresql_where=text("state IN ('seen', 'held')"),
        ),
        Index("flood_device_idx", "device_id", "seen_at"),
    )

    id: int = identity(big=True)
    tenant: str = column(Text)
    device_id: int = column(Integer, ForeignKey("device.id", name="flood_device_fkey"))
    state: str = column(Text, default="'seen'")  # rules.State
    seen_at: datetime = instant()  # real time, as all here
    messages: int = column(BigInteger)
    bytes: int = column(BigInteger)
    until: datetime | None = maybe_instant()
    ended_at: datetime | None = maybe_instant()
