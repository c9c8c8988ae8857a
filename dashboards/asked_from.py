"""Where the browser is that a page acts for now, and why it is told to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from nicegui import context

from fleet_server.auditor import service as auditor
from fleet_server.errors import InvalidRequest

_of_form: ContextVar[str] = ContextVar("address of the browser whose form is answered", default="")
_why: ContextVar[str] = ContextVar("reason that the browser told with what it asks for", default="")


@contextmanager
def answering(address: str) -> Iterator[None]:
    """Within, a form of the browser at this IP address is answered: NiceGUI knows no client of it."""
    before = _of_form.set(address)
    try:
        yield
    finally:
        _of_form.reset(before)


@contextmanager
def saying_why(reason: str) -> Iterator[None]:
    """Within, what is done on a page has this reason; "": nobody said one."""
    before = _why.set(reason)
    try:
        yield
    finally:
        _why.reset(before)


def why_in(sent: Any) -> str:
    """The reason in what a browser sent over the live connection; "": none. Raises InvalidRequest."""
    why = sent.get("why") if isinstance(sent, dict) else None
    if not isinstance(why, str | None):
        raise InvalidRequest("A reason is a line of text.", remedy="Reload the page.")
    return auditor.checked_reason(why or "")


def asked_why() -> str:
    """What stood in the form that is answered, or beside the button; "": nothing did."""
    return _why.get()


def asked_from() -> str:
    """Its IP address; "" where nobody asked (a hub's look, a test)."""
    known = _of_form.get()
    if known:
        return known
    try:
        return context.client.ip or ""
    except (RuntimeError, AttributeError):  # outside of a page: NiceGUI has no client here
        return ""
