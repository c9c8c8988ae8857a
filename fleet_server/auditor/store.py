"""Queries over the audit log: a session in, lines with their values out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row, text
from sqlmodel import Session

from fleet_server.audit.verifying import Line, Place
from fleet_server.auditor.rules import Wanted, personal_of

LINES_AT_ONCE = 2_000  # a few MB

_LINE = """
SELECT l.number, l.at, l.tenant, l.action, l.body, l.hash, (
    SELECT jsonb_object_agg(p.name, jsonb_build_array(encode(p.salt, 'hex'), p.value))
    FROM audit_personal p WHERE p.number = l.number) AS beside
FROM audit_line l
"""
_WITHIN = "(CAST(:within AS text) IS NULL OR l.tenant = :within)"
_WANTED = f"""
WHERE {_WITHIN}
  AND (CAST(:before AS bigint) IS NULL OR l.number < :before)
  AND (CAST(:begins AS timestamptz) IS NULL OR l.at >= :begins)
  AND (CAST(:ends AS timestamptz) IS NULL OR l.at < :ends)
  AND (:action = '' OR l.action = :action OR (right(:action, 1) = ':' AND starts_with(l.action, :action)))
  AND (:who = '' OR l.body::jsonb->'who'->>'name' = :who OR EXISTS (
       SELECT FROM audit_personal p WHERE p.number = l.number AND p.name = 'who' AND p.value = :who))
  AND (:resource = '' OR l.body::jsonb->>'resource' = :resource OR EXISTS (
       SELECT FROM audit_personal p
       WHERE p.number = l.number AND p.name = 'resource' AND p.value = :resource))
  AND (:outcome = '' OR l.body::jsonb->>'outcome' = :outcome)
"""  # noqa: S608 - constants


def listed(session: Session, wanted: Wanted, within: str | None, limit: int) -> list[Line]:
    """The newest first."""
    query = text(f"{_LINE} {_WANTED} ORDER BY l.number DESC LIMIT :limit")
    return [_line(row) for row in session.execute(query, {**vars(wanted), "within": within, "limit": limit})]


def one(session: Session, number: int, within: str | None) -> Line | None:
    query = text(f"{_LINE} WHERE l.number = :number AND {_WITHIN}")
    row = session.execute(query, {"number": number, "within": within}).one_or_none()
    return None if row is None else _line(row)


def in_order(session: Session, first: int = 1, last: int | None = None) -> Iterator[Line]:
    """From line `first` to line `last` (None: to the end), in pieces of the transaction's one snapshot."""
    query = text(
        f"{_LINE} WHERE l.number >= :first AND (CAST(:last AS bigint) IS NULL OR l.number <= :last)"
        " ORDER BY l.number LIMIT :limit"
    )
    while True:
        values = {"first": first, "last": last, "limit": LINES_AT_ONCE}
        lines = [_line(row) for row in session.execute(query, values)]
        yield from lines
        if len(lines) < LINES_AT_ONCE:
            return
        first = lines[-1].number + 1


def one_snapshot(session: Session) -> None:
    """Every query of this transaction sees the same log. To be called first."""
    session.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))


def span_of(session: Session, begins: datetime | None, ends: datetime | None) -> tuple[int, int] | None:
    """Numbers of the first and the last line between two instants; None where there is none."""
    query = text(
        "SELECT min(number), max(number) FROM audit_line"
        " WHERE (CAST(:begins AS timestamptz) IS NULL OR at >= :begins)"
        " AND (CAST(:ends AS timestamptz) IS NULL OR at < :ends)"
    )
    first, last = session.execute(query, {"begins": begins, "ends": ends}).one()
    return None if first is None else (first, last)


def place_of(session: Session, number: int) -> Place | None:
    """A line's place in the chain, by itself or by the checkpoint of retention that stands for it."""
    query = text(
        "SELECT hash FROM audit_line WHERE number = :number UNION ALL"
        " SELECT hash FROM audit_checkpoint WHERE number = :number AND kind = 'retention' LIMIT 1"
    )
    found = session.execute(query, {"number": number}).scalar()
    return None if found is None else Place(number, bytes(found))


@dataclass(frozen=True)
class RefusedDevice:
    """`messages` of it were not taken, the newest of all letters being `to_letter`."""

    device: str
    tenant: str
    messages: int
    to_letter: int


# The topic is lp/1/TENANT/DEVICE/...; a name in it is one that the broker took from a certificate.
_REFUSED = text("""
WITH since AS (
    SELECT coalesce((SELECT (l.body::jsonb->'after'->>'to_letter')::bigint FROM audit_line l
                     WHERE l.action = :action ORDER BY l.number DESC LIMIT 1), 0) AS id
), new AS (
    SELECT split_part(d.topic, '/', 3) AS tenant, split_part(d.topic, '/', 4) AS name, count(*) AS messages
    FROM dead_letter d, since WHERE d.id > since.id AND d.reason = 'device_not_active' GROUP BY 1, 2
)
SELECT tenant || '/' || name, tenant, messages, (SELECT max(id) FROM dead_letter)
FROM new ORDER BY messages DESC, 1 LIMIT :most
""")


def refused_devices(session: Session, action: str, most: int) -> list[RefusedDevice]:
    """Whose messages became dead letters since the last line of `action`, the loudest first."""
    rows = session.execute(_REFUSED, {"action": str(action), "most": most})
    return [RefusedDevice(*row) for row in rows]


def _line(row: Row[Any]) -> Line:
    instant = row.at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    copied = {"at": instant, "tenant": row.tenant, "action": row.action}
    return Line(row.number, row.body, bytes(row.hash), personal_of(row.beside), copied)
