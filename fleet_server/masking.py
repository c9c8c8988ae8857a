"""Names where nobody needs them: initials in the process's log, and for who only looks.

Who did what stands in the audit log, for those who may read it; a process's log is copied to places that know
no erasure. Pure.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, Protocol, TypeVar, cast

NEED_NO_NAMES = frozenset({"viewer", "partner"})  # with these roles alone one sees what happened, not by whom
NOBODY = {"", "worker", "ingest", "enrolment", "console", "erased"}  # the server itself, or a tombstone
POLICY = "policy: "  # what a rule's decision begins with, where a person's name stands else
_TOMBSTONE = re.compile(r"erased-[0-9a-f]{8}")


T = TypeVar("T")


class Asker(Protocol):
    @property
    def kind(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def roles(self) -> frozenset[str]: ...


def initials(name: str) -> str:
    """`ana.silva` as `a.s.`, `console:grace` as `console:g.`; what is nobody's name stays."""
    if name in NOBODY or _TOMBSTONE.fullmatch(name):
        return name
    before, colon, own = name.rpartition(":")
    parts = [part for part in re.split(r"[\W_]+", own) if part]
    return before + colon + "".join(f"{part[0]}." for part in parts)


def in_log(who: Asker) -> str:
    """A principal as the process's log names it: people by their initials, services and devices in full."""
    person = who.kind == "operator" or who.name.startswith("console:")
    return initials(who.name) if person else who.name


def sees_names(who: Asker) -> bool:
    return not who.roles <= NEED_NO_NAMES


def shown_to(who: Asker, name: str) -> str:
    """Somebody's name as `who` sees it."""
    return name if sees_names(who) or name.startswith(POLICY) else initials(name)


def masked(who: Asker, record: T, *names: str) -> T:
    """`record`, a dataclass, with what it holds under these names as `who` sees it."""
    if sees_names(who):
        return record
    shown = {each: shown_to(who, getattr(record, each)) for each in names}
    return cast(T, replace(cast(Any, record), **shown))
