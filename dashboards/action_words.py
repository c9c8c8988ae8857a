"""What actions and roles are in words, for people who read no source. Pure."""

from __future__ import annotations

ACTIONS = {
    "devices:read": "look at lampposts",
    "devices:register": "register lampposts",
    "devices:change": "change lampposts: place, let in, shut out",
    "devices:command": "tell lampposts what to do",
    "devices:decommission": "shut a lamppost out for good",
    "devices:report": "report for a lamppost",
    "devices:refused": "messages of a lamppost that were not taken",
    "telemetry:read": "read measurements",
    "telemetry:write": "write measurements",
    "telemetry:retention": "measurements were kept long enough",
    "air:read": "read indices and corrected values",
    "calibrations:change": "set calibrations",
    "retention:read": "see how long measurements are kept",
    "retention:change": "change how long measurements are kept",
    "dead-letters:read": "see messages that nobody understood",
    "dead-letters:replay": "take such messages in again",
    "claims:read": "see claims",
    "claims:create": "make claims",
    "claims:withdraw": "withdraw claims",
    "claims:batch": "make claims in advance",
    "keys:preregister": "register keys of lampposts",
    "enrolments:read": "see who asks to be let in",
    "enrolments:decide": "let lampposts in, or refuse them",
    "enrolments:request": "ask to be let in",
    "certificates:read": "see certificates",
    "certificates:renew": "renew a certificate",
    "certificates:revoke": "revoke certificates",
    "incidents:read": "see incidents and verdicts",
    "incidents:work": "work on incidents",
    "operators:read": "see accounts",
    "operators:create": "change accounts",
    "session:read": "see the own session",
    "session:change": "change the own account",
    "session:begin": "sign in",
    "session:end": "sign out",
    "access:refused": "was refused",
    "twin:read": "see settings",
    "twin:change": "change settings",
    "groups:read": "see groups",
    "groups:change": "change groups",
    "commands:read": "see commands and their answers",
    "sites:read": "see site reports",
    "sites:report": "report from a post",
    "tokens:read": "see tokens",
    "tokens:create": "make tokens",
    "tokens:revoke": "revoke tokens",
    "approvals:read": "see requests for a second person",
    "approvals:decide": "decide as the second person",
    "audit:read": "read the audit log",
    "audit:export": "take the audit log out",
    "audit:checkpoint": "sign the audit log",
    "audit:retention": "lines of the audit log were kept long enough",
    "privacy:read": "see where data of a person lies",
    "privacy:erase": "erase data of a person",
    "privacy:retention": "personal data was kept long enough",
    "tenants:read": "see tenants",
    "tenants:change": "change tenants and quotas",
    "aggregates:read": "read means of districts",
    "database:restore": "restore a backup",
    "database:upgrade": "upgrade the database",
}
ROLES = {
    "admin": ("administrator", "everything that people do"),
    "operator": ("operator", "runs the lampposts"),
    "viewer": ("viewer", "looks on"),
    "technician": ("technician", "sets lampposts up"),
    "partner": ("data partner", "reads means of districts"),
    "security-officer": ("security officer", "reads the audit log, ends tokens"),
    "approver": ("approver", "the second person of two"),
}


def action(key: str) -> str:
    """One that is not in the list stays as it is."""
    return ACTIONS.get(key, key)


def role(key: str) -> str:
    return ROLES[key][0] if key in ROLES else key
