"""Incidents and their evidence, as the services give them, as the pages' own values."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime

from dashboards.data import Services
from dashboards.incident_model import Happening, Incident, Member, Story, Verdict
from dashboards.incident_view import VERDICTS_MAX
from fleet_server.access.service import SignedIn
from fleet_server.decisions import service as decisions
from fleet_server.decisions.service import EventRecord, IncidentRecord, MemberRecord, VerdictRecord
from fleet_server.errors import NotFound

LISTED_MAX = 500  # of the list; beyond it a page would be a scroll nobody ends
_NUMBER = re.compile(r"[1-9][0-9]{0,17}")  # what a bigint holds


def incident_number(text: str) -> int | None:
    """An incident's number from an address; None where it is none."""
    return int(text) if _NUMBER.fullmatch(text) else None


class Incidents:
    """What the incident pages need of the server. Raises what the services raise."""

    def __init__(self, services: Services) -> None:
        self._ask = services.ask

    async def open(self, by: SignedIn) -> Sequence[Incident]:
        """Those that go on, newest first, LISTED_MAX at most."""
        found = await self._ask(
            decisions.incidents, by.principal, state=decisions.State.OPEN, limit=LISTED_MAX
        )
        return [incident(each) for each in found]

    async def newest(self, by: SignedIn) -> Sequence[Incident]:
        """Open or over, newest first, LISTED_MAX at most."""
        found = await self._ask(decisions.incidents, by.principal, limit=LISTED_MAX)
        return [incident(each) for each in found]

    async def story(self, by: SignedIn, number: int) -> Story:
        """One incident. Raises NotFound."""
        found = await self._ask(decisions.incident, by.principal, number, verdicts_limit=VERDICTS_MAX)
        return Story(
            incident(found.record),
            tuple(_member(m) for m in found.members),
            tuple(verdict(v) for v in found.verdicts),
            tuple(_happening(e) for e in found.events),
        )

    async def act(
        self, by: SignedIn, number: int, what: str, version: int, text: str, until_ms: int | None
    ) -> None:
        """acknowledge, silence, note or close. Raises Forbidden, NotFound, Conflict, InvalidRequest."""
        until = None if until_ms is None else datetime.fromtimestamp(until_ms / 1000, UTC)
        who = by.principal
        match what:
            case "acknowledge":
                await self._ask(decisions.acknowledge, who, number, version=version)
            case "silence":
                await self._ask(decisions.silence, who, number, until, version=version)
            case "note":
                await self._ask(decisions.note, who, number, text)
            case "close":
                await self._ask(decisions.close, who, number, text, version=version)
            case _:
                raise NotFound("There is no such thing to do with an incident.")


def incident(found: IncidentRecord) -> Incident:
    return Incident(
        id=found.id,
        title=found.title,
        kind=found.kind,
        severity=str(found.severity),
        state=str(found.state),
        district=found.district,
        opened_ms=_ms(found.opened_at),
        first_ms=_ms(found.first_verdict_at),
        last_ms=_ms(found.last_verdict_at),
        closed_ms=_maybe_ms(found.closed_at),
        closed_by=found.closed_by,
        close_reason=found.close_reason,
        acknowledged_by=found.acknowledged_by,
        acknowledged_ms=_maybe_ms(found.acknowledged_at),
        silenced_until_ms=_maybe_ms(found.silenced_until),
        merged_into=found.merged_into,
        late=found.late,
        lampposts=found.devices,
        version=found.version,
    )


def verdict(found: VerdictRecord) -> Verdict:
    return Verdict(
        id=found.id,
        address=str(found.device),
        time_ms=_ms(found.time),
        kind=found.kind,
        score=found.score,
        confidence=found.confidence,
        reason=found.reason,
        model=found.model,
    )


def _member(found: MemberRecord) -> Member:
    return Member(
        address=str(found.address),
        device=found.device_id,
        district=found.district,
        standing=str(found.standing),
        fault=found.fault,
        first_ms=_ms(found.first_at),
        last_ms=_ms(found.last_at),
        score=found.peak_score,
        level=found.peak_level,
        verdicts=found.verdicts,
    )


def _happening(found: EventRecord) -> Happening:
    return Happening(found.id, _ms(found.at), found.by, str(found.what), found.text)


def _maybe_ms(at: datetime | None) -> int | None:
    return None if at is None else _ms(at)


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)
