"""Where what is done now came from and why: set at the boundary, read by the audit log.

A context variable (PEP 567): a task, and a thread that a framework starts with a copy of the context, see
that of the request that they work for.

The reason is what a person wrote: it may name somebody. It goes beside the audit log's lines and to the
second person, never into a process's log.
"""

from __future__ import annotations

import secrets
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Literal

from fleet_server.errors import InvalidRequest

Way = Literal["api", "pages", "command", "broker", "server"]
REASON_MOST_CHARACTERS = 500  # a sentence or three; what is longer belongs to where reports are kept
_JOINERS = "\u200c\u200d"  # within words of Persian and Hindi: no picture of their own, and no trick


@dataclass(frozen=True)
class Origin:
    """way: which boundary it came through; "server": nobody asked, the server acts by itself.

    address: the peer's IP address, "" where there is none. request_id: the one in the answer and in the log.
    reason: why, as who asked said it; "": they did not say. agreed: to which action on what a second person
    agreed, and why, as they read it; it counts where nobody says it again.
    """

    way: Way = "server"
    address: str = ""
    request_id: str = ""
    reason: str = field(default="", repr=False)
    agreed: Mapping[tuple[str, str], str] = field(default_factory=dict, repr=False)

    def why(self, action: str, resource: str, tenant: str) -> str:
        """Of what is done to `resource`, or to the whole tenant, now."""
        agreed = self.agreed.get((action, resource)) or self.agreed.get((action, tenant))
        return self.reason or agreed or ""


_NOWHERE = Origin()
_current: ContextVar[Origin] = ContextVar("lamppost_origin", default=_NOWHERE)


def origin() -> Origin:
    """Of what is done now."""
    return _current.get()


@contextmanager
def coming_from(way: Way, address: str = "", request_id: str = "", reason: str = "") -> Iterator[Origin]:
    """What happens within came this way. request_id "": a new one is made."""
    here = Origin(way, address, request_id or secrets.token_hex(8), reason)
    before = _current.set(here)
    try:
        yield here
    finally:
        _current.reset(before)


@contextmanager
def because(reason: str) -> Iterator[None]:
    """What happens within has this reason, also where another was given; "": the one that there is."""
    here = origin()
    before = _current.set(replace(here, reason=reason or here.reason))
    try:
        yield
    finally:
        _current.reset(before)


def explain(reason: str) -> None:
    """This is why, until the boundary is left that was come through last. Nothing where none was."""
    if origin() is not _NOWHERE:
        _current.set(replace(origin(), reason=reason))


def agreed_to(action: str, resource: str, reason: str) -> None:
    """A second person agreed to what is done next, and read this reason; for as long as `explain`."""
    here = origin()
    if here is not _NOWHERE:
        _current.set(replace(here, agreed={**here.agreed, (action, resource): reason}))


def checked_reason(text: str) -> str:
    """Without blanks around it. Raises InvalidRequest."""
    reason = text.strip()
    problem = reason_problem(reason)
    if problem is not None:
        raise InvalidRequest(f"A reason {problem}.", remedy="Say why in a sentence, or leave it out.")
    return reason


def reason_problem(text: str) -> str | None:
    """What is wrong with a reason that somebody gave, as the end of a sentence; None: nothing."""
    if len(text) > REASON_MOST_CHARACTERS:
        return f"has at most {REASON_MOST_CHARACTERS} characters, not {len(text)}"
    for place, each in enumerate(text, start=1):
        if unicodedata.category(each) in ("Cc", "Cf", "Cs", "Zl", "Zp") and each not in _JOINERS:
            return f"is one line of text: character {place} (U+{ord(each):04X}) cannot be shown"
    return None
