"""Where the browser is that a page acts for now."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from nicegui import context

_of_form: ContextVar[str] = ContextVar("address of the browser whose form is answered", default="")


@contextmanager
def answering(address: str) -> Iterator[None]:
    """Within, a form of the browser at this IP address is answered: NiceGUI knows no client of it."""
    before = _of_form.set(address)
    try:
        yield
    finally:
        _of_form.reset(before)


def asked_from() -> str:
    """Its IP address; "" where nobody asked (a hub's look, a test)."""
    known = _of_form.get()
    if known:
        return known
    try:
        return context.client.ip or ""
    except (RuntimeError, AttributeError):  # outside of a page: NiceGUI has no client here
        return ""
