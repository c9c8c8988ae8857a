"""Tables of the tenants slice. Seen by `store.py` and by the migrations' test only."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from sqlalchemy import BigInteger, Integer, Text
from sqlmodel import SQLModel

from fleet_server.columns import column, instant, key, nullable


class Tenant(SQLModel, table=True):
    """A tenant that somebody named. A quota that is NULL is the usual one (`rules.USUAL`)."""

    __tablename__: ClassVar[str] = "tenant"

    name: str = key(Text)
    title: str = column(Text, default="''")
    created_at: datetime = instant(default="now()")
    requests_a_minute: int | None = nullable(Integer)  # of all its people and programs together
    requests_a_minute_each: int | None = nullable(Integer)  # of one of them
    devices: int | None = nullable(Integer)
    downloads: int | None = nullable(Integer)  # at once, of one api process
    download_rows: int | None = nullable(BigInteger)  # of one download
    groups: int | None = nullable(Integer)
    files_mb: int | None = nullable(Integer)  # of what commands brought
    device_messages: int | None = nullable(Integer)  # of one lamppost in a minute
    device_mb: int | None = nullable(Integer)  # the same
