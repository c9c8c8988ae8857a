"""Queries of the audit log: a session or a connection in, plain values out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import psycopg
from sqlalchemy import text
from sqlmodel import Session

from fleet_server.audit.rules import Draft
from fleet_server.audit.verifying import Checkpoint, Place

_APPEND = text("SELECT audit_append(CAST(:bodies AS text[]), CAST(:beside AS jsonb))")


def append(session: Session, drafts: Sequence[Draft]) -> int:
    """Chain the lines, in their order; returns the last one's number. Holds the log's lock from here on."""
    number: int = session.execute(_APPEND, _values(drafts)).scalar_one()
    return number


def append_by(connection: psycopg.Connection[Any], drafts: Sequence[Draft]) -> int:
    """As `append`, over a connection of the caller's."""
    row = connection.execute(
        "SELECT audit_append(%(bodies)s::text[], %(beside)s::jsonb)", _values(drafts)
    ).fetchone()
    assert row is not None, "a function without an answer"
    return int(row[0])


def _values(drafts: Sequence[Draft]) -> dict[str, Any]:
    beside = [
        [[each.name, (each.salt or b"").hex(), each.value] for each in draft.beside] for draft in drafts
    ]
    return {"bodies": [draft.body for draft in drafts], "beside": json.dumps(beside)}


def head(session: Session) -> Place:
    """The newest line's number and hash."""
    number, line_hash = session.execute(text("SELECT number, hash FROM audit_head")).one()
    return Place(number, bytes(line_hash))


def newest_checkpoint(session: Session) -> int:
    """Number of the newest line that was signed for; 0: none was."""
    found: int = session.execute(text("SELECT coalesce(max(number), 0) FROM audit_checkpoint")).scalar_one()
    return found


def at_of(session: Session, number: int) -> datetime | None:
    query = text("SELECT at FROM audit_line WHERE number = :number")
    found: datetime | None = session.execute(query, {"number": number}).scalar()
    return found


def insert_checkpoint(session: Session, made: Checkpoint) -> None:
    """Nothing where this line has one of its kind already."""
    session.execute(
        text(
            "INSERT INTO audit_checkpoint (number, kind, at, hash, key_id, signature)"
            " VALUES (:number, :kind, :at, :hash, :key_id, :signature) ON CONFLICT DO NOTHING"
        ),
        vars(made),
    )


def checkpoints(session: Session, first: int = 0, last: int | None = None) -> list[Checkpoint]:
    """Those at `first` up to `last`, by number; last None: all."""
    query = text(
        "SELECT number, hash, at, kind, key_id, signature FROM audit_checkpoint"
        " WHERE number >= :first AND (CAST(:last AS bigint) IS NULL OR number <= :last) ORDER BY number, kind"
    )
    rows = session.execute(query, {"first": first, "last": last})
    return [Checkpoint(n, bytes(h), at, kind, key, bytes(s)) for n, h, at, kind, key, s in rows]


def first_checkpoint(session: Session, number: int) -> Checkpoint | None:
    """The first at this line or after it."""
    query = text(
        "SELECT number, hash, at, kind, key_id, signature FROM audit_checkpoint WHERE number >= :number"
        " ORDER BY number, kind LIMIT 1"
    )
    row = session.execute(query, {"number": number}).first()
    if row is None:
        return None
    return Checkpoint(row[0], bytes(row[1]), row[2], row[3], row[4], bytes(row[5]))


def last_before(session: Session, before: datetime, most: int) -> Place | None:
    """The last of the first lines that are all older than `before`; at most `most`, never the newest."""
    query = text(
        "WITH old AS (SELECT number, hash, at FROM audit_line ORDER BY number LIMIT :most),"
        " kept AS (SELECT min(number) AS number FROM old WHERE at >= :before)"
        " SELECT old.number, old.hash FROM old, kept, audit_head"
        " WHERE (kept.number IS NULL OR old.number < kept.number) AND old.number < audit_head.number"
        " ORDER BY old.number DESC LIMIT 1"
    )
    row = session.execute(query, {"before": before, "most": most}).first()
    return None if row is None else Place(row[0], bytes(row[1]))


def remove_to(session: Session, number: int) -> int:
    """Remove the lines up to `number`, with what is beside them, and the checkpoints before it."""
    gone: Any = session.execute(text("DELETE FROM audit_line WHERE number <= :number"), {"number": number})
    session.execute(text("DELETE FROM audit_checkpoint WHERE number < :number"), {"number": number})
    return int(gone.rowcount)
