"""What enrolment refuses, as members of the server's tree (`fleet_server/errors.py`)."""

from __future__ import annotations

from fleet_server.enrolment.rules import Refusal
from fleet_server.errors import (
    Conflict,
    Forbidden,
    Gone,
    InputError,
    LamppostError,
    LinkError,
    NotAuthenticated,
)


class BadRequest(InputError):
    """400: not a certificate request, or one with a key or name that is not taken."""


class ClaimUnknown(NotAuthenticated):
    """401: no claim, or not its secret; which of the two is not told."""


class ClaimSpent(Forbidden):
    """403: the claim was used with another key, or its request was rejected."""


class CertificateRefused(NotAuthenticated):
    """401: not the city's certificate, or a revoked one."""


class StaleChallenge(NotAuthenticated):
    """401: the signed request carries no challenge of this server, or an old one."""


class RenewalRefused(Forbidden):
    """403: the lamppost is not active, or has had enough certificates for a day."""


class ClaimEarly(Forbidden):
    """403: the claim's day has not come."""


class ClaimOver(Gone):
    """410: the claim has expired or was withdrawn."""


class NameTaken(Conflict):
    """409: there is a lamppost of this name, or an open claim for it."""


class NotNow(Conflict):
    """409: the decision does not fit the state the enrolment is in."""


class AuthorityUnavailable(LinkError):
    """503: the certificate authority cannot sign now; the log has the reason. An accepted request is kept."""


def of_device(refusal: Refusal) -> LamppostError:
    """The error for a device whose request the table refuses."""
    told = f"{refusal.value[0].upper()}{refusal.value[1:]}."
    match refusal:
        case Refusal.EXPIRED | Refusal.WITHDRAWN:
            return ClaimOver(told)
        case _:
            return ClaimSpent(told)


def of_person(refusal: Refusal) -> LamppostError:
    """The error for a person whose decision the table refuses."""
    return NotNow(f"Nothing was changed: {refusal.value}.")
