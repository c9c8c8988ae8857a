"""Instants on pages without a script: in the zone of the server's machine, which stands in the city; UTC in
the title. Pure but for the zone."""

from __future__ import annotations

from datetime import UTC, datetime

from fleet_server.errors import InvalidRequest


def shown(at: datetime | None, none: str = "never") -> str:
    """A `time` element. None: the words `none`."""
    if at is None:
        return none
    utc, here = at.astimezone(UTC), at.astimezone()
    return (
        f'<time datetime="{utc:%Y-%m-%dT%H:%M:%SZ}" title="{utc:%Y-%m-%d %H:%M:%S} UTC">'
        f"{here:%Y-%m-%d %H:%M} {here.tzname()}</time>"
    )


def told(text: str) -> datetime | None:
    """What stands in a field for a date and time; without a zone it is the machine's. None for nothing.

    Raises InvalidRequest.
    """
    if not text.strip():
        return None
    try:
        return datetime.fromisoformat(text.strip()).astimezone()
    except (ValueError, OverflowError, OSError):
        raise InvalidRequest(
            f"{text.strip()[:40]!r} is no time.",
            remedy="Write 2026-11-20T12:00, or with a zone 2026-11-20T12:00Z.",
        ) from None


def field(at: datetime | None) -> str:
    """As a field for a date and time takes it."""
    return "" if at is None else f"{at.astimezone():%Y-%m-%dT%H:%M}"
