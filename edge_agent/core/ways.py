"""Which way to the broker is tried next, as one table: MQTT's port, or a WebSocket through the web's. Pure.

Some sites let nothing out but the web. The direct way costs less, so it is the one to try first, and again
now and then when the other one carries us.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum


class Way(StrEnum):
    DIRECT = "tls"
    WEBSOCKET = "websocket"


class Outcome(StrEnum):
    """Of one attempt. A broker that refuses us was reached: another way leads to the same one."""

    REACHED = "reached"
    BLOCKED = "blocked"


PATIENCE = 2  # a first failure is mostly a broker that starts anew, or a line that comes and goes
DIRECT_AGAIN_AFTER = 10  # connections by WebSocket; a site's rules change seldom, and a try costs 20 s


@dataclass(frozen=True)
class Ways:
    """`blocked`: attempts in a row that did not get through; `reached`: that did, this way."""

    way: Way = Way.DIRECT
    blocked: int = 0
    reached: int = 0
    fixed: bool = False  # the configuration names one way


def begin(transport: str) -> Ways:
    """`transport`: a way's name, or "auto"."""
    return Ways() if transport == "auto" else Ways(Way(transport), fixed=True)


def _reached(ways: Ways) -> Ways:
    return Ways(ways.way, 0, ways.reached + 1)


def _reached_around(ways: Ways) -> Ways:
    around = _reached(ways)
    return Ways(Way.DIRECT, PATIENCE - 1) if around.reached >= DIRECT_AGAIN_AFTER else around


def _blocked(ways: Ways) -> Ways:
    blocked = ways.blocked + 1
    return Ways(Way.WEBSOCKET) if blocked >= PATIENCE else Ways(Way.DIRECT, blocked)


def _blocked_around(_ways: Ways) -> Ways:
    """Neither way leads anywhere now: they are tried in turn."""
    return Ways(Way.DIRECT, PATIENCE - 1)


TABLE: Mapping[tuple[Way, Outcome], Callable[[Ways], Ways]] = {
    (Way.DIRECT, Outcome.REACHED): _reached,
    (Way.DIRECT, Outcome.BLOCKED): _blocked,
    (Way.WEBSOCKET, Outcome.REACHED): _reached_around,
    (Way.WEBSOCKET, Outcome.BLOCKED): _blocked_around,
}


def step(ways: Ways, outcome: Outcome) -> Ways:
    """After an attempt: which way the next one goes."""
    if ways.fixed:
        return ways
    return TABLE[ways.way, outcome](ways)


def diagram() -> str:
    """The table as a Mermaid state diagram; what keeps the way is left out."""
    direct, around = Way.DIRECT.value, Way.WEBSOCKET.value
    blocked, reached = Outcome.BLOCKED.value, Outcome.REACHED.value
    return (
        f"stateDiagram-v2\n    [*] --> {direct}\n"
        f"    {direct} --> {around}: {PATIENCE} times {blocked}\n"
        f"    {around} --> {direct}: {blocked}, or {DIRECT_AGAIN_AFTER} times {reached}\n"
    )


if __name__ == "__main__":
    print(diagram(), end="")
