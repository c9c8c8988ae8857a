"""Claims in advance: a batch for a technician's days without a connection, each claim for one lamppost.

A claim of a batch is for a free name: the lamppost brings its own. One that is used twice suspends the batch
(`asking.py`); a person looks at the alarm, then resumes the batch or revokes it.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from fleet_server.accept_policy import Way
from fleet_server.access.rules import Action, Principal
from fleet_server.access.service import authorize, need_there
from fleet_server.audit.recording import record
from fleet_server.context import Context
from fleet_server.devices import service as devices
from fleet_server.devices.service import Place
from fleet_server.enrolment import asking, rules, store, telling
from fleet_server.enrolment.batch_rules import BatchEvent, BatchState
from fleet_server.enrolment.errors import NotNow
from fleet_server.enrolment.store import Alarm, Batch
from fleet_server.enrolment.whose import only_of, tenant_of
from fleet_server.errors import InvalidRequest, NotFound
from fleet_server.masking import in_log, masked
from provisioning import claims

__all__ = ["Alarm", "Batch", "MadeBatch", "alarms", "batches", "make_batch", "resume", "revoke", "see_alarm"]

log = logging.getLogger(__name__)

LIST_LIMIT = 200
TECHNICIAN_MOST_CHARACTERS = 64  # as an account's name


@dataclass(frozen=True)
class MadeBatch:
    """`tokens` are shown once and cannot be had again."""

    batch: Batch
    tokens: tuple[str, ...] = field(repr=False)


def make_batch(
    ctx: Context,
    principal: Principal,
    technician: str,
    number: int,
    *,
    district: str = "",
    valid_from: datetime | None = None,
    life: timedelta = rules.BATCH_LIFE,
    now: datetime | None = None,
) -> MadeBatch:
    """`number` claims for one technician, good for `life` from `valid_from` (now) on.

    Raises Forbidden, InvalidRequest, NotFound (no such tenant).
    """
    tenant, instant = tenant_of(ctx, principal), now or datetime.now(UTC)
    authorize(principal, Action.CLAIMS_BATCH, tenant=tenant)
    start = valid_from or instant
    if not 1 <= number <= rules.BATCH_MOST:
        raise InvalidRequest(f"A batch has 1 to {rules.BATCH_MOST} claims.")
    if not 1 <= len(technician) <= TECHNICIAN_MOST_CHARACTERS or not technician.isprintable():
        raise InvalidRequest(f"Say whose they are, in 1 to {TECHNICIAN_MOST_CHARACTERS} characters.")
    if start.tzinfo is None or not timedelta(0) < life <= rules.BATCH_LONGEST:
        raise InvalidRequest(f"A batch is good for at most {rules.BATCH_LONGEST.days} days.")
    if not -timedelta(days=1) <= start - instant <= timedelta(days=90):
        raise InvalidRequest("A batch begins within the next 90 days.")
    place = devices.checked_place(Place(None, None, district))
    need_there(ctx, principal, tenant)
    tokens = tuple(claims.new_token() for _ in range(number))
    batch = Batch(
        claims.new_token().id, tenant, technician, district, number, start, start + life,
        BatchState.OPEN, "", principal.name, instant,
    )  # fmt: skip
    made = [
        store.NewClaim(
            token.id, claims.secret_hash(token.secret), tenant, None, "", False, principal.name,
            instant, batch.valid_until, place, Way.BATCH, batch.id, None, start,
        )
        for token in tokens
    ]  # fmt: skip
    with ctx.db.session(principal.tenant) as session:
        store.insert_batch(session, batch, made)
        record(
            session, principal, Action.CLAIMS_BATCH, batch.id, tenant=tenant,
            after={"claims": number, "district": district, "until": batch.valid_until.isoformat()},
            personal={"technician": technician},
        )  # fmt: skip
        stored = store.batch(session, batch.id)
    assert stored is not None, "a batch that was just stored"
    log.info("batch %s of %d claims made by %s", batch.id, number, in_log(principal))
    return MadeBatch(stored, tuple(map(str, tokens)))


def batches(ctx: Context, principal: Principal) -> list[Batch]:
    """The newest first, at most LIST_LIMIT. Raises Forbidden."""
    authorize(principal, Action.CLAIMS_READ)
    with ctx.db.session(principal.tenant) as session:
        found = store.batches(session, only_of(principal), LIST_LIMIT)
    return [masked(principal, each, "technician", "created_by") for each in found]


def revoke(ctx: Context, principal: Principal, batch_id: str, reason: str = "") -> Batch:
    """Take every claim of it back that is not accepted. Raises Forbidden, NotFound."""
    return _change(ctx, principal, batch_id, BatchEvent.REVOKE, reason)


def resume(ctx: Context, principal: Principal, batch_id: str, reason: str = "") -> Batch:
    """The alarm was looked at: its unused claims may be used again. Raises Forbidden, NotFound, NotNow."""
    return _change(ctx, principal, batch_id, BatchEvent.RESUME, reason)


def alarms(ctx: Context, principal: Principal, *, seen: bool = False) -> list[Alarm]:
    """Claims that were used twice, the newest first. seen: also those that somebody looked at."""
    authorize(principal, Action.CLAIMS_READ)
    with ctx.db.session(principal.tenant) as session:
        found = store.alarms(session, only_of(principal), LIST_LIMIT, seen=seen)
    return [masked(principal, each, "seen_by") for each in found]


def see_alarm(ctx: Context, principal: Principal, alarm_id: int, now: datetime | None = None) -> Alarm:
    """Somebody has looked at it. Raises Forbidden, NotFound."""
    authorize(principal, Action.ENROLMENTS_DECIDE, str(alarm_id))
    with ctx.db.session(principal.tenant) as session:
        instant = now or datetime.now(UTC)
        found = store.see_alarm(session, alarm_id, only_of(principal), principal.name, instant)
        if found is None:
            raise NotFound(f"There is no alarm {alarm_id}.")
        others = store.alarms(session, found.tenant, LIST_LIMIT, seen=False)
        if all(each.claim_id != found.claim_id for each in others):
            telling.tell(session, found, instant, active=False)
        record(
            session, principal, Action.ENROLMENTS_DECIDE, f"alarm {alarm_id}", tenant=found.tenant,
            after={"claim": found.claim_id, "seen": True},
        )  # fmt: skip
        return found


def _change(ctx: Context, principal: Principal, batch_id: str, event: BatchEvent, reason: str) -> Batch:
    authorize(principal, Action.CLAIMS_BATCH, batch_id)
    if len(reason) > 500 or (reason and not reason.isprintable()):
        raise InvalidRequest("A reason is at most 500 printable characters.")
    with ctx.db.session(principal.tenant) as session:
        found = store.batch(session, batch_id)
        if found is None or only_of(principal) not in (None, found.tenant):
            raise NotFound(f"There is no batch {batch_id[:20]}.")
        if not asking.change_batch(session, principal, batch_id, event, reason):
            raise NotNow(f"Nothing was changed: batch {batch_id} is revoked.", remedy="Make a new one.")
        changed = store.batch(session, batch_id)
    assert changed is not None, "a batch is never deleted"
    return changed
