"""What the keys [sign_in], [access] and [oidc] of the configuration may hold.

A rule returns the value, or raises ValueError with the words that finish "allowed is ...".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from fleet_server.secrets_by_reference import FORM, is_reference

OIDC_KEYS = (
    "issuer", "client_id", "client_secret", "pages", "title", "scopes",
    "name_claim", "groups_claim", "grants", "session_longest",
)  # fmt: skip
# fleet_server.access.rules.HUMAN_ROLES (tested): the configuration is read before any slice is
ROLES = ("admin", "operator", "viewer", "technician", "partner", "security-officer", "approver")
TENANT = re.compile(r"\*|[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_SESSION_SHORTEST = timedelta(minutes=30)  # shorter, and people are sent to the provider while they work
_SESSION_LONGEST = timedelta(
    days=30
)  # as every session's (fleet_server/access/rules.py, SESSION_LONGEST; tested)
_WORD = re.compile(
    r"[\x21\x23-\x5B\x5D-\x7E]{1,128}"
)  # RFC 6749, appendix A.4: a scope; taken for claims too


@dataclass(frozen=True)
class GroupGrant:
    """Who is in `group` at the provider has `roles` in `tenant`."""

    group: str
    tenant: str
    roles: tuple[str, ...]


def roles(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise ValueError('a list of roles, such as ["admin", "security-officer"]')
    if not set(value) <= set(ROLES):
        raise ValueError(f"a list of {', '.join(ROLES)}")
    return tuple(dict.fromkeys(value))


def web_address(value: object) -> str:
    """`https://host[:port][/path]`; plain http for this very machine alone. "" stands for none."""
    allowed = '"" for none, or an https address without a query, such as "https://login.example.org/city"'
    if value == "":
        return ""
    if not isinstance(value, str) or not value.isascii() or not value.isprintable() or len(value) > 512:
        raise ValueError(allowed)
    try:
        parts = urlsplit(value)
        _ = parts.port  # raises for a port that is none
    except ValueError:
        raise ValueError(allowed) from None
    safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
    plain = not (parts.query or parts.fragment or parts.username or parts.password or " " in value)
    if not safe or not parts.hostname or not plain:
        raise ValueError(allowed)
    return value


def public_address(value: object) -> str:
    """As `web_address`, without a path: an origin."""
    address = web_address(value)
    if address and urlsplit(address).path not in {"", "/"}:
        raise ValueError('"" or an https address without a path, such as "https://lamppost.example.org"')
    return address.rstrip("/")


def reference(value: object) -> str:
    """Where a secret lies; the secret itself does not stand in a configuration."""
    if value == "" or (isinstance(value, str) and is_reference(value)):
        return str(value)
    raise ValueError(f'"" for none, or a reference: {FORM}')


def scopes(value: object) -> tuple[str, ...]:
    good = isinstance(value, list) and all(isinstance(v, str) and _WORD.fullmatch(v) for v in value)
    if not good or not isinstance(value, list) or "openid" not in value:
        raise ValueError('a list of scopes with "openid" among them')
    return tuple(value)


def session_longest(value: object) -> timedelta:
    """ "30m" to "30d"."""
    found = re.fullmatch(r"([1-9][0-9]{0,4})([mhd])", value) if isinstance(value, str) else None
    span = timedelta(**{_UNITS[found[2]]: int(found[1])}) if found else timedelta(0)
    if not _SESSION_SHORTEST <= span <= _SESSION_LONGEST:
        raise ValueError('a time from 30m to 30d, such as "12h"')
    return span


def claim(value: object) -> str:
    if not isinstance(value, str) or not _WORD.fullmatch(value):
        raise ValueError('the name of a claim, such as "groups"')
    return value


def grants(value: object) -> tuple[GroupGrant, ...]:
    """["GROUP -> TENANT: ROLE, ROLE", ...]"""
    if not isinstance(value, list):
        raise ValueError('a list such as ["city-staff -> porto: operator, technician"]')
    return tuple(_grant(each) for each in value)


def _grant(value: Any) -> GroupGrant:
    allowed = f'"GROUP -> TENANT: ROLE, ROLE", not {str(value)[:80]!r}'
    if not isinstance(value, str):
        raise ValueError(allowed)
    group, arrow, rest = value.rpartition(" -> ")
    tenant, colon, listed = rest.partition(":")
    given = tuple(dict.fromkeys(each.strip() for each in listed.split(",")))
    group, tenant = group.strip(), tenant.strip()
    if not arrow or not colon or not group:
        raise ValueError(allowed)
    if not TENANT.fullmatch(tenant) or not set(given) <= set(ROLES):
        raise ValueError(f'{allowed}; a tenant or "*", and of {", ".join(ROLES)}')
    return GroupGrant(group, tenant, given)
