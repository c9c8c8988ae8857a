"""What can go wrong in the server, sorted by who is at fault, and how each is told to the outside.

    LamppostError
    ├── InputError           the person or program that asks
    │   ├── InvalidRequest   422   what was sent cannot be understood
    │   ├── NotAuthenticated 401   nobody is signed in
    │   │   └── SecondFactorNeeded   the password was right, a code is still to come
    │   ├── Forbidden        403   somebody is, and may not
    │   │   ├── OtherTenant  404   it is another tenant's: told as if it were not there
    │   │   └── PasswordChangeNeeded   somebody else chose the password: another first
    │   ├── NotFound         404
    │   ├── MethodNotAllowed 405
    │   ├── NotAcceptable    406   the answer has no form that the asker takes
    │   ├── Conflict         409   right in itself, not in this state
    │   │   └── SecondPersonNeeded   another person has to agree first
    │   ├── PreconditionFailed 412 what the asker has seen has changed since
    │   ├── Gone             410   it was there, and has expired or been used
    │   ├── TooLarge         413
    │   ├── UnsupportedMedia 415
    │   └── TooManyRequests  429
    ├── ConfigurationError   the operator's configuration or surroundings (command line: exit status 2)
    ├── PeerError            400   a device, broker or other server broke the protocol
    ├── LinkError            503   something that should answer does not
    │   ├── DatabaseUnreachable
    │   └── BrokerUnreachable
    ├── HardwareError        507   no space, no memory, an unreadable disk
    └── InternalError        500   ours

`PROBLEMS` is the one table from error to problem+json (RFC 9457); the most derived entry counts.
A slice derives its own errors from these and needs no entry, unless it wants another title.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any


class LamppostError(Exception):
    """`detail` is one sentence for the reader; `remedy` says what to do, where that is known.

    `members` are further members of the problem document (RFC 9457, section 3.2), JSON values only.
    """

    def __init__(self, detail: str, *, remedy: str = "", members: dict[str, Any] | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.remedy = remedy
        self.members = members or {}

    def __str__(self) -> str:
        return f"{self.detail} {self.remedy}".strip()


class InputError(LamppostError):
    """The one who asks is at fault."""


class InvalidRequest(InputError):
    """What was sent cannot be understood."""


class NotAuthenticated(InputError):
    """Nobody is signed in."""


class SecondFactorNeeded(NotAuthenticated):
    """The password was right; `members["ticket"]` goes with the code of the second factor."""


class Forbidden(InputError):
    """Somebody is signed in, and may not do this. `attempt`: who, what, on what, for the audit log alone."""

    attempt: tuple[Any, str, str] | None = None


class OtherTenant(Forbidden):
    """It is another tenant's. Told as if it were not there, so that nobody learns the names of others."""


class PasswordChangeNeeded(Forbidden):
    """Somebody else chose the password: until its owner has chosen another, nothing else is to be had."""


class NotFound(InputError):
    """There is no such thing, or the asker may not know of it."""


class MethodNotAllowed(InputError):
    """The thing is there and does not take this method."""


class NotAcceptable(InputError):
    """The answer has no form that the asker takes."""


class Conflict(InputError):
    """Right in itself, not in the state that the thing is in."""


class SecondPersonNeeded(Conflict):
    """Nothing was done: another person has to agree to the request `members["request"]` first."""


class PreconditionFailed(InputError):
    """What the asker has seen is not what is there any more (If-Match)."""


class Gone(InputError):
    """It was there, and has expired or been used."""


class TooLarge(InputError):
    """The body is larger than this server takes."""


class UnsupportedMedia(InputError):
    """The body is of a type that this address does not take."""


class TooManyRequests(InputError):
    """The asker has to slow down."""


class ConfigurationError(LamppostError):
    """The operator's configuration, or the machine that it describes, does not allow a start."""


class WrongValue(ConfigurationError):
    """One key of the configuration is wrong: names the file, the key, the value and what is allowed."""

    def __init__(self, file: Path | str, key: str, value: object, allowed: str) -> None:
        super().__init__(f"{file}: {key} = {value!r} is wrong: allowed is {allowed}.")
        self.file, self.key, self.value, self.allowed = str(file), key, value, allowed


class PeerError(LamppostError):
    """A device, a broker or another server broke the protocol."""


class LinkError(LamppostError):
    """Something that should answer does not."""


class DatabaseUnreachable(LinkError):
    """PostgreSQL does not answer, or answered and went away."""


class BrokerUnreachable(LinkError):
    """The MQTT broker does not answer."""


class HardwareError(LamppostError):
    """The machine has no space or memory left, or cannot read its disk."""


class InternalError(LamppostError):
    """A fault of this program. What it says stays in the log and is not shown."""


@dataclass(frozen=True)
class Problem:
    """How a kind of error looks from outside. `shown`: may the caller read the error's own words?"""

    status: int
    slug: str
    title: str
    shown: bool = True

    @property
    def type(self) -> str:
        return f"urn:lamppost:problem:{self.slug}"


PROBLEMS: dict[type[LamppostError], Problem] = {
    InputError: Problem(400, "bad-request", "The request cannot be carried out"),
    InvalidRequest: Problem(422, "invalid-request", "The request is not valid"),
    NotAuthenticated: Problem(401, "not-authenticated", "Sign in first"),
    SecondFactorNeeded: Problem(401, "second-factor-needed", "Show the second factor"),
    Forbidden: Problem(403, "forbidden", "You may not do this"),
    PasswordChangeNeeded: Problem(403, "password-change-needed", "Choose a password of your own"),
    NotFound: Problem(404, "not-found", "There is nothing at this address"),
    OtherTenant: Problem(404, "not-found", "There is nothing at this address"),
    MethodNotAllowed: Problem(405, "method-not-allowed", "This address does not take this method"),
    NotAcceptable: Problem(406, "not-acceptable", "There is no such form of the answer"),
    Conflict: Problem(409, "conflict", "The present state does not allow it"),
    SecondPersonNeeded: Problem(409, "second-person-needed", "Another person has to agree first"),
    PreconditionFailed: Problem(412, "precondition-failed", "It has changed since you looked"),
    Gone: Problem(410, "gone", "It has expired or been used"),
    TooLarge: Problem(413, "too-large", "The body is too large"),
    UnsupportedMedia: Problem(415, "unsupported-media-type", "The body is of the wrong type"),
    TooManyRequests: Problem(429, "too-many-requests", "Slow down"),
    ConfigurationError: Problem(500, "misconfigured", "The server is configured wrongly", shown=False),
    PeerError: Problem(400, "protocol-error", "The message breaks the protocol"),
    LinkError: Problem(503, "unavailable", "A part of the server does not answer"),
    DatabaseUnreachable: Problem(503, "database-unavailable", "The database does not answer", shown=False),
    BrokerUnreachable: Problem(503, "broker-unavailable", "The broker does not answer", shown=False),
    HardwareError: Problem(507, "out-of-resources", "The server has run out of something", shown=False),
    InternalError: Problem(500, "internal", "The server made a mistake", shown=False),
}
UNKNOWN = PROBLEMS[InternalError]


def problem_of(error: BaseException) -> Problem:
    """The entry of the most derived class of `error` that has one; `internal` for what is not in the tree."""
    for kind in type(error).__mro__:
        if kind in PROBLEMS:
            return PROBLEMS[kind]
    return UNKNOWN


def document_of(error: BaseException, request_id: str) -> dict[str, Any]:
    """The problem document of `error`: type, title, status, detail, request_id, and the error's members."""
    problem = problem_of(error)
    document: dict[str, Any] = {"type": problem.type, "title": problem.title, "status": problem.status}
    if problem.shown and isinstance(error, LamppostError):
        document |= {k: v for k, v in error.members.items() if k not in document}
        document["detail"] = str(error)
    else:
        document["detail"] = f"The server's log has the reason, under request {request_id}."
    document["request_id"] = request_id
    return document
