"""What access refuses, as members of the server's tree (`fleet_server/errors.py`): all the asker's fault.

NotAuthenticated
├── SignInRefused
│   └── CodeRefused
├── SecondFactorNeeded     the password was right
└── ProviderRefused        the OpenID provider, or what it sent
InputError
└── LogoutRefused          what the OpenID provider, or somebody else, sent
TooManyRequests
├── TooManyAttempts
└── SignInBusy
LinkError
└── ProviderUnreachable
"""

from __future__ import annotations

from fleet_server.errors import (
    Conflict,
    Forbidden,
    InputError,
    InvalidRequest,
    LinkError,
    NotAuthenticated,
    PasswordChangeNeeded,
    SecondFactorNeeded,
    SecondPersonNeeded,
    TooManyRequests,
)

__all__ = [
    "CodeRefused",
    "Forbidden",
    "LogoutRefused",
    "NameTaken",
    "PasswordChangeNeeded",
    "ProviderRefused",
    "ProviderUnreachable",
    "SecondFactorNeeded",
    "SecondPersonNeeded",
    "SignInBusy",
    "SignInRefused",
    "TooManyAttempts",
    "UnfitCredential",
]


class SignInRefused(NotAuthenticated):
    """Name or password is wrong; which of the two is not told."""


class CodeRefused(SignInRefused):
    """The second factor's code is wrong, was used before, or its ticket has ended."""


class ProviderRefused(NotAuthenticated):
    """The OpenID provider let nobody in, or what it sent is not to be trusted; the log has the reason."""


class LogoutRefused(InputError):
    """A logout token that is not to be trusted; the log has the reason."""


class ProviderUnreachable(LinkError):
    """The OpenID provider does not answer; accounts of this server sign in all the same."""


class TooManyAttempts(TooManyRequests):
    """This name from this address has failed too often; `members["retry_after_s"]` says when to try again."""


class SignInBusy(TooManyRequests):
    """So many sign in at once that this one is not even looked at; nothing is counted against anybody."""


class UnfitCredential(InvalidRequest):
    """A name or password that is not taken for a new operator."""


class NameTaken(Conflict):
    """There is an operator of this name."""
