"""What decisions refuse, as members of the server's tree (`fleet_server/errors.py`)."""

from __future__ import annotations

from fleet_server.errors import Conflict


class NotNow(Conflict):
    """409: the incident's state does not take this. `members["merged_into"]`: where to look instead."""


class SeenBefore(Conflict):
    """409: somebody, or the city, changed the incident since it was looked at. `members["version"]`: now."""
