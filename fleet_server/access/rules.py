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
SESSION_LONGEST = timedelta(days=30)  # however busy: a stolen token ends with the month
FAILURES_FREE = 5  # typing errors a person makes before anything slows down
THROTTLE_FIRST_S = 2.0  # doubled with every further failure: 2, 4, 8, ...
THROTTLE_LONGEST_S = 900.0  # 15 minutes: 96 guesses a day and name+address
FAILURES_FORGOTTEN_AFTER = timedelta(hours=24)
# From one address, whatever the names: an office behind one address mistypes that much, a guesser is held to
# 60 an hour
ADDRESS_FAILURES_FREE = 30
ADDRESS_LEAK_S = 60  # one is forgotten a minute
EVERYBODY = "*"  # no account's name: stands for all of an address in the count
TICKET_LIFE = timedelta(minutes=5)  # to find the telephone with the authenticator
TICKET_FAILURES_MOST = 5  # of a million codes, three of which are right
TOKEN_LIFE_LONGEST = timedelta(days=365)
PASSWORD_MIN_CHARACTERS = 12  # NIST SP 800-63B-4 asks for 15 alone, 8 beside a second factor; throttled here
PASSWORD_MAX_CHARACTERS = 256  # bounds the work of one hash
_OPERATOR_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")


class Action(StrEnum):
    """Everything that can be asked of the server. Cedar's schema lists the same names (tested)."""

    DEVICES_READ = "devices:read"
    DEVICES_REGISTER = "devices:register"
    DEVICES_CHANGE = "devices:change"
    DEVICES_COMMAND = "devices:command"
    DEVICES_DECOMMISSION = "devices:decommission"  # for good: its certificates are revoked
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
    SESSION_CHANGE = "session:change"  # the own account: password, second factor, sessions, tenant
    TWIN_READ = "twin:read"
    TWIN_CHANGE = "twin:change"  # desired settings of a device, a group or the tenant
    GROUPS_READ = "groups:read"
    GROUPS_CHANGE = "groups:change"
    COMMANDS_READ = "commands:read"  # and what devices answered, support bundles included
    CLAIMS_BATCH = "claims:batch"  # claims in advance, for a technician's day without a connection
    KEYS_PREREGISTER = "keys:preregister"  # public keys that are let in when they ask
    CERTIFICATES_READ = "certificates:read"
    CERTIFICATES_REVOKE = "certificates:revoke"
    SITES_READ = "sites:read"  # site reports and hand-overs
    SITES_REPORT = "sites:report"  # what the technician does at a post
    TOKENS_READ = "tokens:read"
    TOKENS_CREATE = "tokens:create"
    TOKENS_REVOKE = "tokens:revoke"
    APPROVALS_READ = "approvals:read"
    APPROVALS_DECIDE = "approvals:decide"  # the second person of two
    AUDIT_READ = "audit:read"
    AUDIT_EXPORT = "audit:export"
    PRIVACY_READ = "privacy:read"  # where personal data of somebody lies, and a copy of it
    PRIVACY_ERASE = "privacy:erase"
    TENANTS_READ = "tenants:read"
    TENANTS_CHANGE = "tenants:change"  # tenants and their quotas
    AGGREGATES_READ = "aggregates:read"  # district means, indices: what a data partner is for


class Role(StrEnum):
    """Every role a principal can carry. The first seven are given to people, within a tenant."""

    ADMIN = "admin"
    OPERATOR = "operator"
    VIEWER = "viewer"
    TECHNICIAN = "technician"
    PARTNER = "partner"
    SECURITY_OFFICER = "security-officer"
    APPROVER = "approver"
    INGEST = "ingest"
    ENROLMENT = "enrolment"
    WORKER = "worker"
    CONSOLE = "console"  # the command line on the server's own machine, by whoever may read its configuration
    DEVICE = "device"
    CLAIMANT = "claimant"  # a device that has a claim and no certificate yet


HUMAN_ROLES = (
    Role.ADMIN,
    Role.OPERATOR,
    Role.VIEWER,
    Role.TECHNICIAN,
    Role.PARTNER,
    Role.SECURITY_OFFICER,
    Role.APPROVER,
)
EVERY_TENANT = "*"
# A person does these; no machine's token may have them among its scopes.
NOT_FOR_TOKENS = frozenset(
    {
        Action.SESSION_CHANGE,
        Action.OPERATORS_CREATE,
        Action.TOKENS_CREATE,
        Action.APPROVALS_DECIDE,
        Action.PRIVACY_ERASE,
    }
)


@dataclass(frozen=True)
class Principal:
    """Who acts. `name`: an operator's or service's; a device's "tenant/device"; a claimant's claim id.

    tenant: the one it acts in; EVERY_TENANT for the server's own roles and for people of the whole
    installation. scopes: the actions an API token is limited to; None: whatever the roles allow. via: how it
    proved who it is (session, token, certificate, claim, or within the server).
    """

    kind: PrincipalKind
    name: str
    roles: frozenset[str]
    tenant: str = EVERY_TENANT
    scopes: frozenset[str] | None = None
    via: str = "session"

    @property
    def within(self) -> str | None:
        """The one tenant that its questions and changes are cut to; None: it acts in every one."""
        return None if self.tenant == EVERY_TENANT else self.tenant


INGEST = Principal("service", "ingest", frozenset({Role.INGEST}), via="server")
ENROLMENT = Principal("service", "enrolment", frozenset({Role.ENROLMENT}), via="server")
WORKER = Principal("service", "worker", frozenset({Role.WORKER}), via="server")
CONSOLE = Principal("service", "console", frozenset({Role.CONSOLE}), via="server")


def device_principal(address: str) -> Principal:
    """The device of this `tenant/device`, as its certificate's common name proved it."""
    tenant = address.partition("/")[0]
    return Principal("device", address, frozenset({Role.DEVICE}), tenant, via="certificate")


def claimant_principal(claim_id: str) -> Principal:
    """Who showed the secret of this claim."""
    return Principal("device", claim_id, frozenset({Role.CLAIMANT}), via="claim")


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


def leaked(failures: int, since: datetime, now: datetime) -> tuple[int, datetime]:
    """An address's failures without those that have been forgotten, and from when the next minute counts."""
    gone = max(0, int((now - since).total_seconds() // ADDRESS_LEAK_S))
    if gone >= failures:
        return 0, now
    return failures - gone, since + timedelta(seconds=gone * ADDRESS_LEAK_S)


def address_wait_s(failures: int, since: datetime, now: datetime) -> float:
    """Seconds until an address with that many failures (after `leaked`) is looked at again; 0.0: now."""
    over = failures - ADDRESS_FAILURES_FREE + 1
    if over <= 0:
        return 0.0
    return max(0.0, over * ADDRESS_LEAK_S - (now - since).total_seconds())


def session_alive(expires_at: datetime, now: datetime) -> bool:
    return now < expires_at


def slid_expiry(
    expires_at: datetime, now: datetime, began_at: datetime, longest: timedelta = SESSION_LONGEST
) -> datetime | None:
    """The session's new expiry when it is used now, or None while the stored one is near enough."""
    wanted = min(now + SESSION_IDLE, began_at + longest)
    return wanted if wanted - expires_at >= SESSION_SLIDE_STEP else None
