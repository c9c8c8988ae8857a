"""Incidents and verdicts, for whoever may ask: look, acknowledge, silence, note, close.

Every function takes the context and the acting principal, and authorizes. A tenant sees its own incidents:
`tenant` None stands for the principal's, or for the server's (`[tenant] name`) where it acts in all of them.
`version`: the one that was looked at; where another stands by now nothing is changed. Instants are the street
clock's.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlmodel import Session

from fleet_server.access.rules import Action, Principal
from fleet_server.access.service import authorize
from fleet_server.audit import recording
from fleet_server.context import Context
from fleet_server.decisions import rules, store
from fleet_server.decisions.errors import NotNow, SeenBefore
from fleet_server.decisions.rules import Event, Refusal, Severity, Standing, State, What
from fleet_server.decisions.store import EventRecord, IncidentRecord, MemberRecord, VerdictRecord
from fleet_server.errors import InvalidRequest, NotFound
from fleet_server.live import CHANNEL
from fleet_server.masking import in_log, shown_to
from fleet_server.origin import origin
from wire_contract.topics import Address

__all__ = [
    "EventRecord",
    "IncidentDetail",
    "IncidentRecord",
    "MemberRecord",
    "Severity",
    "Standing",
    "State",
    "VerdictRecord",
    "What",
    "acknowledge",
    "close",
    "count_open",
    "evidence",
    "incident",
    "incidents",
    "note",
    "own",
    "silence",
    "silenced",
    "verdicts",
]

log = logging.getLogger(__name__)

EVENTS_MOST = 1_000
VERDICTS_MOST = 1_000
TEXT_MOST_CHARACTERS = 2_000  # a note is a paragraph; what is longer belongs to where reports are kept
SILENCE_LONGEST = timedelta(days=7)  # nobody wants to find out in spring what was silenced in autumn
DEFAULT_SPAN = timedelta(hours=24)
_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class IncidentDetail:
    """One incident with who is in it, its newest evidence and its history (both newest first)."""

    record: IncidentRecord
    members: Sequence[MemberRecord]
    verdicts: Sequence[VerdictRecord]
    events: Sequence[EventRecord]


def incidents(
    ctx: Context,
    principal: Principal,
    *,
    state: State | None = None,
    late: bool | None = None,
    after: int | None = None,
    limit: int = 100,
    tenant: str | None = None,
) -> list[IncidentRecord]:
    """A page, newest first: those after (older than) the id `after`. state None: open and closed."""
    authorize(principal, Action.INCIDENTS_READ)
    with ctx.db.session(principal.tenant) as session:
        found = store.listed(session, _tenant(ctx, principal, tenant), state, late, after, limit)
    return [_seen_by(principal, each) for each in found]


def own(ctx: Context, principal: Principal, ids: Collection[int]) -> set[int]:
    """Those of the incidents' ids that the principal may know of."""
    authorize(principal, Action.INCIDENTS_READ)
    with ctx.db.session(principal.tenant) as session:
        return store.own(session, ids, principal.within)


def count_open(ctx: Context, principal: Principal, *, tenant: str | None = None) -> int:
    """How many are open."""
    authorize(principal, Action.INCIDENTS_READ)
    with ctx.db.session(principal.tenant) as session:
        return store.count_open(session, _tenant(ctx, principal, tenant))


def incident(
    ctx: Context,
    principal: Principal,
    incident_id: int,
    *,
    verdicts_limit: int = 200,
    tenant: str | None = None,
) -> IncidentDetail:
    """One incident. Raises NotFound."""
    authorize(principal, Action.INCIDENTS_READ)
    with ctx.db.session(principal.tenant) as session:
        record = _need(session, _tenant(ctx, principal, tenant), incident_id)
        events = store.events(session, incident_id, EVENTS_MOST)
        return IncidentDetail(
            _seen_by(principal, record),
            store.members(session, incident_id),
            store.evidence(session, incident_id, None, verdicts_limit),
            [replace(each, by=shown_to(principal, each.by)) for each in events],
        )


def evidence(
    ctx: Context,
    principal: Principal,
    incident_id: int,
    *,
    after: int | None = None,
    limit: int = 200,
    tenant: str | None = None,
) -> list[VerdictRecord]:
    """A page of an incident's verdicts, newest first: those with an id below `after`. Raises NotFound."""
    authorize(principal, Action.INCIDENTS_READ)
    with ctx.db.session(principal.tenant) as session:
        _need(session, _tenant(ctx, principal, tenant), incident_id)
        return store.evidence(session, incident_id, after, min(limit, VERDICTS_MOST))


def verdicts(
    ctx: Context,
    principal: Principal,
    address: Address,
    begins: datetime | None = None,
    ends: datetime | None = None,
    *,
    after: int | None = None,
    limit: int = 200,
) -> list[VerdictRecord]:
    """What a lamppost said from `begins` (default: a day before) up to `ends` (default: all there is).

    Newest first, those with an id below `after`. Raises NotFound, InvalidRequest.
    """
    authorize(principal, Action.INCIDENTS_READ, str(address))
    # A lamppost's clock may be ahead: what it said of "tomorrow" is among the newest too.
    ends = _zoned(ends) or ctx.clock.now() + timedelta(days=2)
    begins = _zoned(begins) or max(min(ends, ctx.clock.now()), _EARLIEST + DEFAULT_SPAN) - DEFAULT_SPAN
    if begins >= ends:
        raise InvalidRequest(f"from {begins.isoformat()} is not before to {ends.isoformat()}.")
    with ctx.db.session(principal.tenant) as session:
        listed = store.verdicts(session, address, begins, ends, after, min(limit, VERDICTS_MOST))
    if listed is None:
        raise NotFound(f"There is no device {address}.")
    return listed


def acknowledge(
    ctx: Context,
    principal: Principal,
    incident_id: int,
    *,
    version: int | None = None,
    tenant: str | None = None,
) -> IncidentRecord:
    """Somebody looks after it. Raises NotFound, NotNow, SeenBefore; again by the same person is no error."""

    def columns(found: IncidentRecord, now: datetime) -> Columns | None:
        if found.acknowledged_by == principal.name:
            return None
        if found.acknowledged_by:
            raise NotNow(f"{found.acknowledged_by} looks after incident {incident_id} already.")
        return {"acknowledged_by": principal.name, "acknowledged_at": now}

    asked = _Asked(incident_id, version, _tenant(ctx, principal, tenant))
    return _change(ctx, principal, asked, Event.ACKNOWLEDGE, What.ACKNOWLEDGED, "", columns)


def silence(
    ctx: Context,
    principal: Principal,
    incident_id: int,
    until: datetime | None,
    *,
    version: int | None = None,
    tenant: str | None = None,
) -> IncidentRecord:
    """Nobody is told of what happens in it before `until`; None ends the silence.

    Raises NotFound, NotNow, SeenBefore, InvalidRequest (it has passed, or is more than a week away).
    """
    until = _zoned(until)

    def columns(_: IncidentRecord, now: datetime) -> Columns:
        if until is not None and not now < until <= now + SILENCE_LONGEST:
            raise InvalidRequest(
                f"{until.isoformat()} is not within the next {SILENCE_LONGEST.days} days.",
                remedy=f"By the street clock it is {now.isoformat(timespec='seconds')}.",
            )
        return {"silenced_until": until}

    asked = _Asked(incident_id, version, _tenant(ctx, principal, tenant))
    what = What.HEARD if until is None else What.SILENCED
    words = "" if until is None else f"until {until.isoformat(timespec='minutes')}"
    return _change(ctx, principal, asked, Event.SILENCE, what, words, columns)


def note(
    ctx: Context, principal: Principal, incident_id: int, text: str, *, tenant: str | None = None
) -> IncidentRecord:
    """Add a note to its history: nothing is overwritten, so no version is asked for.

    Raises NotFound, NotNow, InvalidRequest (empty, or too long).
    """
    words = _words(text, "A note")
    if not words:
        raise InvalidRequest("A note says something.")
    asked = _Asked(incident_id, None, _tenant(ctx, principal, tenant))
    return _change(ctx, principal, asked, Event.NOTE, What.NOTE, words, lambda *_: {})


def close(
    ctx: Context,
    principal: Principal,
    incident_id: int,
    reason: str = "",
    *,
    version: int | None = None,
    tenant: str | None = None,
) -> IncidentRecord:
    """A person says it is over: what its lampposts go on saying does not open it again, another's does.

    Raises NotFound, NotNow, SeenBefore, InvalidRequest.
    """
    words = _words(reason, "A reason")

    def columns(_: IncidentRecord, now: datetime) -> Columns:
        return {"closed_at": now, "closed_by": principal.name, "close_reason": words}

    asked = _Asked(incident_id, version, _tenant(ctx, principal, tenant))
    return _change(ctx, principal, asked, Event.CLOSE, What.CLOSED, words, columns)


def silenced(ctx: Context, record: IncidentRecord) -> bool:
    """Is it silenced now?"""
    return record.silenced_until is not None and ctx.clock.now() < record.silenced_until


Columns = dict[str, Any]


@dataclass(frozen=True)
class _Asked:
    incident_id: int
    version: int | None
    tenant: str


def _change(
    ctx: Context,
    principal: Principal,
    asked: _Asked,
    event: Event,
    what: What,
    words: str,
    columns: Callable[[IncidentRecord, datetime], Columns | None],
) -> IncidentRecord:
    """What people do, in one transaction with its line of history. `columns` None: it is so already.

    A note and an end say why by their own words; of the rest the history tells the reason as well.
    """
    authorize(principal, Action.INCIDENTS_WORK)
    now = ctx.clock.now()
    speaks = event in (Event.NOTE, Event.CLOSE)
    said = words if speaks else ": ".join(each for each in (words, origin().reason) if each)
    with ctx.db.session(principal.tenant) as session:
        record = _need(session, asked.tenant, asked.incident_id, lock=True)
        outcome = rules.step(record.state, event)
        if isinstance(outcome, Refusal):
            raise _refused(record, outcome)
        if asked.version is not None and asked.version != record.version:
            raise _seen_before(record)
        changed = columns(record, now)
        if changed is None:
            return record
        if changed:
            store.change(session, record.id, **changed, state=outcome)
        store.add_event(session, record.id, now, principal.name, what, said)
        store.notify(session, CHANNEL, record.id)
        log.info("incident %d: %s by %s", record.id, what, in_log(principal))
        now_is = _need(session, asked.tenant, record.id)
        recording.record(
            session, principal, Action.INCIDENTS_WORK, str(record.id), tenant=asked.tenant,
            reason=words if speaks else "", before=_told(record), after={"what": what, **_told(now_is)},
        )  # fmt: skip
        return now_is


def _seen_by(principal: Principal, record: IncidentRecord) -> IncidentRecord:
    """Names become initials for who only looks."""
    acknowledged, closed = (shown_to(principal, each) for each in (record.acknowledged_by, record.closed_by))
    return replace(record, acknowledged_by=acknowledged, closed_by=closed)


def _told(record: IncidentRecord) -> dict[str, Any]:
    """For the audit log: what people change, without their names."""
    return {
        "state": record.state,
        "acknowledged": bool(record.acknowledged_by),
        "silenced_until": record.silenced_until,
        "version": record.version,
    }


def _refused(record: IncidentRecord, why: Refusal) -> NotNow:
    where = {} if record.merged_into is None else {"merged_into": record.merged_into}
    remedy = "" if record.merged_into is None else f"Look at incident {record.merged_into}."
    return NotNow(f"Nothing was changed: {why.value}.", remedy=remedy, members=where)


def _seen_before(record: IncidentRecord) -> SeenBefore:
    return SeenBefore(
        f"Nothing was changed: incident {record.id} has changed since you looked at it.",
        remedy="Look at it again.",
        members={"version": record.version},
    )


def _need(session: Session, tenant: str, incident_id: int, *, lock: bool = False) -> IncidentRecord:
    record = store.found(session, tenant, incident_id, lock=lock)
    if record is None:
        raise NotFound(f"There is no incident {incident_id}.")
    return record


def _tenant(ctx: Context, principal: Principal, given: str | None) -> str:
    """Raises NotFound for a tenant that the principal does not act in."""
    if given is None:
        return principal.within or ctx.config.tenant.name
    if principal.within not in (None, given):
        raise NotFound("There is no such tenant.")
    return given


def _words(text: str, what: str) -> str:
    text = text.strip()
    if len(text) > TEXT_MOST_CHARACTERS:
        raise InvalidRequest(f"{what} has at most {TEXT_MOST_CHARACTERS} characters.")
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise InvalidRequest(f"{what} is text: this has bytes, or halves of characters, that are none.")
    return text


def _zoned(at: datetime | None) -> datetime | None:
    if at is not None and at.tzinfo is None:
        raise InvalidRequest(f"{at.isoformat()} has no time zone.", remedy="Write 2026-11-20T12:00:00Z.")
    return at
