"""Where the browser is that a page acts for now."""

from __future__ import annotations

from nicegui import context


def asked_from() -> str:
    """Its IP address; "" where nobody asked (a hub's look, a test)."""
    try:
        return context.client.ip or ""
    except (RuntimeError, AttributeError):  # outside of a page: NiceGUI has no client here
        return ""
