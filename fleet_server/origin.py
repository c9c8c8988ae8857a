"""Where what is done now came from: set at the boundary, read by the audit log.

A context variable (PEP 567): a task, and a thread that a framework starts with a copy of the context, see
that of the request that they work for.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal

Way = Literal["api", "pages", "command", "broker", "server"]


@dataclass(frozen=True)
class Origin:
    """way: which boundary it came through; "server": nobody asked, the server acts by itself.

    address: the peer's IP address, "" where there is none. request_id: the one in the answer and in the log.
    """

    way: Way = "server"
    address: str = ""
    request_id: str = ""


_NOWHERE = Origin()
_current: ContextVar[Origin] = ContextVar("lamppost_origin", default=_NOWHERE)


def origin() -> Origin:
    """Of what is done now."""
    return _current.get()


@contextmanager
def coming_from(way: Way, address: str = "", request_id: str = "") -> Iterator[Origin]:
    """What happens within came this way. request_id "": a new one is made."""
    here = Origin(way, address, request_id or secrets.token_hex(8))
    before = _current.set(here)
    try:
        yield here
    finally:
        _current.reset(before)
