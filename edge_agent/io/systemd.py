"""sd_notify(3) without a library: one datagram to the socket that systemd names."""

from __future__ import annotations

import os
import socket


def notify(state: str) -> bool:
    """Tell systemd, e.g. "READY=1" or "WATCHDOG=1". False when it does not listen."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]  # an abstract socket
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            sock.connect(address)
            sock.sendall(state.encode())
    except OSError:
        return False
    return True


def watchdog_every_s() -> float | None:
    """How often to notify: half of what systemd allows; None without a watchdog (sd_watchdog_enabled(3))."""
    allowed_us = os.environ.get("WATCHDOG_USEC", "")
    for_pid = os.environ.get("WATCHDOG_PID", "")
    if not allowed_us.isdigit() or (for_pid and for_pid != str(os.getpid())):
        return None
    return int(allowed_us) / 1_000_000 / 2
