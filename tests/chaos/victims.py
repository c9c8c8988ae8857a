"""Processes of a running town, found by what the system itself tells, and the signals that strike them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Iterable
from pathlib import Path

from demo.city import City
from fleet_server.processes import command_of

WORD_OF_BACKEND = "postgres: "  # how PostgreSQL names the processes of its clients


def role_pids(city: City, role: str) -> list[int]:
    """A server role's living processes, from the supervisor's own state file; of none where it is being
    started."""
    try:
        state = json.loads((city.layout.root / "server" / "serve.json").read_text())
    except (OSError, ValueError):
        return []
    named = [state["roles"][name]["pid"] for name in sorted(state["roles"]) if _is_of(name, role)]
    return [int(pid) for pid in named if pid]


def _is_of(name: str, role: str) -> bool:
    return name == role or name.startswith(f"{role}-")


def postmaster_pid(city: City) -> int | None:
    """The embedded PostgreSQL's first process."""
    folder = city.layout.root / "server" / "postgres"
    try:
        return int((folder / "postmaster.pid").read_text().splitlines()[0])
    except (OSError, ValueError, IndexError):
        return None


def backends(city: City) -> list[int]:
    """PostgreSQL's processes that serve a client."""
    return [
        pid
        for pid in children_of(postmaster_pid(city))
        if " ".join(command_of(pid)).startswith(f"{WORD_OF_BACKEND}lamppost ")
    ]


def children_of(pid: int | None) -> list[int]:
    found = []
    for folder in Path("/proc").iterdir():
        if pid is not None and folder.name.isdigit():
            with contextlib.suppress(OSError, IndexError, ValueError):
                if int((folder / "stat").read_text().rpartition(")")[2].split()[1]) == pid:
                    found.append(int(folder.name))
    return sorted(found)


def family_of(pid: int | None) -> list[int]:
    """A process, and whatever it started itself."""
    return [] if pid is None else [pid, *children_of(pid)]


def send(pids: Iterable[int], number: signal.Signals) -> int:
    """How many there were to be sent to."""
    sent = 0
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
            sent += 1
    return sent


def wipe_broker_state(city: City) -> int:
    """Delete what the broker keeps: sessions, queues, retained messages. Returns how many files it were."""
    files = list((city.layout.root / "server" / "broker").rglob("*.db*"))
    for file in files:
        file.unlink(missing_ok=True)
    return len(files)
