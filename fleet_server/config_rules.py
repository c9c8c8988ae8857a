"""What each key of the configuration may hold: one table from key to rule.

A rule takes the TOML value and returns the value the program works with, or raises `Refused` with the words
that finish the sentence "allowed is ...".
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from fleet_server import people_rules
from fleet_server.accept_policy import AcceptRule, BadRule, read_rules
from fleet_server.secrets_by_reference import FORM, is_reference

# a label of the wire's names (wire_contract.topics): RFC 1123 host label, lower case
NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
TILES = re.compile(
    r"https?://(?:\{s\}\.)?[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?(?::\d{1,5})?/[^\s;,'\"<>\\]+"
)
HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?|[0-9A-Fa-f:]{2,45}")


class Refused(ValueError):
    """The value is not allowed; the text says what is."""


@dataclass(frozen=True)
class Listen:
    """An address to listen on."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


Rule = Callable[[Any], Any]


def text_matching(pattern: re.Pattern[str], allowed: str) -> Rule:
    def rule(value: object) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise Refused(allowed)
        return value

    return rule


def whole(least: int, most: int) -> Rule:
    def rule(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise Refused(f"a whole number from {least} to {most}")
        return value

    return rule


def days(least: int) -> Rule:
    """0 stands for: for ever."""
    most = 36_500

    def rule(value: object) -> int:
        if (
            not isinstance(value, int)
            or isinstance(value, bool)
            or not (value == 0 or least <= value <= most)
        ):
            raise Refused(f"0 (for ever), or a whole number of days from {least} to {most}")
        return value

    return rule


def one_of(*words: str) -> Rule:
    def rule(value: object) -> str:
        if not isinstance(value, str) or value not in words:
            raise Refused(" or ".join(f'"{word}"' for word in words))
        return value

    return rule


def yes_no(value: object) -> bool:
    if not isinstance(value, bool):
        raise Refused("true or false")
    return value


def path(value: object) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise Refused('a path in quotes, or "" for the default')
    return value


def listen(value: object) -> Listen:
    allowed = 'an address with a port from 1 to 65535, such as "127.0.0.1:8000" or "[::1]:8000"'
    if not isinstance(value, str):
        raise Refused(allowed)
    host, _, port = value.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    host = host[1:-1] if bracketed else host
    if not HOST.fullmatch(host) or (":" in host and not bracketed):
        raise Refused(allowed)
    if not (port.isascii() and port.isdigit() and 1 <= int(port) <= 65535):
        raise Refused(allowed)
    return Listen(host, int(port))


def listen_or_off(value: object) -> Listen | None:
    return None if value == "" else listen(value)


def database_url(value: object) -> str:
    allowed = '"embedded:", "embedded:DIR" or "postgresql://user:password@host:port/database"'
    if not isinstance(value, str) or "\0" in value:
        raise Refused(allowed)
    if value.startswith("embedded:"):
        return value
    try:
        parts = urlsplit(value)
        _ = parts.port  # raises for a port that is none
    except ValueError:
        raise Refused(allowed) from None
    if parts.scheme not in {"postgresql", "postgres"} or not parts.path.strip("/"):
        raise Refused(allowed)
    return "postgresql://" + value.partition("://")[2]


def reference(value: object) -> str:
    """Where a secret lies; "" for none."""
    if value == "" or (isinstance(value, str) and is_reference(value)):
        return str(value)
    raise Refused(f'"" for none, or {FORM}')


def tile_address(value: object) -> str:
    """Of map tiles, as every map library writes it; it goes into the pages' content security policy."""
    allowed = '"" for none, or "https://HOST/…/{z}/{x}/{y}.png" with {z}, {x} and {y} ({s} for host names)'
    if value == "":
        return ""
    if not isinstance(value, str) or not TILES.fullmatch(value):
        raise Refused(allowed)
    if not all(part in value for part in ("{z}", "{x}", "{y}")):
        raise Refused(allowed)
    return value


def words(value: object) -> str:
    if not isinstance(value, str) or len(value) > 200 or (value and not value.isprintable()):
        raise Refused("at most 200 printable characters")
    return value


def names(value: object) -> tuple[str, ...]:
    good = isinstance(value, list) and value and all(isinstance(v, str) and HOST.fullmatch(v) for v in value)
    if not good:
        raise Refused('a list of host names and addresses, such as ["lamppost.example.org", "10.0.0.1"]')
    assert isinstance(value, list)
    return tuple(value)


def accept_rules(value: object) -> tuple[AcceptRule, ...]:
    """Who is let in without a person (`accept_policy.py`)."""
    if not isinstance(value, list) or len(value) > 20 or not all(isinstance(each, str) for each in value):
        raise Refused('a list of at most 20 rules, such as ["registered-key", "expired days=90"]')
    try:
        return read_rules(value)
    except BadRule as wrong:
        raise Refused(f"what accept_policy reads; {wrong}") from None


def told(rule: Rule) -> Rule:
    """A rule of another module, which raises ValueError with the words."""

    def checked(value: object) -> Any:
        try:
            return rule(value)
        except ValueError as wrong:
            raise Refused(str(wrong)) from None

    return checked


host = text_matching(HOST, "a host name or an address")

RULES: dict[str, Rule] = {
    "data_dir": path,
    "tenant.name": text_matching(NAME, "1 to 63 lower-case letters, digits and hyphens, no hyphen at an end"),
    "database.url": database_url,
    "database.password": reference,
    "database.timescale": one_of("auto", "off"),
    "database.commit_timestamps": yes_no,
    "broker.host": host,
    "broker.port": whole(1, 65535),
    "broker.managed": yes_no,
    "broker.listen": host,
    "broker.most_connections": whole(1, 1_000_000),
    "broker.ca_file": path,
    "broker.certificate_file": path,
    "broker.key_file": path,
    "authority.directory": path,
    "authority.server_names": names,
    "enrolment.accept": accept_rules,
    "api.listen": listen,
    "api.device_listen": listen_or_off,
    "api.device_certificate_file": path,
    "api.device_key_file": path,
    "api.max_body_bytes": whole(1024, 104_857_600),
    "api.behind_tls": yes_no,
    "ui.listen": listen,
    "ui.secret_file": path,
    "ui.map_tiles": tile_address,
    "ui.map_attribution": words,
    "sign_in.key_file": path,
    "sign_in.second_factor_roles": told(people_rules.roles),
    "access.two_person": one_of("auto", "on", "off"),
    "oidc.issuer": told(people_rules.web_address),
    "oidc.client_id": words,
    "oidc.client_secret": told(people_rules.reference),
    "oidc.pages": told(people_rules.public_address),
    "oidc.title": words,
    "oidc.scopes": told(people_rules.scopes),
    "oidc.name_claim": told(people_rules.claim),
    "oidc.groups_claim": told(people_rules.claim),
    "oidc.grants": told(people_rules.grants),
    "oidc.session_longest": told(people_rules.session_longest),
    "oidc.ca_file": path,
    "ingest.workers": whole(0, 64),
    "ingest.group_messages": whole(1, 1000),
    "ingest.group_age_ms": whole(1, 5000),
    "limits.flood_messages": whole(100, 10_000_000),
    "limits.flood_megabytes": whole(1, 1_000_000),
    "limits.flood_hold": yes_no,
    "limits.flood_pause_minutes": whole(1, 10_080),
    "limits.tunnels_per_address": whole(1, 2_000),
    "retention.short_days": days(1),
    "retention.standard_days": days(1),
    "retention.long_days": days(1),
    # hours are made of minutes, and TimescaleDB's policy looks a week back
    "retention.minutes_days": days(14),
    "retention.hours_days": days(14),
    "retention.days_days": days(14),
    "retention.verdicts_days": days(7),
    "retention.dead_letters_days": days(7),
    # a quarter: what is found out late has to be looked into
    "retention.audit_days": days(90),
    "retention.names_days": days(30),
    "retention.addresses_days": days(1),
    "log.json": yes_no,
    "log.files": yes_no,
    "bench.clock_file": path,
}
