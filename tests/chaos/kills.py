"""Kill -9 one part of a running city, by the pid that the running system itself tells."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from demo.city import City
from demo.ledger import Frame, Stored
from demo.processes import RESTART_AFTER_S

SPOOLED_WITHIN_MS = 5000.0  # the promise of the wire: a sample is on the disk five seconds after its frame


@dataclass(frozen=True)
class Kill:
    """When it happened (wall clock, ms) and to whom."""

    victim: str
    at_ms: float


def role_pid(city: City, role: str) -> int:
    """A server role's process, from the supervisor's own state file."""
    state = json.loads((city.layout.root / "server" / "serve.json").read_text())
    names = [name for name in state["roles"] if name.startswith(role)]
    assert names, f"no role {role} among {list(state['roles'])}"
    return int(state["roles"][names[0]]["pid"])


def postmaster_pid(city: City) -> int:
    """The embedded PostgreSQL's first process."""
    return int(_postmaster_file(city).read_text().splitlines()[0])


def _postmaster_file(city: City) -> Path:
    return next((city.layout.root / "server" / "postgres").rglob("postmaster.pid"))


def kill_agents(city: City) -> None:
    for agent in city.agents.values():
        agent.signal(signal.SIGKILL)


def kill_ingest(city: City) -> None:
    os.kill(role_pid(city, "ingest"), signal.SIGKILL)


def kill_broker_and_its_state(city: City) -> None:
    """Everything the broker ever kept is gone: sessions, queues, retained messages."""
    pid = role_pid(city, "broker")
    os.kill(pid, signal.SIGKILL)
    for file in (city.layout.root / "server" / "broker").rglob("*.db*"):
        file.unlink(missing_ok=True)


def kill_database(city: City) -> None:
    os.kill(postmaster_pid(city), signal.SIGKILL)


VICTIMS: dict[str, Callable[[City], None]] = {
    "agents": kill_agents,
    "ingest": kill_ingest,
    "broker": kill_broker_and_its_state,
    "database": kill_database,
}


def kill(city: City, victim: str) -> Kill:
    """Kill it now."""
    with contextlib.suppress(ProcessLookupError):
        VICTIMS[victim](city)
    return Kill(victim, time.time() * 1000)


def missing_frames(frames: list[Frame], rows: list[Stored]) -> list[Frame]:
    """Frames without a row; among frames of equal values the latest count as missing."""
    left: dict[tuple[int | None, ...], int] = {}
    for row in rows:
        left[row.values] = left.get(row.values, 0) + 1
    missing = []
    for frame in frames:
        if left.get(frame.values, 0) > 0:
            left[frame.values] -= 1
        else:
            missing.append(frame)
    return missing


def excused(frame: Frame, kills: list[Kill]) -> bool:
    """Whether the frame may be missing: its agent was killed before the five seconds had passed, or nobody
    lived to read it. A busy machine's sensor answers the dead agent's last question late; the next agent is
    started RESTART_AFTER_S after the death, never sooner."""
    return any(
        kill.victim == "agents"
        and kill.at_ms - SPOOLED_WITHIN_MS <= frame.wall_ms <= kill.at_ms + RESTART_AFTER_S * 1000
        for kill in kills
    )
