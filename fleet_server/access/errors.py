"""What access refuses, as members of the server's tree (`fleet_server/errors.py`): all the asker's fault."""

from __future__ import annotations

from fleet_server.errors import Conflict, Forbidden, InvalidRequest, NotAuthenticated, TooManyRequests

__all__ = ["Forbidden", "NameTaken", "SignInBusy", "SignInRefused", "TooManyAttempts", "UnfitCredential"]


class SignInRefused(NotAuthenticated):
    """Name or password is wrong; which of the two is not told."""


class TooManyAttempts(TooManyRequests):
    """This name from this address has failed too often; `members["retry_after_s"]` says when to try again."""


class SignInBusy(TooManyRequests):
    """So many sign in at once that this one is not even looked at; nothing is counted against anybody."""


class UnfitCredential(InvalidRequest):
    """A name or password that is not taken for a new operator."""


class NameTaken(Conflict):
    """There is an operator of this name."""
