"""Names where nobody needs them: initials in the process's log, and for who only looks.

Who did what stands in the audit log, for those who may read it; a process's log is copied to places that know
no erasure. Pure.
"""

from __future__ import annotations

import re
from typing import Protocol

NEED_NO_NAMES = frozenset({"viewer", "partner"})  # with these roles alone one sees what happened, not by whom
NOBODY = {"", "worker", "ingest", "enrolment", "console", "erased"}  # the server itself, or a tombstone
_TOMBSTONE = re.compile(r"erased-[0-9a-f]{8}")


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


def shown_to(who: Asker, name: str) -> str:
    """Somebody's name as `who` sees it."""
    return initials(name) if who.roles <= NEED_NO_NAMES else name
