"""What a round of decisions has changed, written inside its transaction.

The worker's part of the store: takes a psycopg cursor, never commits.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from psycopg import Cursor

from fleet_server.decisions.city import City, Line, Verdict
from fleet_server.decisions.loading import instant, maybe_instant, ms
from fleet_server.decisions.members import Incident
from fleet_server.decisions.rules import Severity, State, What, is_told, listed, title
from fleet_server.live import CHANNEL

KIND = "episode"
BY = "worker"
MAX_NOTIFIED_IDS = 250  # of each kind; pg_notify takes under 8,000 bytes

_INSERT = """
INSERT INTO incident (tenant, kind, state, severity, title, district, opened_at, first_verdict_at,
    last_verdict_at, closed_at, close_reason, late, devices, peak_score)
VALUES (%(tenant)s, %(kind)s, %(state)s, %(severity)s, %(title)s, %(district)s, %(now)s, %(first)s, %(last)s,
    %(closed)s, %(close_reason)s, %(late)s, %(devices)s, %(peak_score)s) RETURNING id
"""
_UPDATE = """
UPDATE incident SET state = %(state)s, severity = %(severity)s, title = %(title)s, district = %(district)s,
    first_verdict_at = %(first)s, last_verdict_at = %(last)s, closed_at = %(closed)s,
    close_reason = %(close_reason)s, closed_by = %(closed_by)s, late = %(late)s, devices = %(devices)s,
    peak_score = %(peak_score)s, version = version + CASE WHEN state <> %(state)s THEN 1 ELSE 0 END
WHERE id = %(id)s
"""
_MERGE = (
    "UPDATE incident SET state = 'merged', merged_into = %(into)s, version = version + 1 WHERE id = %(id)s",
    "UPDATE incident SET merged_into = %(into)s WHERE merged_into = %(id)s",
    "UPDATE incident_verdict SET incident_id = %(into)s WHERE incident_id = %(id)s",
    "DELETE FROM incident_member WHERE incident_id = %(id)s",
)
_MEMBER = """
INSERT INTO incident_member (incident_id, device_id, sensor_unit, first_at, last_at, over_at, fault_at, fault,
    peak_score, peak_level, verdicts, live_at)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (incident_id, device_id, sensor_unit) DO UPDATE SET first_at = excluded.first_at,
    last_at = excluded.last_at, over_at = excluded.over_at, fault_at = excluded.fault_at,
    fault = excluded.fault, peak_score = excluded.peak_score, peak_level = excluded.peak_level,
    verdicts = excluded.verdicts, live_at = excluded.live_at
"""


@dataclass(frozen=True)
class Event:
    """A row of history to be. told: are people to be told of it?"""

    incident: int
    what: What
    text: str
    told: bool


def write(
    cursor: Cursor[Any],
    before: Mapping[int, Incident],
    city: City,
    verdicts: Iterable[Verdict],
    now: datetime,
) -> list[Event]:
    """Write what became of `before`, mark the verdicts, tell who listens; returns the lines of history."""
    ids = _incidents(cursor, before, city, now)
    _evidence(cursor, city, ids)
    events = [replace(event, incident=ids[event.incident]) for event in history(before, city, ms(now))]
    cursor.executemany(
        "INSERT INTO incident_event (incident_id, at, by, what, text, told) VALUES (%s, %s, %s, %s, %s, %s)",
        [(event.incident, now, BY, event.what, event.text, event.told) for event in events],
    )
    decided = list(verdicts)
    cursor.execute(
        "UPDATE verdict SET decided_at = %s WHERE id = ANY(%s)", (now, [verdict.id for verdict in decided])
    )
    cursor.execute(
        "INSERT INTO decision_counter AS c (name, value) SELECT * FROM unnest(%s::text[], %s::bigint[])"
        " ON CONFLICT (name) DO UPDATE SET value = c.value + excluded.value",
        (sorted(city.counts), [city.counts[name] for name in sorted(city.counts)]),
    )
    changed = {ids[i.id] for i in city.incidents.values() if i.id in ids and i is not before.get(i.id)}
    _notify(cursor, sorted({v.device for v in decided if v.id in city.evidence}), sorted(changed))
    return events


def _incidents(
    cursor: Cursor[Any], before: Mapping[int, Incident], city: City, now: datetime
) -> dict[int, int]:
    """Write the incidents and their members; returns the id that each has in the database."""
    ids = {known: known for known in before}
    changed = [i for i in city.incidents.values() if i is not before.get(i.id)]
    for incident in changed:
        if incident.state is State.MERGED:
            continue
        values = _values(incident, now)
        if incident.id < 0:
            row = cursor.execute(_INSERT, values).fetchone()
            assert row is not None
            ids[incident.id] = row[0]
        else:
            cursor.execute(_UPDATE, values)
    for incident in changed:
        if incident.state is State.MERGED and incident.id in before:
            into = {"id": incident.id, "into": ids[_survivor(city, incident)]}
            for statement in _MERGE:
                cursor.execute(statement, into)
    cursor.executemany(_MEMBER, list(_members(before, changed, ids)))
    return ids


def _survivor(city: City, incident: Incident) -> int:
    while incident.merged_into is not None:
        incident = city.incidents[incident.merged_into]
    return incident.id


def _values(incident: Incident, now: datetime) -> dict[str, Any]:
    first = incident.begins_with
    return {
        "id": incident.id,
        "tenant": incident.tenant,
        "kind": KIND,
        "state": incident.state,
        "severity": incident.severity,
        "title": title(first.name, first.place.district, len(incident.devices)),
        "district": first.place.district,
        "now": now,
        "first": instant(incident.first_ms),
        "last": instant(incident.last_ms),
        "closed": maybe_instant(incident.closed_ms),
        "close_reason": incident.close_reason,
        "closed_by": incident.closed_by,
        "late": incident.late,
        "devices": len(incident.devices),
        "peak_score": incident.peak_score,
    }


def _members(
    before: Mapping[int, Incident], changed: Iterable[Incident], ids: Mapping[int, int]
) -> Iterable[tuple[Any, ...]]:
    for incident in changed:
        known = before[incident.id].members if incident.id in before else {}
        for unit, m in incident.members.items():
            if known.get(unit) is m:
                continue
            span = (instant(m.first_ms), instant(m.last_ms), maybe_instant(m.over_ms))
            why = (maybe_instant(m.fault_ms), m.fault)
            counted = (m.peak_score, m.peak_level, m.verdicts, maybe_instant(m.live_ms))
            yield (ids[incident.id], *unit, *span, *why, *counted)


def _evidence(cursor: Cursor[Any], city: City, ids: Mapping[int, int]) -> None:
    rows = sorted((verdict, ids[incident]) for verdict, incident in city.evidence.items())
    cursor.execute(
        "INSERT INTO incident_verdict (verdict_id, incident_id)"
        " SELECT * FROM unnest(%s::bigint[], %s::bigint[])"
        " ON CONFLICT (verdict_id) DO UPDATE SET incident_id = excluded.incident_id",
        ([verdict for verdict, _ in rows], [incident for _, incident in rows]),
    )


def history(before: Mapping[int, Incident], city: City, now_ms: int) -> list[Event]:
    """The lines of a round: who came and who left told together, and each incident's new severity."""
    gone = {i.id for i in city.incidents.values() if i.id < 0 and i.state is State.MERGED}
    lines: dict[Line, list[str]] = {}  # in the order of the first of its kind
    for line in city.lines:
        if line.incident in gone or (line.what is What.ABSORBED and int(line.text) in gone):
            continue
        lines.setdefault(replace(line, name=""), []).append(line.name)
    events = [_event(city.incidents[line.incident], line, names, now_ms) for line, names in lines.items()]
    for incident in city.incidents.values():
        known = before.get(incident.id)
        if known is None or incident.state is State.MERGED or known.severity is incident.severity:
            continue
        order = list(Severity)
        raised = order.index(incident.severity) > order.index(known.severity)
        told = raised and _told(incident, What.SEVERITY, now_ms)
        events.append(Event(incident.id, What.SEVERITY, incident.severity.value, told))
    return events


def _event(incident: Incident, line: Line, names: list[str], now_ms: int) -> Event:
    named = listed(set(names) - {""})
    text = f"{named}: {line.text}" if named and line.text else named or line.text
    if line.what is What.OPENED:
        text = ", ".join(part for part in (incident.severity.value, line.text) if part)
    return Event(incident.id, line.what, text, _told(incident, line.what, now_ms))


def _told(incident: Incident, what: What, now_ms: int) -> bool:
    silenced = incident.silenced_until_ms
    return incident.state is State.OPEN and is_told(what, silenced, now_ms, late=incident.late)


def _notify(cursor: Cursor[Any], devices: list[int], incidents: list[int]) -> None:
    for start in range(0, max(len(devices), len(incidents)), MAX_NOTIFIED_IDS):
        part = slice(start, start + MAX_NOTIFIED_IDS)
        message = json.dumps({"devices": devices[part], "incidents": incidents[part]})
        cursor.execute("SELECT pg_notify(%s, %s)", (CHANNEL, message))
