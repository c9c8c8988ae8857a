"""Who may act and what there is to do: closed sets, and the pure rules of passwords, sessions and throttling.

Nothing here reads a clock, a database or a random source.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal

PrincipalKind = Literal["operator", "service", "device"]

SESSION_IDLE = timedelta(
    hours=12
)  # a shift and its handover; sliding, so a person at work is never thrown out
SESSION_SLIDE_STEP = timedelta(
    minutes=5
)  # a session's row is written at most this often, not at every request
FAILURES_FREE = 5  # typing errors a person makes before anything slows down
THROTTLE_FIRST_S = 2.0  # doubled with every further failure: 2, 4, 8, ...
THROTTLE_LONGEST_S = 900.0  # 15 minutes: 96 guesses a day and name+address
FAILURES_FORGOTTEN_AFTER = timedelta(hours=24)
PASSWORD_MIN_CHARACTERS = 12  # NIST SP 800-63B-4 asks for 15 alone, 8 beside a second factor; throttled here
PASSWORD_MAX_CHARACTERS = 256  # bounds the work of one hash
_OPERATOR_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")


class Action(StrEnum):
    """Everything that can be asked of the server. Cedar's schema lists the same names (tested)."""

    DEVICES_READ = "devices:read"
    DEVICES_REGISTER = "devices:register"
    DEVICES_CHANGE = "devices:change"
    DEVICES_COMMAND = "devices:command"
    DEVICES_REPORT = "devices:report"  # presence, declarations, conditions: what ingest writes for a device
    TELEMETRY_READ = "telemetry:read"
    TELEMETRY_WRITE = "telemetry:write"
    AIR_READ = "air:read"  # indices, corrected series, calibrations
    CALIBRATIONS_CHANGE = "calibrations:change"
    RETENTION_READ = "retention:read"
    RETENTION_CHANGE = "retention:change"  # what is kept for how long: what goes does not come back
    DEAD_LETTERS_READ = "dead-letters:read"
    DEAD_LETTERS_REPLAY = "dead-letters:replay"
    CLAIMS_READ = "claims:read"
    CLAIMS_CREATE = "claims:create"
    CLAIMS_WITHDRAW = "claims:withdraw"
    ENROLMENTS_READ = "enrolments:read"
    ENROLMENTS_DECIDE = "enrolments:decide"
    ENROLMENTS_REQUEST = "enrolments:request"  # a device with a claim asks for its certificate
    CERTIFICATES_RENEW = "certificates:renew"  # a device asks for its next certificate over its own topic
    INCIDENTS_READ = "incidents:read"  # and the verdicts that they are made of
    INCIDENTS_WORK = "incidents:work"  # acknowledge, silence, note, close
    OPERATORS_READ = "operators:read"
    OPERATORS_CREATE = "operators:create"
    SESSION_READ = "session:read"


class Role(StrEnum):
    """Every role a principal can carry. The first three are given to people."""

    ADMIN = "admin"
    OPERATOR = "operator"
    VIEWER = "viewer"
    INGEST = "ingest"
    ENROLMENT = "enrolment"
    WORKER = "worker"
    CONSOLE = "console"  # the command line on the server's own machine, by whoever may read its configuration
    DEVICE = "device"
    CLAIMANT = "claimant"  # a device that has a claim and no certificate yet


HUMAN_ROLES = (Role.ADMIN, Role.OPERATOR, Role.VIEWER)


@dataclass(frozen=True)
class Principal:
    """Who acts. `name`: an operator's or service's; a device's "tenant/device"; a claimant's claim id."""

    kind: PrincipalKind
    name: str
    roles: frozenset[str]


INGEST = Principal("service", "ingest", frozenset({Role.INGEST}))
ENROLMENT = Principal("service", "enrolment", frozenset({Role.ENROLMENT}))
WORKER = Principal("service", "worker", frozenset({Role.WORKER}))
CONSOLE = Principal("service", "console", frozenset({Role.CONSOLE}))


def device_principal(address: str) -> Principal:
    """The device of this `tenant/device`, as its certificate's common name proved it."""
    return Principal("device", address, frozenset({Role.DEVICE}))


def claimant_principal(claim_id: str) -> Principal:
    """Who showed the secret of this claim."""
    return Principal("device", claim_id, frozenset({Role.CLAIMANT}))


def operator_name_problem(name: str) -> str | None:
    """What is wrong with an operator's name, or None."""
    if _OPERATOR_NAME.fullmatch(name):
        return None
    return "a name is 1 to 64 of a-z 0-9 . _ - and starts and ends with a letter or digit"


def password_problem(password: str, name: str) -> str | None:
    """What is wrong with a chosen password, or None (length over composition, NIST SP 800-63B-4)."""
    if len(password) < PASSWORD_MIN_CHARACTERS:
        return f"a password has at least {PASSWORD_MIN_CHARACTERS} characters"
    if len(password) > PASSWORD_MAX_CHARACTERS:
        return f"a password has at most {PASSWORD_MAX_CHARACTERS} characters"
    if len(set(password)) < 4:
        return "a password of so few different characters is guessed at once"
    if name.lower() in password.lower() and len(password) < 2 * len(name) + 4:
        return "a password is not the name again"
    return None


def throttle_s(failures: int) -> float:
    """How long further attempts are refused after the given number of failures in a row, in seconds."""
    excess = failures - FAILURES_FREE
    if excess <= 0:
        return 0.0
    return min(THROTTLE_FIRST_S * 2.0 ** min(excess - 1, 30), THROTTLE_LONGEST_S)


def retry_after_s(failures: int, last_failure: datetime, now: datetime) -> float:
    """Seconds until the next attempt is looked at; 0.0 when it may be tried now."""
    if now - last_failure > FAILURES_FORGOTTEN_AFTER:
        return 0.0
    left = throttle_s(failures) - (now - last_failure).total_seconds()
    return max(0.0, left)


def session_alive(expires_at: datetime, now: datetime) -> bool:
    return now < expires_at


def slid_expiry(expires_at: datetime, now: datetime) -> datetime | None:
    """The session's new expiry when it is used now, or None while the stored one is near enough."""
    wanted = now + SESSION_IDLE
    return wanted if wanted - expires_at >= SESSION_SLIDE_STEP else None
