"""What `lamppost fleet incidents` does: each command calls the service and returns rows to print."""

from __future__ import annotations

import argparse
from datetime import datetime
from typing import Any

from fleet_server.admin_commands import Row, console
from fleet_server.context import Context
from fleet_server.decisions import service
from fleet_server.decisions.service import (
    EventRecord,
    IncidentRecord,
    MemberRecord,
    State,
    VerdictRecord,
)

EXAMPLES = """\
examples:
  lamppost fleet incidents list --state open
  lamppost fleet incidents show 12
  lamppost fleet incidents ack 12
  lamppost fleet incidents silence 12 --for 2h        nobody is told of it; --off ends it
  lamppost fleet incidents note 12 "fire brigade called, a skip burns"
  lamppost fleet incidents close 12 --reason "put out at 14:10"
"""


def incidents_list(ctx: Context, options: argparse.Namespace) -> list[Row]:
    state = State(options.state) if options.state else None
    found = service.incidents(ctx, console(), state=state, after=options.after, limit=options.limit)
    return [_incident(ctx, each) for each in found]


def incidents_show(ctx: Context, options: argparse.Namespace) -> list[Row]:
    found = service.incident(ctx, console(), options.id)
    parts = {
        "lampposts": [_member(each) for each in found.members],
        "verdicts": [_verdict(each) for each in found.verdicts],
        "history": [_event(each) for each in reversed(found.events)],
    }
    one = _incident(ctx, found.record) | _more(found.record)
    if options.json:
        return [one | parts]
    return [
        {name: _word(value) for name, value in one.items()}
        | {name: _lines(rows) for name, rows in parts.items()}
    ]


def incidents_ack(ctx: Context, options: argparse.Namespace) -> list[Row]:
    done = service.acknowledge(ctx, console(), options.id, version=options.version)
    return [_incident(ctx, done)]


def incidents_silence(ctx: Context, options: argparse.Namespace) -> list[Row]:
    until = None if options.off else ctx.clock.now() + options.span
    return [_incident(ctx, service.silence(ctx, console(), options.id, until, version=options.version))]


def incidents_note(ctx: Context, options: argparse.Namespace) -> list[Row]:
    return [_incident(ctx, service.note(ctx, console(), options.id, options.text))]


def incidents_close(ctx: Context, options: argparse.Namespace) -> list[Row]:
    done = service.close(ctx, console(), options.id, options.reason, version=options.version)
    return [_incident(ctx, done)]


def _incident(ctx: Context, found: IncidentRecord) -> Row:
    state = f"{found.state}, late" if found.late else str(found.state)
    return {
        "id": found.id,
        "state": state,
        "severity": str(found.severity),
        "title": found.title,
        "opened": _instant(found.opened_at),
        "last verdict": _instant(found.last_verdict_at),
        "closed": _instant(found.closed_at),
        "looked after by": found.acknowledged_by or None,
        "silenced until": _instant(found.silenced_until) if service.silenced(ctx, found) else None,
        "version": found.version,
    }


def _more(found: IncidentRecord) -> Row:
    return {
        "began": _instant(found.first_verdict_at),
        "why closed": found.close_reason or None,
        "closed by": found.closed_by or None,
        "part of": found.merged_into,
        "peak score": round(found.peak_score, 3),
    }


def _member(found: MemberRecord) -> Row:
    return {
        "lamppost": str(found.address),
        "standing": str(found.standing),
        "from": _instant(found.first_at),
        "to": _instant(found.last_at),
        "score": round(found.peak_score, 3),
        "verdicts": found.verdicts,
        "fault": found.fault or None,
    }


def _verdict(found: VerdictRecord) -> Row:
    return {
        "time": _instant(found.time),
        "lamppost": str(found.device),
        "kind": found.kind,
        "score": round(found.score, 3),
        "confidence": round(found.confidence, 3),
        "model": found.model or None,
        "reason": found.reason or None,
    }


def _event(found: EventRecord) -> Row:
    return {"at": _instant(found.at), "by": found.by, "what": str(found.what), "text": found.text or None}


def _lines(rows: list[Row]) -> str:
    """Rows below each other, for people."""
    return "".join("\n  " + "  ".join(filter(None, map(_word, row.values()))) for row in rows)


def _word(value: Any) -> str:
    """What lampposts and people wrote, without what a terminal would obey; "" for None."""
    return "" if value is None else "".join(letter if letter.isprintable() else " " for letter in str(value))


def _instant(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat(timespec="seconds")
