"""A role's listener: taken before anything is served, so that a port that is not free is one clear line."""

from __future__ import annotations

import socket

from fleet_server.config import Listen
from fleet_server.errors import ConfigurationError

BACKLOG = 512  # a whole city that enrols at once after a power cut waits in the kernel instead of failing


def listening(key: str, listen: Listen) -> socket.socket:
    """A socket that listens there. Raises ConfigurationError where it cannot."""
    family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((listen.host, listen.port))
    except OSError as refused:
        listener.close()
        raise ConfigurationError(
            f"{key} = {listen} cannot be listened on: {refused.strerror}.",
            remedy=f"Stop what listens there, or set {key} to another address.",
        ) from None
    listener.listen(BACKLOG)
    return listener
