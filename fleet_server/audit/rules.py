"""The audit log's line: what is in it, its canonical bytes, and the chain. Pure; the format: docs/audit.md.

    hash(n) = SHA-256( hash(n-1) | n, 8 bytes big-endian | body(n), UTF-8 )        hash(0) = 32 zero bytes
    digest  = SHA-256( salt, 16 bytes | value, UTF-8 )

`body` is JSON text, stored and exported byte for byte: whoever verifies hashes it as it is. Values that may
tell of a person (names, addresses, free text) are not in it: their salted digests are, and the values stand
beside, where they can be erased.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import Enum, StrEnum
from typing import Any, Protocol

FORM = 1  # of the body; a later one verifies the same way
BEFORE_THE_FIRST = bytes(32)
SALT_BYTES = 16  # 128 bits: a name cannot be guessed from its digest
STATE_MOST_BYTES = 16_384  # of before and of after: what is longer is told by its digest
TEXT_MOST_CHARACTERS = 2_000  # of a personal value: a reason is a paragraph

# personal values that every line may have; others are the caller's
WHO, ADDRESS, REASON, RESOURCE = "who", "from", "reason", "resource"
# actions on accounts of people: what they act on is somebody's name
_ON_PEOPLE = ("operators:", "session:", "privacy:")
# a wall behind the callers, who give no secrets
_SECRET = {
    "csr",
    "password",
    "password_hash",
    "private_key",
    "recovery_codes",
    "secret",
    "token",
    "totp_secret",
}
_NOT_RECORDED = "(not recorded)"


class Outcome(StrEnum):
    DONE = "done"
    REFUSED = "refused"  # nothing was changed
    LOCKED = "locked"  # not even looked at: too many attempts


class Happening(StrEnum):
    """What is written down and is no action that somebody is authorized for."""

    SIGNED_IN = "session:begin"
    SIGNED_OUT = "session:end"
    ACCESS_REFUSED = "access:refused"
    CHECKPOINT = "audit:checkpoint"
    LINES_REMOVED = "audit:retention"
    DATABASE_RESTORED = "database:restore"
    DATABASE_UPGRADED = "database:upgrade"
    SAMPLES_REMOVED = "telemetry:retention"
    PERSONAL_REMOVED = "privacy:retention"
    DEVICE_REFUSED = "devices:refused"


class Actor(Protocol):
    """A `Principal`, seen from here: this package imports no other slice."""

    @property
    def kind(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def roles(self) -> frozenset[str]: ...
    @property
    def tenant(self) -> str: ...
    @property
    def via(self) -> str: ...


@dataclass(frozen=True)
class Personal:
    """A value beside its line. Erased: there is no salt, and `value` is the tombstone."""

    name: str
    salt: bytes | None
    value: str


@dataclass(frozen=True)
class Draft:
    """A line before it has its number: `body` is final, `beside` what it has digests of."""

    body: str
    beside: tuple[Personal, ...]


@dataclass(frozen=True)
class Entry:
    """What is to be written: JSON values in before and after, personal ones in `personal` alone."""

    actor: Actor
    action: str
    resource: str
    tenant: str
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None
    outcome: Outcome = Outcome.DONE
    way: str = "server"
    request_id: str = ""


def beside(**states: Mapping[str, Any]) -> dict[str, str]:
    """States whose words may tell of a person (titles, tags), as personal values: they can be erased."""
    return {name: canonical(_plain(state)) for name, state in states.items() if state}


def is_person(actor: Actor) -> bool:
    """Does the name tell who in the flesh it is? The command line acts under the system user's."""
    return actor.kind not in ("service", "device") or actor.name.startswith("console:")


def personal_values(
    actor: Actor, action: str, resource: str, address: str, reason: str, more: Mapping[str, str]
) -> dict[str, str]:
    """Every value of a line that goes beside it, by its name; empty ones are none."""
    values = dict(more)
    if is_person(actor):
        values[WHO] = actor.name
    if action.startswith(_ON_PEOPLE) and resource != "*":
        values.setdefault(RESOURCE, resource)
    values[ADDRESS], values[REASON] = address, reason
    return {name: clean(value)[:TEXT_MOST_CHARACTERS] for name, value in values.items() if value}


def draft(entry: Entry, at: datetime, values: Mapping[str, str], salts: Iterable[bytes]) -> Draft:
    """The line's body, with a digest for each of `values` (as `personal_values` gives them) and its salt."""
    beside = tuple(
        Personal(name, salt, value) for (name, value), salt in zip(sorted(values.items()), salts, strict=True)
    )
    who: dict[str, Any] = {"kind": entry.actor.kind, "via": entry.actor.via}
    who["roles"] = sorted(map(str, entry.actor.roles))
    if WHO not in values:
        who["name"] = clean(entry.actor.name)
    told: dict[str, Any] = {
        "v": FORM,
        "at": at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "tenant": clean(entry.tenant),
        "who": who,
        "action": str(entry.action),
        "outcome": str(entry.outcome),
        "way": entry.way,
        "request": clean(entry.request_id),
    }
    if RESOURCE not in values:
        told["resource"] = clean(entry.resource)
    for name, state in (("before", entry.before), ("after", entry.after)):
        if state is not None:
            told[name] = _bounded(_plain(state))
    if beside:
        told["personal"] = {each.name: digest(each.salt or b"", each.value).hex() for each in beside}
    return Draft(canonical(told), beside)


def canonical(document: Mapping[str, Any]) -> str:
    """JSON: keys sorted, no blanks, characters as they are."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def chained(before: bytes, number: int, body: str) -> bytes:
    """The hash of line `number` after one whose hash is `before`: 32 bytes."""
    return hashlib.sha256(before + number.to_bytes(8, "big") + body.encode()).digest()


def digest(salt: bytes, value: str) -> bytes:
    return hashlib.sha256(salt + value.encode()).digest()


def clean(text: str) -> str:
    """As PostgreSQL and UTF-8 can hold it: NUL and halves of characters become U+FFFD."""
    if text.isascii() and "\0" not in text:
        return text
    return "".join("\ufffd" if c == "\0" or "\ud800" <= c <= "\udfff" else c for c in text)


def _plain(value: Any) -> Any:
    """As JSON has it. Raises TypeError for what a caller should not give (a mistake of ours)."""
    match value:
        case None | bool() | int():
            return value
        case Enum():
            return _plain(value.value)
        case float():
            return value if math.isfinite(value) else str(value)
        case str():
            return clean(value)
        case datetime() | date():
            return value.isoformat()
        case Mapping():
            return {
                clean(str(key)): _NOT_RECORDED if str(key).lower() in _SECRET else _plain(inner)
                for key, inner in value.items()
            }
        case list() | tuple():
            return [_plain(inner) for inner in value]
        case set() | frozenset():
            return sorted(map(str, value))
    raise TypeError(f"an audit line holds JSON values, not {type(value).__name__}")


def _bounded(state: Any) -> Any:
    text = canonical(state)
    size = len(text.encode())
    if size <= STATE_MOST_BYTES:
        return state
    return {"bytes": size, "sha256": hashlib.sha256(text.encode()).hexdigest()}
