"""Ports for one demo: the documented ones, else the next that nobody has and no other demo is about to take.

A port looks free from the moment it is chosen until the server listens on it, many seconds later. So it is
claimed by the name of a socket that the kernel forgets when this process ends, however it ends (unix(7),
abstract sockets; Linux only, elsewhere the claim is left out).
"""

from __future__ import annotations

import socket
import sys
from dataclasses import dataclass

DEFAULT_PORTS = {"api": 8000, "device": 8443, "ui": 8080, "broker": 8883}
NEXT = 80  # so many ports above the documented one are tried; none of the ranges meets another


class NoPort(RuntimeError):
    """Every port of a range is taken."""


@dataclass(frozen=True)
class Ports:
    """By use; `claims` keep other demos off them."""

    by_use: dict[str, int]
    claims: tuple[socket.socket, ...]


def claim_ports() -> Ports:
    """Raises NoPort."""
    by_use: dict[str, int] = {}
    claims: list[socket.socket] = []
    for use, first in DEFAULT_PORTS.items():
        for port in range(first, first + NEXT):
            claim = _claim(port)
            if claim is not None and _is_free(port):
                by_use[use] = port
                claims.append(claim)
                break
            if claim is not None:
                claim.close()
        else:
            raise NoPort(f"all ports from {first} to {first + NEXT - 1} are taken")
    return Ports(by_use, tuple(claims))


def _claim(port: int) -> socket.socket | None:
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    if not sys.platform.startswith("linux"):
        return claim
    try:
        claim.bind(f"\0lamppost-demo-port-{port}")
    except OSError:
        claim.close()
        return None
    return claim


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
