"""What commands refuse, as members of the server's tree (`fleet_server/errors.py`)."""

from __future__ import annotations

from fleet_server.errors import Conflict, TooManyRequests


class NotNow(Conflict):
    """409: the command, or the lamppost, is in a state that does not take this."""


class AskedDifferently(Conflict):
    """409: the idempotency key was used for another command."""


class TooManyWaiting(TooManyRequests):
    """429: so many commands of this lamppost have not ended."""
