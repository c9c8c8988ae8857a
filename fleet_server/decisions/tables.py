"""Tables of the decisions slice. Seen by `store.py` and by the migrations' test only."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from sqlalchemy import BigInteger, Boolean, Float, ForeignKey, Index, Integer, SmallInteger, Text, text
from sqlmodel import SQLModel

from fleet_server.columns import column, identity, instant, key, maybe_instant, nullable


class Incident(SQLModel, table=True):
    """One thing that happens in one part of a city. Times are the street clock's, or the verdicts'."""

    __tablename__: ClassVar[str] = "incident"
    __table_args__ = (
        Index("incident_tenant_idx", "tenant", "id"),
        Index("incident_open_idx", "last_verdict_at", postgresql_where=text("state = 'open'")),
        Index("incident_span_idx", "tenant", "last_verdict_at"),
    )

    id: int = identity(big=True)
    tenant: str = column(Text)
    kind: str = column(Text)  # "episode"
    state: str = column(Text)  # rules.State
    severity: str = column(Text)  # rules.Severity
    title: str = column(Text)
    district: str = column(Text, default="''")
    opened_at: datetime = instant()
    first_verdict_at: datetime = instant()
    last_verdict_at: datetime = instant()  # the last that said it goes on
    closed_at: datetime | None = maybe_instant()
    close_reason: str = column(Text, default="''")
    closed_by: str = column(Text, default="''")  # a person; empty where it ended by itself
    acknowledged_by: str = column(Text, default="''")
    acknowledged_at: datetime | None = maybe_instant()
    silenced_until: datetime | None = maybe_instant()
    merged_into: int | None = nullable(BigInteger, ForeignKey("incident.id", name="incident_merged_fkey"))
    late: bool = column(Boolean, default="false")  # known only when it was over
    devices: int = column(Integer)  # lampposts that are, or were, in it
    peak_score: float = column(Float)
    version: int = column(Integer, default="1")  # counts what people must have seen before they act


class IncidentMember(SQLModel, table=True):
    """One sensor unit's part in an incident: the latest of last_at, over_at, fault_at tells its standing."""

    __tablename__: ClassVar[str] = "incident_member"
    __table_args__ = (Index("incident_member_device_idx", "device_id"),)

    incident_id: int = key(BigInteger, ForeignKey("incident.id", name="incident_member_incident_fkey"))
    device_id: int = key(Integer, ForeignKey("device.id", name="incident_member_device_fkey"))
    sensor_unit: int = key(Integer)
    first_at: datetime = instant()
    last_at: datetime = instant()
    over_at: datetime | None = maybe_instant()
    fault_at: datetime | None = maybe_instant()
    fault: str = column(Text, default="''")  # what the lamppost says of the sensor
    peak_score: float = column(Float)
    peak_level: int = column(SmallInteger, default="0")  # of the air quality index, 1 to 6; 0 unknown
    verdicts: int = column(Integer)
    live_at: datetime | None = maybe_instant()  # the last that came in time; late ones hold nothing open


class IncidentVerdict(SQLModel, table=True):
    """The evidence: a verdict belongs to one incident at most."""

    __tablename__: ClassVar[str] = "incident_verdict"
    __table_args__ = (Index("incident_verdict_incident_idx", "incident_id", "verdict_id"),)

    verdict_id: int = key(BigInteger, ForeignKey("verdict.id", name="incident_verdict_verdict_fkey"))
    incident_id: int = column(BigInteger, ForeignKey("incident.id", name="incident_verdict_incident_fkey"))


class IncidentEvent(SQLModel, table=True):
    """The history: who did what and when. Appended only."""

    __tablename__: ClassVar[str] = "incident_event"
    __table_args__ = (Index("incident_event_incident_idx", "incident_id", "id"),)

    id: int = identity(big=True)
    incident_id: int = column(BigInteger, ForeignKey("incident.id", name="incident_event_incident_fkey"))
    at: datetime = instant()  # street clock
    by: str = column(Text)
    what: str = column(Text)  # rules.What
    text: str = column(Text, default="''")
    told: bool = column(Boolean)  # were people to be told? False while it is silenced


class DecisionCounter(SQLModel, table=True):
    """What became of verdicts, by name: counted in the transaction that decided them."""

    __tablename__: ClassVar[str] = "decision_counter"

    name: str = key(Text)
    value: int = column(BigInteger, default="0")
