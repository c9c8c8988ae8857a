"""Which certificates are shut out, for good or on hold: the revocation list first, then our record.

Both go by one table (`certificate_rules.PAIRS`). Everything can be repeated; what a power cut leaves between
the two is settled by the next look (`relisting.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from sqlmodel import Session

from fleet_server.context import Context
from fleet_server.enrolment import store
from fleet_server.enrolment.certificate_rules import (
    HOLD,
    Event,
    Mark,
    Reason,
    after,
    forgotten,
    mark_of,
    to_list,
)
from fleet_server.enrolment.city_authority import city_authority, unavailable
from fleet_server.enrolment.store import Certificate
from provisioning.revocation import entries_of, reason_of
from wire_contract.topics import Address

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Step:
    """What an event comes to for one certificate. former: how our record had it, None where it does not say;
    wanted: how it is to be; word: why, RFC 5280's; lists: the list has to change too."""

    certificate: Certificate
    former: Mark | None
    wanted: Mark
    word: str
    lists: bool

    @property
    def changes(self) -> bool:
        return self.lists or self.former is not self.wanted


def shut_out(
    ctx: Context,
    session: Session,
    addresses: Sequence[Address],
    now: datetime,
    *,
    hold: bool,
    reason: Reason = Reason.UNSPECIFIED,
) -> None:
    """Shut out every certificate of these lampposts, for good (`reason`) or until `let_in_again`. The list is
    written once, and the broker reads it once. Raises AuthorityUnavailable."""
    _decide(ctx, session, addresses, Event.HOLD if hold else Event.END, now, reason)


def let_in_again(ctx: Context, session: Session, addresses: Sequence[Address], now: datetime) -> None:
    """Let the certificates in again that are on hold; those that ran out meanwhile are good for a renewal
    by their key. What was for good stays so, whatever the list says. Raises AuthorityUnavailable."""
    _decide(ctx, session, addresses, Event.LET_IN, now, Reason.UNSPECIFIED)


def end(ctx: Context, session: Session, certificate: Certificate, reason: Reason, now: datetime) -> bool:
    """One for good; False where it was. Raises AuthorityUnavailable."""
    listed = reasons_listed(ctx).get(int(certificate.serial, 16))
    step = plan(certificate, listed, Event.END, now, newest=False, reason=reason)
    follow(ctx, session, [step], now)
    return step.changes


def reasons_listed(ctx: Context) -> dict[int, str]:
    """Serial -> RFC 5280's word for why it is on a revocation list. Raises AuthorityUnavailable."""
    try:
        lists = city_authority(ctx).revocation_lists()
    except (OSError, ValueError) as error:
        raise unavailable(error) from error
    return {entry.serial_number: reason_of(entry).value for entry in entries_of(lists)}


def _decide(
    ctx: Context,
    session: Session,
    addresses: Sequence[Address],
    event: Event,
    now: datetime,
    reason: Reason,
) -> None:
    found = [store.certificates(session, each.tenant, each.device) for each in addresses]
    if not any(found):
        return
    listed = reasons_listed(ctx)
    steps = [
        plan(each, listed.get(int(each.serial, 16)), event, now, newest=each is those[0], reason=reason)
        for those in found
        for each in those
    ]
    follow(ctx, session, steps, now)


def plan(
    each: Certificate, listed: str | None, event: Event, now: datetime, *, newest: bool, reason: Reason
) -> Step:
    """listed: RFC 5280's word on the list, None where it is not on it. reason: of an end that is news."""
    on_list, expired = mark_of(listed), each.not_after <= now
    if each.revoked_at is not None and not each.revocation:
        former = None
        held = forgotten(
            listed, newest=newest, quarantined=event in (Event.HOLD, Event.SEEN_QUARANTINED), expired=expired
        )
        wanted = after(held, held, event, expired=expired)
    else:
        former = mark_of(each.revocation or None)
        wanted = after(former, on_list, event, expired=expired)
    if wanted is not Mark.FOR_GOOD:
        word = HOLD if wanted is Mark.ON_HOLD else ""
    elif former is Mark.FOR_GOOD:
        word = each.revocation
    else:
        word = listed if listed is not None and on_list is Mark.FOR_GOOD else str(reason)
    return Step(each, former, wanted, word, to_list(wanted, on_list, each.not_after, now))


def follow(ctx: Context, session: Session, steps: Iterable[Step], now: datetime) -> None:
    """Do it. Raises AuthorityUnavailable."""
    changing = [each for each in steps if each.changes]
    _write_list(ctx, [each for each in changing if each.lists])
    for mark, word in {(each.wanted, each.word) for each in changing}:
        serials = [each.certificate.serial for each in changing if (each.wanted, each.word) == (mark, word)]
        store.mark(session, serials, word, None if mark is Mark.OPEN else now)
    for each in changing:
        made = each.certificate
        log.info("certificate %s of %s/%s: %s", made.serial, made.tenant, made.device, each.wanted)


def _write_list(ctx: Context, steps: Sequence[Step]) -> None:
    if not steps:
        return
    authority = city_authority(ctx)
    try:
        for word in sorted({each.word for each in steps}):
            serials = [int(each.certificate.serial, 16) for each in steps if each.word == word]
            if not word:
                authority.release_all(serials)
            elif word == HOLD:
                authority.revoke_all(serials, hold=True)
            else:
                authority.revoke_all(serials, reason=x509.ReasonFlags(word))
    except OSError as error:
        raise unavailable(error) from error
