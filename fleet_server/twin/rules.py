"""Decisions about twins, pure: sections, patches, what is inherited, what is sent when, what a report means.

fleet_semantics.md S6. A section is flat: dotted key to value. Outside it is nested JSON.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

from wire_contract.limits import MAX_EXACT_INTEGER, MAX_NAME_CHARACTERS, MAX_SEQUENCE, MAX_TEXT_CHARACTERS
from wire_contract.messages import SettingAck, TwinDesired, TwinReported
from wire_contract.settings import MAX_KEYS, Value, verdict

Section = Mapping[str, Value]
Patch = Mapping[str, Value | None]
Json = dict[str, Any]

FIRST_RESEND_S = 5.0  # a round trip over a slow link, and the device's own disk
LONGEST_RESEND_S = 600.0  # online and deaf: it is asked after seldom, and at once when it speaks
ASKED_AGAIN_S = 2.0  # for each sending before: a device that never learns is answered ever more slowly
FURTHEST = MAX_SEQUENCE // 2  # a version above it was never given; taken in, it would leave none above
MAX_TAGS = 100
MAX_DEPTH = 8


class BadSection(Exception):
    """What was given is no section; says where and why."""


# -- sections --------------------------------------------------------------------------------------------


def flattened(given: object, what: str) -> dict[str, Value | None]:
    """Nested JSON, or dotted keys, as a flat patch; null stays null. "$version" and the like are left out.

    Raises BadSection for lists, keys that are no keys, numbers that JSON cannot carry exactly.
    """
    found: dict[str, Value | None] = {}
    _flatten(given, (), found, what)
    return found


def _flatten(given: object, path: tuple[str, ...], found: dict[str, Value | None], what: str) -> None:
    where = ".".join((what, *path))
    if isinstance(given, dict):
        if path and not given:
            raise BadSection(f"{where}: an empty object says nothing; null takes a key away.")
        if len(path) >= MAX_DEPTH:
            raise BadSection(f"{what}: nested deeper than {MAX_DEPTH}.")
        for key, value in given.items():
            if not path and key.startswith("$"):
                continue
            _flatten(value, (*path, key), found, what)
        return
    key = ".".join(path)
    if not path:
        raise BadSection(f"{what}: must be an object.")
    if not all(map(_is_name, key.split("."))) or not key.isprintable() or len(key) > MAX_NAME_CHARACTERS:
        raise BadSection(
            f"{what}: {key[:80]!r} is no key: names with dots between, of {MAX_NAME_CHARACTERS} at most."
        )
    if key in found:
        raise BadSection(f"{where}: is given twice.")
    found[key] = _value(given, where)


def _is_name(part: str) -> bool:
    """What begins with $ is ours: $version, $metadata, $lastUpdated."""
    return bool(part) and not part.startswith("$")


def _value(given: object, where: str) -> Value | None:
    match given:
        case None | bool():
            return given
        case int() if abs(given) <= MAX_EXACT_INTEGER:
            return given
        case float() if math.isfinite(given):
            return given
        case str() if len(given) <= MAX_TEXT_CHARACTERS and storable(given):
            return given
        case list():
            raise BadSection(f"{where}: a list is no value; text, a number, true or false are.")
    raise BadSection(f"{where}: is not a value that can be kept.")


def storable(text: str) -> bool:
    """PostgreSQL's text has no NUL, UTF-8 no half of a surrogate pair."""
    return "\0" not in text and not any("\ud800" <= each <= "\udfff" for each in text)


def nested(flat: Mapping[str, Any]) -> Json:
    """A flat section as nested JSON. Where a key also begins another, the longer one stays dotted. A device
    may report keys that are none: they are not shown."""
    made: Json = {}
    for key in sorted(key for key in flat if all(map(_is_name, key.split(".")))):
        *path, last = key.split(".")
        inner = made
        for index, name in enumerate(path):
            step = inner.setdefault(name, {})
            if not isinstance(step, dict):
                inner[".".join([*path[index:], last])] = flat[key]
                break
            inner = step
        else:
            inner[last] = flat[key]
    return made


def timed(at: Mapping[str, str]) -> Json:
    """When each key, and each level above it, changed last ($lastUpdated)."""
    made: Json = {}
    for key, told in at.items():
        if not all(map(_is_name, key.split("."))):
            continue
        level = made
        for name in (None, *key.split(".")):
            level = level if name is None else level.setdefault(name, {})
            level["$lastUpdated"] = max(told, level.get("$lastUpdated", ""))
    return made


def merged(section: Section, patch: Patch) -> dict[str, Value]:
    """S6: PATCH merges, null deletes; a key takes the place of what lies beneath or above."""
    made = dict(section)
    for key, value in patch.items():
        for other in [k for k in made if k == key or k.startswith(f"{key}.")]:
            del made[other]
        if value is not None:
            for other in [k for k in made if key.startswith(f"{k}.")]:
                del made[other]
            made[key] = value
    return made


def changed_at(
    before: Mapping[str, Any], after: Mapping[str, Any], at: Mapping[str, str], now: datetime
) -> dict[str, str]:
    """When each key of `after` changed: now where its value did."""
    told = now.isoformat(timespec="milliseconds")
    return {k: at[k] if k in at and k in before and before[k] == v else told for k, v in after.items()}


def settings_problem(settings: Section) -> str:
    """What is wrong with desired settings, by the registry; "" for nothing."""
    for key, value in settings.items():
        code, why = verdict(key, value)
        if code >= 400:
            return f"{key}: {why}."
    return f"more than {MAX_KEYS} settings." if len(settings) > MAX_KEYS else ""


def tags_problem(tags: Section) -> str:
    return f"more than {MAX_TAGS} tags." if len(tags) > MAX_TAGS else ""


# -- what is inherited -----------------------------------------------------------------------------------

Source = Literal["tenant", "group", "device"]
_RANK: Mapping[Source, int] = {"tenant": 0, "group": 1, "device": 2}


@dataclass(frozen=True)
class Layer:
    """One place that settings come from. `priority`: of a group; the higher goes before the lower."""

    source: Source
    name: str
    settings: Section
    at: Mapping[str, str]
    priority: int = 0


@dataclass(frozen=True)
class Origin:
    """Where an effective value comes from. `ties`: groups of the same priority that say something else, and
    lose because their names come later."""

    source: Source
    name: str
    at: str
    ties: tuple[str, ...] = ()


def inherited(layers: Iterable[Layer]) -> dict[str, tuple[Value, Origin]]:
    """Tenant, then groups by priority, then the device: the last that speaks of a key decides."""
    ordered = sorted(layers, key=lambda each: (-_RANK[each.source], -each.priority, each.name))
    found: dict[str, tuple[Value, Origin]] = {}
    deciding: dict[str, Layer] = {}
    for layer in ordered:
        for key, value in layer.settings.items():
            if key not in found:
                found[key] = value, Origin(layer.source, layer.name, layer.at.get(key, ""))
                deciding[key] = layer
            elif _ties(deciding[key], layer) and found[key][0] != value:
                chosen, origin = found[key]
                found[key] = chosen, replace(origin, ties=(*origin.ties, layer.name))
    return found


def _ties(first: Layer, second: Layer) -> bool:
    return (first.source, first.priority) == (second.source, second.priority)


def delta(desired: Section, reported: Mapping[str, Any]) -> dict[str, Value]:
    """AWS's: desired keys that are missing or different in reported; what is only reported is not in it."""
    return {k: v for k, v in desired.items() if k not in reported or not _same(reported[k], v)}


def _same(one: object, other: object) -> bool:
    return isinstance(one, bool) == isinstance(other, bool) and one == other


# -- sending and hearing ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sync:
    """How far a device follows. `desired`, `version`: what it should have. `acknowledged`: the version that
    it has, `had`: and what that was, None where nobody knows. `due`: something is to be sent. `sendings`: of
    this version, since it was last heard of."""

    desired: Section = field(default_factory=dict)
    version: int = 0
    acknowledged: int = 0
    had: Section | None = None
    due: bool = False
    sendings: int = 0


def wished(sync: Sync, desired: Section) -> Sync:
    """The desired state changed: a new version, which is due."""
    return replace(sync, desired=dict(desired), version=sync.version + 1, due=True, sendings=0)


def message(sync: Sync) -> TwinDesired:
    """What to send: at first the difference to what the device has, where that is known; else the whole."""
    if sync.sendings == 0 and sync.had is not None and 0 < sync.acknowledged < sync.version:
        patch: dict[str, Value | None] = {k: None for k in sync.had if k not in sync.desired}
        patch |= {k: v for k, v in sync.desired.items() if k not in sync.had or not _same(sync.had[k], v)}
        return TwinDesired(sync.version, patch, False, sync.acknowledged)
    return TwinDesired(sync.version, dict(sync.desired), True)


def sent(sync: Sync) -> Sync:
    return replace(sync, sendings=sync.sendings + 1)


def resend_after_s(sendings: int) -> float:
    """Until it is sent once more, unless the device answers: doubled with each sending."""
    return min(LONGEST_RESEND_S, FIRST_RESEND_S * 2.0 ** min(max(sendings - 1, 0), 10))


def asked_again_after_s(sendings: int) -> float:
    """The device spoke, and has not got it yet: until it is answered."""
    return min(LONGEST_RESEND_S, ASKED_AGAIN_S * sendings)


def heard(sync: Sync, acknowledged: int, wishes: Patch | None, *, forgot: bool = False) -> Sync:
    """A report that counts came. `wishes`: what it says it was wished; None: it does not say. `forgot`: it
    said so before: an older program runs there now, which kept the version and not what it was.

    A device that is ahead of us, or has something else under the same version (our database is an older copy
    of itself), gets a version above both: it would ignore every other for ever. A version that cannot have
    been given changes nothing.
    """
    if acknowledged > max(FURTHEST, sync.version):
        return sync
    if forgot:
        sync = replace(sync, had=None)
    astray = forgot or (wishes is not None and not _alike(wishes, sync.desired))
    if acknowledged > sync.version or (acknowledged == sync.version and astray):
        above = replace(sync, version=acknowledged + 1, acknowledged=acknowledged)
        return replace(above, had=None, due=True, sendings=0)
    if acknowledged == sync.version:
        return replace(sync, acknowledged=acknowledged, had=dict(sync.desired), due=False, sendings=0)
    known = sync.had if acknowledged == sync.acknowledged else None
    return replace(sync, acknowledged=acknowledged, had=known, due=True)


def _alike(wishes: Patch, desired: Section) -> bool:
    known = {key: value for key, value in wishes.items() if value is not None}
    return wishes.keys() == desired.keys() and all(_same(known[key], desired[key]) for key in known)


def wishes_of(said: TwinReported) -> dict[str, Value | None] | None:
    """What the device says it was wished; None for a value that it does not repeat, as it knows no such
    setting. None for all of it: an agent that knows no acks."""
    if said.acks is None:
        return None
    return {ack.key: ack.value for ack in said.acks}


def acks_of(said: TwinReported) -> dict[str, Json]:
    """What became of each wish, as it is stored and shown (S6)."""
    return {ack.key: _ack(ack) for ack in said.acks or ()}


def _ack(ack: SettingAck) -> Json:
    return {"value": ack.value, "ac": ack.ac, "av": ack.av, "ad": ack.ad}


def refused(acks: Mapping[str, Json]) -> Sequence[str]:
    """The keys that the device would not obey."""
    return sorted(key for key, ack in acks.items() if ack["ac"] >= 400)
