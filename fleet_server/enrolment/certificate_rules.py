"""What a lamppost's certificate is good for, and why one is revoked. Pure; real time.

Our record says which is shut out, and whether for good; the revocation list follows. `PAIRS` has them all.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

from fleet_server.devices.rules import DeviceState
from provisioning.revocation import is_past


class Standing(StrEnum):
    """What becomes of whoever shows it."""

    GOOD = "good"
    EXPIRED = "expired"  # opens no door; its key may ask for the next one
    ON_HOLD = "on hold"  # the lamppost is quarantined: good again once it is active
    REVOKED = "revoked"  # for good


class Reason(StrEnum):
    """The words of RFC 5280, section 5.3.1, that suit a lamppost's own certificate. The others are an
    authority's, or a quarantine (certificateHold)."""

    KEY_COMPROMISE = "keyCompromise"
    AFFILIATION_CHANGED = "affiliationChanged"
    SUPERSEDED = "superseded"
    CESSATION_OF_OPERATION = "cessationOfOperation"
    PRIVILEGE_WITHDRAWN = "privilegeWithdrawn"
    UNSPECIFIED = "unspecified"


HOLD = "certificateHold"
ENDED = Reason.CESSATION_OF_OPERATION  # why a decommissioned lamppost's are revoked


class Mark(StrEnum):
    """How a certificate stands in our record, or on the revocation list."""

    OPEN = "not revoked"
    ON_HOLD = "on hold"
    FOR_GOOD = "revoked"


class Event(StrEnum):
    """What people decide about a certificate or its lamppost; and what is looked after each minute."""

    HOLD = "its lamppost is quarantined"
    LET_IN = "its lamppost is made active"
    END = "revoked, its lamppost decommissioned or replaced"
    SEEN = "looked at, its lamppost is active or unknown"
    SEEN_QUARANTINED = "looked at, its lamppost is quarantined"
    SEEN_ENDED = "looked at, its lamppost is decommissioned"


_O, _H, _G = Mark
# (our record, the list) -> after each event, in their order; both are the same then.
# Where they differ: the list is written before our record, and a power cut may come between; a list was lost,
# or an older one put back; somebody wrote it by hand (`lamppost ca revoke`). For good in one is for good.
# A look lets nobody in: on hold by the list alone stays so. On hold by our record alone, and active: a person
# has let it in, the list has, and the record was still to come.
_ROWS: dict[tuple[Mark, Mark], tuple[Mark, ...]] = {
    (_O, _O): (_H, _O, _G, _O, _H, _G),
    (_O, _H): (_H, _O, _G, _H, _H, _G),
    (_O, _G): (_G, _G, _G, _G, _G, _G),
    (_H, _O): (_H, _O, _G, _O, _H, _G),
    (_H, _H): (_H, _O, _G, _H, _H, _G),
    (_H, _G): (_G, _G, _G, _G, _G, _G),
    (_G, _O): (_G, _G, _G, _G, _G, _G),
    (_G, _H): (_G, _G, _G, _G, _G, _G),
    (_G, _G): (_G, _G, _G, _G, _G, _G),
}
PAIRS = {(*now, event): to for now, after in _ROWS.items() for event, to in zip(Event, after, strict=True)}


def after(recorded: Mark, listed: Mark, event: Event, *, expired: bool) -> Mark:
    """expired: it opens no door and is not put on hold; who has its key asks, and a person decides."""
    wanted = PAIRS[recorded, listed, event]
    if expired and wanted is Mark.ON_HOLD and recorded is listed is Mark.OPEN:
        return Mark.OPEN
    return wanted


def mark_of(word: str | None) -> Mark:
    """word: RFC 5280's reason, None where there is none."""
    if word is None:
        return Mark.OPEN
    return Mark.ON_HOLD if word == HOLD else Mark.FOR_GOOD


def seen(state: DeviceState | None) -> Event:
    if state is DeviceState.QUARANTINED:
        return Event.SEEN_QUARANTINED
    return Event.SEEN_ENDED if state is DeviceState.DECOMMISSIONED else Event.SEEN


def forgotten(listed: str | None, *, newest: bool, quarantined: bool, expired: bool) -> Mark:
    """One that an older version has marked without saying how: as the list says. Where that says nothing: for
    good, but for two that a person can let in again, those of a lamppost in quarantine and a lamppost's
    newest, which a power cut may have left in our records alone."""
    if listed is not None:
        return mark_of(listed)
    return Mark.ON_HOLD if not expired and (newest or quarantined) else Mark.FOR_GOOD


def to_list(wanted: Mark, listed: Mark, not_after: datetime, now: datetime) -> bool:
    """Does the list have to change? Who ran out long ago is not put on it any more."""
    if wanted is listed or listed is Mark.FOR_GOOD:
        return False
    return listed is Mark.ON_HOLD or not is_past(not_after, now)


def why(*, listed: str | None, recorded: str | None, not_after: datetime, now: datetime) -> str | None:
    """The reason that counts, None where there is none. listed, recorded: on the revocation list, and in our
    record. The list decides who comes in; one that ran out may be on no list, and its record counts."""
    if listed == HOLD or (listed is None and not_after <= now):
        return listed if recorded is None else recorded
    return listed


def standing(reason: str | None, not_after: datetime, now: datetime) -> Standing:
    """reason: the one that counts."""
    mark = mark_of(reason)
    if mark is not Mark.OPEN:
        return Standing.ON_HOLD if mark is Mark.ON_HOLD else Standing.REVOKED
    return Standing.EXPIRED if not_after <= now else Standing.GOOD


def what_follows(whose: str, others: Sequence[Standing], *, changed: bool) -> str:
    """For whoever has revoked one. whose: "tenant/device"; others: its other certificates."""
    name = whose.partition("/")[2]
    done = "The broker ends its connection within seconds." if changed else "It was revoked before."
    good = sum(each is Standing.GOOD for each in others)
    if good:
        return (
            f"{done} {good} other certificate{'s are' if good > 1 else ' is'} still good: whoever has the key"
            f" comes in. To shut {whose} out: lamppost fleet lamppost quarantine {name}."
        )
    return (
        f"{done} {whose} has no good certificate and is let in no more. It comes back by a new claim, which a"
        f" person accepts: lamppost fleet claim new --device {name} --replaces."
    )
