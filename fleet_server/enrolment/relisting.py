"""Brings revocation list and records together: before the broker starts, when the authority's files have
changed, and each minute by the worker. Where they differ `certificate_rules.PAIRS` says what holds. Ways:

A backup of the authority was put back, and its list is older than the records. The list could not be written
(a full disk, a key that cannot be read) when a lamppost was shut out: its state is told, and its certificates
still open the door. Somebody wrote the list by hand. A power cut came between the list and the record. And an
older version of this program has written down that one is shut out, but not how: the list says it.

`shorten` drops from the list who ran out long ago (RFC 5280, 3.3). What is refused then, our record says.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from sqlmodel import Session

from fleet_server.access.rules import ENROLMENT, Action
from fleet_server.audit.recording import record
from fleet_server.context import Context
from fleet_server.enrolment import shutting, store
from fleet_server.enrolment.certificate_rules import ENDED, Mark, mark_of, seen
from fleet_server.enrolment.city_authority import city_authority, unavailable
from fleet_server.enrolment.relisting_store import Shut, ends_of, shut
from fleet_server.enrolment.shutting import Step
from wire_contract.topics import Address

log = logging.getLogger(__name__)

LOCKED_MOST = 1_000  # lampposts: PostgreSQL has place for some 6,400 locks

OLDER = "the revocation list was older than our records"
NOT_NAMED = "the lamppost is shut out, and the revocation list did not name it"
NOT_RECORDED = "the revocation list and our records were not the same"


def list_again(ctx: Context, now: datetime | None = None) -> int:
    """How many certificates were put on the list, or taken off it. Raises AuthorityUnavailable,
    DatabaseUnreachable."""
    instant, changed = now or datetime.now(UTC), 0
    _redate(ctx)
    while True:
        on_list, full = _look(ctx, instant)
        changed += on_list
        if not full:
            return changed


def _redate(ctx: Context) -> None:
    try:
        if city_authority(ctx).redate_lists():
            log.warning("a clock far ahead had made the revocation list, which was not valid yet: made again")
    except (OSError, ValueError) as error:
        raise unavailable(error) from error


def _look(ctx: Context, now: datetime) -> tuple[int, bool]:
    """How many changed on the list; and are there more lampposts than are looked at at once?"""
    with ctx.db.session() as session:
        differing = {address for address, _ in _differing(ctx, session, now)}
        locked = sorted(differing, key=str)[:LOCKED_MOST]
        for address in locked:
            # whoever decides about one writes the list first
            store.lock_certificates(session, address.tenant, address.device)
        steps: dict[Address, list[Step]] = {address: [] for address in locked}
        for address, step in _differing(ctx, session, now) if locked else ():
            if address in steps:
                steps[address].append(step)
        shutting.follow(ctx, session, [step for those in steps.values() for step in those], now)
        for address, those in steps.items():
            _write_down(session, address, those)
    return sum(step.lists for those in steps.values() for step in those), len(differing) > LOCKED_MOST


def shorten(ctx: Context, now: datetime | None = None) -> int:
    """How many certificates that ran out are on no list any more. Raises AuthorityUnavailable,
    DatabaseUnreachable.

    Only those whose standing our record says: a key of one that ran out may ask for the next one."""
    instant = now or datetime.now(UTC)
    listed = shutting.reasons_listed(ctx)
    with ctx.db.session() as session:
        found = ends_of(session, listed, instant)
    ends = {
        serial: until for serial, (until, word) in found.items() if mark_of(word) is mark_of(listed[serial])
    }
    if not ends:
        return 0
    try:
        gone = city_authority(ctx).shorten_lists(ends)
    except OSError as error:
        raise unavailable(error) from error
    if gone:
        log.info("%d certificates that ran out are not on the revocation list any more", len(gone))
    return len(gone)


def _write_down(session: Session, address: Address, steps: list[Step]) -> None:
    """What an older version had not written down is no news."""
    news = [each for each in steps if each.lists or each.former is not None]
    if not news:
        return
    told = {each.certificate.serial: str(each.wanted) for each in news}
    why = NOT_RECORDED
    if any(each.lists for each in news):
        why = OLDER if any(each.former is not Mark.OPEN for each in news) else NOT_NAMED
    record(session, ENROLMENT, Action.CERTIFICATES_REVOKE, str(address), reason=why, after=told)
    log.warning("%s: certificates of %s: %s", why, address, told)


def _differing(ctx: Context, session: Session, now: datetime) -> list[tuple[Address, Step]]:
    listed = shutting.reasons_listed(ctx)
    steps = ((each.address, _step(each, listed, now)) for each in shut(session, listed, now))
    return [(address, step) for address, step in steps if step.changes]


def _step(each: Shut, listed: dict[int, str], now: datetime) -> Step:
    on_list, event = listed.get(int(each.certificate.serial, 16)), seen(each.state)
    return shutting.plan(each.certificate, on_list, event, now, newest=each.newest, reason=ENDED)
