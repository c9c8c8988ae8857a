"""What a round of decisions needs to know, read inside its transaction: verdicts, incidents, who is where.

The worker's part of the store: takes a psycopg connection, never commits.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg import Connection
from psycopg.rows import dict_row

from air_quality.place import BadCell, cell_centre
from fleet_server.decisions.city import City, Verdict
from fleet_server.decisions.members import Incident, Member, Unit, Words
from fleet_server.decisions.rules import JOIN_S, REOPEN_S, Place, State
from wire_contract.verdict_kinds import VerdictKind

# An incident that ended so long before a verdict, or begins so long after it, has nothing to do with it.
WINDOW = timedelta(seconds=2 * JOIN_S + REOPEN_S)
HOUR_MS = 3_600_000

_UNDECIDED = """
SELECT v.id, v.device_id, v.sensor_unit, v.time, v.kind, v.score, v.confidence, v.reason, v.model,
       v.received_at, v.history, d.name, d.tenant, d.latitude, d.longitude, d.district, d.cell, coalesce((
           SELECT max(a.level) FROM air_index a
           WHERE a.device_id = v.device_id AND a.time > v.time - interval '1 hour' AND a.time <= v.time
       ), 0) AS level
FROM verdict v JOIN device d ON d.id = v.device_id
WHERE v.decided_at IS NULL ORDER BY v.id LIMIT %s
"""
_INCIDENTS = """
SELECT id, tenant, state, closed_at, close_reason, closed_by, silenced_until FROM incident WHERE id IN (
    SELECT id FROM incident WHERE state = 'open'
    UNION
    SELECT i.id FROM unnest(%s::text[], %s::timestamptz[], %s::timestamptz[]) AS s(tenant, first, last)
    JOIN incident i ON i.tenant = s.tenant AND i.last_verdict_at >= s.first AND i.first_verdict_at <= s.last
    WHERE i.state = 'closed'
) ORDER BY id FOR UPDATE
"""
_MEMBERS = """
SELECT m.*, d.name, d.tenant, d.latitude, d.longitude, d.district, d.cell
FROM incident_member m JOIN device d ON d.id = m.device_id
WHERE m.incident_id = ANY(%s) ORDER BY m.incident_id, m.device_id, m.sensor_unit
"""
_WORDS = """
SELECT DISTINCT ON (sensor_unit, kind) device_id, sensor_unit, kind, reason, least(time, received_at) AS at
FROM verdict WHERE sensor_unit = ANY(%s) AND kind = ANY(%s) AND time BETWEEN %s AND %s
AND decided_at IS NOT NULL ORDER BY sensor_unit, kind, time DESC, reason DESC
"""
_REPEATED = """
SELECT v.id FROM verdict v WHERE v.id = ANY(%s) AND EXISTS (
    SELECT 1 FROM verdict o WHERE o.sensor_unit = v.sensor_unit AND o.time = v.time AND o.kind = v.kind
    AND o.id <> v.id AND o.decided_at IS NOT NULL
)
"""
_DUE = "SELECT EXISTS (SELECT 1 FROM incident WHERE state = 'open' AND last_verdict_at < %s)"


def undecided(connection: Connection[Any], limit: int) -> list[Verdict]:
    """Verdicts that nobody has decided on, whenever they were committed; in the order of their ids."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return [_verdict(row) for row in cursor.execute(_UNDECIDED, (limit,))]


def anything_due(connection: Connection[Any], now: datetime) -> bool:
    """Is there an incident that may have to be closed for want of verdicts?"""
    row = connection.execute(_DUE, (now - timedelta(seconds=JOIN_S),)).fetchone()
    return bool(row and row[0])


def city(connection: Connection[Any], verdicts: Sequence[Verdict]) -> City:
    """The incidents that these verdicts could have to do with, locked, and all that are open."""
    incidents = _incidents(connection, verdicts)
    made = City({incident.id: incident for incident in incidents})
    if verdicts:
        made.words = _words(connection, verdicts)
        again = connection.execute(_REPEATED, ([verdict.id for verdict in verdicts],)).fetchall()
        repeated = {row[0] for row in again}
        made.heard = {verdict.key for verdict in verdicts if verdict.id in repeated}
    return made


def _incidents(connection: Connection[Any], verdicts: Iterable[Verdict]) -> list[Incident]:
    hours = sorted({(verdict.place.tenant, verdict.at_ms // HOUR_MS) for verdict in verdicts})
    spans = (
        [tenant for tenant, _ in hours],
        [instant(hour * HOUR_MS) - WINDOW for _, hour in hours],
        [instant((hour + 1) * HOUR_MS) + WINDOW for _, hour in hours],
    )
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(_INCIDENTS, spans).fetchall()
        members: dict[int, dict[Unit, Member]] = defaultdict(dict)
        for row in cursor.execute(_MEMBERS, ([row["id"] for row in rows],)):
            members[row["incident_id"]][row["device_id"], row["sensor_unit"]] = _member(row)
    return [
        Incident(
            row["id"],
            row["tenant"],
            State(row["state"]),
            members[row["id"]],
            maybe_ms(row["closed_at"]),
            row["close_reason"],
            row["closed_by"],
            maybe_ms(row["silenced_until"]),
        )
        for row in rows
    ]


def _words(connection: Connection[Any], verdicts: Sequence[Verdict]) -> dict[Unit, Words]:
    times = [verdict.at_ms for verdict in verdicts]
    units = list({verdict.sensor_unit for verdict in verdicts})
    kinds = [VerdictKind.EPISODE_OVER.value, VerdictKind.FAULT.value]
    span = (instant(min(times)) - WINDOW, instant(max(times)) + WINDOW)
    words: dict[Unit, Words] = {}
    for device, unit, kind, reason, at in connection.execute(_WORDS, (units, kinds, *span)):
        known = words.get((device, unit), Words())
        over = kind == VerdictKind.EPISODE_OVER
        words[device, unit] = known.with_over(ms(at)) if over else known.with_fault(ms(at), reason)
    return words


def _verdict(row: dict[str, Any]) -> Verdict:
    return Verdict(
        row["id"],
        row["device_id"],
        row["sensor_unit"],
        row["name"],
        _place(row),
        row["kind"],
        ms(row["time"]),
        maybe_ms(row["received_at"]),
        row["score"],
        row["confidence"],
        row["reason"],
        row["model"],
        row["history"],
        row["level"],
    )


def _member(row: dict[str, Any]) -> Member:
    return Member(
        row["name"],
        _place(row),
        ms(row["first_at"]),
        ms(row["last_at"]),
        row["peak_score"],
        row["peak_level"],
        row["verdicts"],
        maybe_ms(row["live_at"]),
        maybe_ms(row["over_at"]),
        maybe_ms(row["fault_at"]),
        row["fault"],
    )


def _place(row: dict[str, Any]) -> Place:
    """As people declared it; else the middle of the cell that the lamppost tells."""
    latitude, longitude = row["latitude"], row["longitude"]
    if latitude is None and row["cell"]:
        try:
            latitude, longitude = cell_centre(row["cell"])
        except BadCell:
            latitude, longitude = None, None
    return Place(row["tenant"], latitude, longitude, row["district"])


def instant(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)


def maybe_instant(at_ms: int | None) -> datetime | None:
    return None if at_ms is None else instant(at_ms)


def ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def maybe_ms(at: datetime | None) -> int | None:
    return None if at is None else ms(at)
