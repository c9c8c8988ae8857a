"""What a lamppost's certificate is good for, and why one is revoked. Pure; real time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum


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


def standing(*, listed: str | None, revoked: bool, not_after: datetime, now: datetime) -> Standing:
    """listed: the revocation list's reason, None where it is not on it. revoked: what our own record says;
    one that ran out before its lamppost was decommissioned is on no list."""
    if listed == HOLD:
        return Standing.ON_HOLD
    if listed is not None or (revoked and not_after <= now):
        return Standing.REVOKED
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
