"""Free TCP ports, given to one test process at a time.

Asking the kernel for a free port and closing it again lets another worker, or any outgoing connection, have
the same port a moment later. These lie below the range that the kernel gives out by itself, and a lock file
keeps a port until this process ends.
"""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
from contextlib import suppress
from pathlib import Path

PORTS = range(15_000, 30_000)  # above the well-known services, below Linux's ephemeral range (32768)
LOCKS = Path(tempfile.gettempdir()) / "lamppost-test-ports"
_draw = random.SystemRandom()


def free_port() -> int:
    """A port of the loopback interface that nobody listens on and no other test process is given."""
    LOCKS.mkdir(exist_ok=True)
    with suppress(PermissionError):
        LOCKS.chmod(0o1777)  # tests of several accounts share it
    for port in _draw.sample(PORTS, len(PORTS)):
        if _lock(port) and _is_free(port):
            return port
    raise AssertionError(f"no free port among {PORTS}")


def _lock(port: int) -> bool:
    """Held by an open file that is closed when this process ends, and by nothing it starts."""
    try:
        handle = os.open(LOCKS / str(port), os.O_CREAT | os.O_RDWR, 0o666)
    except PermissionError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return False
    return True


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
