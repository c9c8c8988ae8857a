"""What SensorThings refuses, as members of the server's tree (`fleet_server/errors.py`)."""

from __future__ import annotations

from fleet_server.errors import InputError, LinkError, NotFound

__all__ = ["BadQuery", "NotFound", "QueryTooLong"]


class BadQuery(InputError):
    """A query option or a resource path that cannot be understood; `members["position"]` counts from 0."""


class QueryTooLong(LinkError):
    """The database was at it for longer than one question may take."""


def bad(option: str, at: int, detail: str, remedy: str = "") -> BadQuery:
    """`option`: "$filter" and the like; `at`: the character, from 0, where it was noticed."""
    return BadQuery(
        f"{option}, character {at + 1}: {detail}.",
        remedy=remedy,
        members={"option": option, "position": at},
    )
