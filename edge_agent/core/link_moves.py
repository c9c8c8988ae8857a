"""What goes into the link's table (events) and what comes out of it (actions). Vocabulary only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from edge_agent.core.records import Head
from edge_agent.core.window import Want
from wire_contract.classes import Class


class Signal(StrEnum):
    START = "start"
    RETRY_DUE = "retry due"
    CONNECTED = "connected"
    REFUSED = "refused"
    SUBSCRIBED = "subscribed"
    ACK = "ack"
    FETCHED = "fetched"
    GONE = "gone"
    WORK = "work"
    TICK = "tick"
    TIMED_OUT = "timed out"
    LOST = "lost"
    STOP = "stop"
    POWER_LOST = "power lost"


@dataclass(frozen=True)
class Event:
    """`now_s`: wire clock. `jitter`: a random number from 0 to 1, drawn by the caller."""

    signal: Signal
    now_s: float
    jitter: float


@dataclass(frozen=True)
class Trouble(Event):
    """REFUSED or LOST, and the condition it means."""

    code: str
    detail: str
    remedy: str


@dataclass(frozen=True)
class Ack(Event):
    cls: Class
    prefix: int
    ranges: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Fetched(Event):
    """FETCHED: the heads asked for. GONE: heads no longer stored. `held`: a declaration is unacked."""

    heads: tuple[Head, ...]
    held: bool = False


@dataclass(frozen=True)
class Connect:
    pass


@dataclass(frozen=True)
class Subscribe:
    pass


@dataclass(frozen=True)
class AnnounceBirth:
    """Publish the retained Presence."""


@dataclass(frozen=True)
class SendAsk:
    """Ask the server what it has of this epoch."""


@dataclass(frozen=True)
class Disconnect:
    pass


@dataclass(frozen=True)
class Arm:
    """Give `signal` back after `delay_s` of wire clock; replaces an earlier one of the same signal."""

    signal: Signal
    delay_s: float


@dataclass(frozen=True)
class Fetch:
    """Look these up in the spool and give them back as Fetched."""

    wants: tuple[Want, ...]


@dataclass(frozen=True)
class Publish:
    cls: Class
    sequence: int


@dataclass(frozen=True)
class ApplyAck:
    """Delete what the server has committed."""

    cls: Class
    prefix: int
    ranges: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Say:
    """Raise a condition of the link."""

    code: str
    detail: str
    remedy: str


@dataclass(frozen=True)
class Unsay:
    code: str


Action = (
    Connect
    | Subscribe
    | AnnounceBirth
    | SendAsk
    | Disconnect
    | Arm
    | Fetch
    | Publish
    | ApplyAck
    | Say
    | Unsay
)
