"""Incidents, from values to what the browser is sent. Pure; the browser's side: `elements/incident_*.js`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from dashboards import air_view, verdict_words
from dashboards.air_model import Trace
from dashboards.incident_model import Happening, Incident, Member, Story, Verdict

BEFORE_MS = 60 * 60_000  # of the evidence: an hour of the street as it usually is,
AFTER_MS = 30 * 60_000  # and half an hour of how it went on
LONGEST_MS = 48 * 3600_000  # a chart of minutes; of a longer incident its end is drawn
VERDICTS_MAX = 200  # of one incident: the newest; three lampposts make them in eleven hours
DRAWN_MAX = 8  # lines that can still be told apart


def href(address: str) -> str:
    tenant, _, name = address.partition("/")
    return f"/lamppost/{quote(tenant, safe='')}/{quote(name, safe='')}"


def row(found: Incident) -> dict[str, Any]:
    """A line of the list, and the head of the page."""
    return {
        "id": found.id,
        "title": found.title or f"Incident {found.id}",
        "kind": found.kind,
        "severity": found.severity,
        "state": found.state,
        "district": found.district,
        "opened": found.opened_ms,
        "first": found.first_ms,
        "last": found.last_ms,
        "closed": found.closed_ms,
        "closed_by": found.closed_by,
        "close_reason": found.close_reason,
        "acknowledged_by": found.acknowledged_by,
        "acknowledged": found.acknowledged_ms,
        "silenced_until": found.silenced_until_ms,
        "merged_into": found.merged_into,
        "late": found.late,
        "lampposts": found.lampposts,
        "version": found.version,
    }


def story(found: Story) -> dict[str, Any]:
    """One incident: its head, who is in it, what was decided, what happened."""
    return {
        "head": row(found.incident),
        "members": [_member(m) for m in found.members],
        "verdicts": verdict_words.rows(found.verdicts, href),
        "verdicts_limit": VERDICTS_MAX,
        "history": [_happening(h) for h in sorted(found.history, key=lambda h: (-h.at_ms, -h.id))],
    }


def _member(found: Member) -> dict[str, Any]:
    return {
        "key": found.device,
        "name": found.address.partition("/")[2],
        "href": href(found.address),
        "district": found.district,
        "first": found.first_ms,
        "last": found.last_ms,
        "standing": found.standing,
        "words": standing(found),
        "score": f"{found.score:.2f}",
        "level": found.level,
        "verdicts": found.verdicts,
    }


def standing(found: Member) -> str:
    """A lamppost's part, in words."""
    if found.standing == "out":
        return f"taken out: sensor {verdict_words.fault(found.fault) or 'faulty'}"
    return {"in": "sees it", "over": "over here"}.get(found.standing, found.standing)


def _happening(found: Happening) -> dict[str, Any]:
    return {
        "id": found.id,
        "at": found.at_ms,
        "by": "" if found.by == "worker" else found.by,
        "what": verdict_words.happened(found.what),
        "text": found.text,
    }


def newest(found: Story) -> dict[str, Any] | None:
    """The newest line of its history, where there is one."""
    last = max(found.history, key=lambda h: h.id, default=None)
    return _happening(last) if last else None


def window(found: Incident, now_ms: int) -> tuple[int, int]:
    """From when to when the evidence is drawn, in whole minutes."""
    ends = min(now_ms, (found.closed_ms or found.last_ms) + AFTER_MS) if found.state == "closed" else now_ms
    ends = max(ends, found.last_ms)
    begins = max(found.first_ms - BEFORE_MS, ends - LONGEST_MS)
    return begins // 60_000 * 60_000, -(-ends // 60_000) * 60_000


def drawn(members: Sequence[Member]) -> list[str]:
    """The lampposts that are charted: those with the highest scores, each once."""
    best = sorted(members, key=lambda m: (-m.score, m.address))
    return list(dict.fromkeys(m.address for m in best))[:DRAWN_MAX]


def evidence(
    traces: Sequence[Trace], verdicts: Sequence[Verdict], begins_ms: int, ends_ms: int
) -> dict[str, Any]:
    """PM2.5 of every lamppost around the time, with its first verdict of an episode as a mark."""
    step_s = max((t.step_s for t in traces), default=60)
    return air_view.blank("PM2.5, corrected", "µg/m³", 1, begins_ms, ends_ms) | {
        "gap_ms": step_s * 1000 * air_view.GAP_STEPS,
        "lines": [
            {
                "id": trace.address,
                "name": trace.address.partition("/")[2],
                "href": href(trace.address),
                "t": list(trace.time_ms),
                "v": list(trace.corrected),
            }
            for trace in traces
        ],
        "marks": marks([t.address for t in traces], verdicts, begins_ms, ends_ms),
    }


def marks(
    lines: Sequence[str], verdicts: Sequence[Verdict], begins_ms: int, ends_ms: int
) -> list[dict[str, int]]:
    """When each of the lampposts drawn first said that it sees an episode; `line` is its line's position."""
    first: dict[str, int] = {}
    for v in verdicts:
        if v.kind == "episode" and begins_ms <= v.time_ms <= ends_ms:
            first[v.address] = min(v.time_ms, first.get(v.address, v.time_ms))
    return [{"t": first[address], "line": at} for at, address in enumerate(lines) if address in first]
