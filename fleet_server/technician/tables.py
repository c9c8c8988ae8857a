"""Tables of the technician slice. Seen by `store.py` and the migrations' test only. Instants are real."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import Boolean, Index, LargeBinary, Text
from sqlmodel import SQLModel

from fleet_server.columns import column, document, instant, key


class SiteWork(SQLModel, table=True):
    """One thing that was done at a post: the site's history. `id` is the technician's own."""

    __tablename__: ClassVar[str] = "site_work"
    __table_args__ = (Index("site_work_device_idx", "tenant", "device", "done_at"),)

    id: str = key(Text)
    tenant: str = column(Text)
    device: str = column(Text)
    kind: str = column(Text)  # rules.Kind
    done_at: datetime = instant()  # by the technician's clock
    received_at: datetime = instant()
    done_by: str = column(Text)  # the account
    body: dict[str, Any] = document()
    digest: bytes = column(LargeBinary)  # SHA-256 of what was told: the same again is no second time


class SiteReport(SQLModel, table=True):
    """A signed hand-over, its bytes as they came."""

    __tablename__: ClassVar[str] = "site_report"
    __table_args__ = (Index("site_report_device_idx", "tenant", "device", "made_at"),)

    id: str = key(Text)
    tenant: str = column(Text)
    device: str = column(Text)
    made_at: datetime = instant()
    received_at: datetime = instant()
    technician: str = column(Text)  # as the report says
    received_by: str = column(Text, default="''")
    sent_by: str = column(Text)  # the account
    key_fingerprint: str = column(Text)
    key_known: bool = column(Boolean)  # this account had sent reports by this key, or none at all
    passed: bool = column(Boolean)
    sha256: str = column(Text)
    document: bytes = column(LargeBinary)


class SitePhoto(SQLModel, table=True):
    """A picture of a post, without what the camera wrote into it."""

    __tablename__: ClassVar[str] = "site_photo"

    tenant: str = key(Text)
    device: str = key(Text)
    sha256: str = key(Text)
    media_type: str = column(Text)
    caption: str = column(Text, default="''")
    sent_by: str = column(Text)
    received_at: datetime = instant()
    content: bytes = column(LargeBinary)
