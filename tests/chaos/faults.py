"""What may happen to a city: each kind of fault, whom it strikes, for how long, what the machine must allow.

A fault is data. `plan.py` draws them, `acts.py` carries them out, `reckoning.py` knows what each one excuses.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Scope(StrEnum):
    """Whom a fault strikes: a lamppost, a line (a lamppost's, or that of the server's own roles), or all."""

    POST = "one lamppost"
    LINE = "one line"
    POST_LINE = "one lamppost's line"
    CITY = "the server"


class Need(StrEnum):
    """What the machine must allow."""

    NOTHING = ""
    PACKETS = "packets"  # a network device of our own between a lamppost and the server
    DISK = "a small disk"  # the right to mount one
    SEALED = "a sealed room"  # whatever hangs ends with the runner, even kill -9 of it


class Kind(StrEnum):
    """Named part-what, so that `--only broker` means all that happens to the broker."""

    AGENT_KILL = "agent-kill"
    AGENT_FREEZE = "agent-freeze"
    INGEST_KILL = "ingest-kill"
    INGEST_FREEZE = "ingest-freeze"
    UPKEEP_KILL = "upkeep-kill"
    BROKER_KILL = "broker-kill"
    BROKER_WIPE = "broker-wipe"
    BROKER_FREEZE = "broker-freeze"
    DATABASE_KILL = "database-kill"
    DATABASE_BACKEND = "database-backend"
    DATABASE_FREEZE = "database-freeze"
    SERVER_KILL = "server-kill"
    NET_CUT = "net-cut"
    NET_HOLE = "net-hole"
    NET_DELAY = "net-delay"
    NET_THROTTLE = "net-throttle"
    NET_RESET = "net-reset"
    NET_FRAGMENT = "net-fragment"
    PACKET_LOSS = "packet-loss"
    PACKET_REORDER = "packet-reorder"
    PACKET_TWICE = "packet-twice"
    PACKET_DAMAGE = "packet-damage"
    DISK_FULL = "disk-full"
    DISK_TIGHT = "disk-tight"
    CLOCK_FORWARD = "clock-forward"
    CLOCK_BACK = "clock-back"
    CLOCK_UNSET = "clock-unset"
    CLOCK_SERVER = "clock-server"
    RACE = "race"
    RACE_LATE = "race-late"


@dataclass(frozen=True)
class Spec:
    """`lasts_s`: shortest and longest; (0, 0) is over at once. `size`: what `Fault.size` is drawn from; its
    meaning stands in `what`."""

    what: str
    scope: Scope
    lasts_s: tuple[float, float] = (0.0, 0.0)
    size: tuple[float, float] = (0.0, 0.0)
    need: Need = Need.NOTHING

    @property
    def at_once(self) -> bool:
        return self.lasts_s[1] == 0.0


_POST, _LINE, _WIRE, _CITY = Scope.POST, Scope.LINE, Scope.POST_LINE, Scope.CITY
# A freeze is shorter than any keepalive or ten times as long as a disk takes; the rest lasts a few of what it
# disturbs: a flush is 1 s here, a reconnect 2 s, a keepalive 5 s.
SPECS: dict[Kind, Spec] = {
    Kind.AGENT_KILL: Spec("kill -9 of a lamppost's agent", _POST),
    Kind.AGENT_FREEZE: Spec("the agent stands still (SIGSTOP)", _POST, (1, 12), need=Need.SEALED),
    Kind.INGEST_KILL: Spec("kill -9 of one of the two ingest workers", _CITY),
    Kind.INGEST_FREEZE: Spec("an ingest worker stands still", _CITY, (1, 12), need=Need.SEALED),
    Kind.UPKEEP_KILL: Spec("kill -9 of the upkeep worker", _CITY),
    Kind.BROKER_KILL: Spec("kill -9 of the broker; its state on the disk stays", _CITY),
    Kind.BROKER_WIPE: Spec("kill -9 of the broker, and its state is deleted", _CITY),
    Kind.BROKER_FREEZE: Spec("the broker stands still", _CITY, (1, 12), need=Need.SEALED),
    Kind.DATABASE_KILL: Spec("kill -9 of the database's first process", _CITY),
    Kind.DATABASE_BACKEND: Spec("kill -9 of one of the ingest's database processes", _CITY),
    Kind.DATABASE_FREEZE: Spec("the database stands still", _CITY, (1, 12), need=Need.SEALED),
    Kind.SERVER_KILL: Spec("kill -9 of the server's supervisor, and with it of all its roles", _CITY),
    Kind.NET_CUT: Spec("a line is cut: connections end, new ones are refused", _LINE, (1, 15)),
    Kind.NET_HOLE: Spec("a line swallows everything and says nothing", _LINE, (2, 20)),
    Kind.NET_DELAY: Spec(
        "a line is slow to deliver: so many seconds more each way", _LINE, (3, 15), (0.1, 1.5)
    ),
    Kind.NET_THROTTLE: Spec("a line carries only so many bytes a second", _WIRE, (4, 15), (1500, 8000)),
    Kind.NET_RESET: Spec("a connection is reset within a packet, after so many bytes", _LINE, size=(1, 3000)),
    Kind.NET_FRAGMENT: Spec("a line delivers so many bytes at a time", _LINE, (3, 10), (1, 40)),
    Kind.PACKET_LOSS: Spec("this share of the packets is lost", _WIRE, (4, 15), (0.05, 0.35), Need.PACKETS),
    Kind.PACKET_REORDER: Spec("this share of packets is overtaken", _WIRE, (4, 15), (0.1, 0.5), Need.PACKETS),
    Kind.PACKET_TWICE: Spec("this share of packets comes twice", _WIRE, (4, 15), (0.1, 0.5), Need.PACKETS),
    Kind.PACKET_DAMAGE: Spec("this share of packets is damaged", _WIRE, (4, 15), (0.02, 0.2), Need.PACKETS),
    Kind.DISK_FULL: Spec("others fill a lamppost's disk to the last byte", _POST, (4, 20), need=Need.DISK),
    Kind.DISK_TIGHT: Spec(
        "others leave less of the disk than the spool wants free, and the line is cut: it sheds",
        _POST,
        (8, 16),
        need=Need.DISK,
    ),
    Kind.CLOCK_FORWARD: Spec(
        "a lamppost's clock is so many hours ahead for a while", _POST, (3, 12), (0.1, 6)
    ),
    Kind.CLOCK_BACK: Spec("a lamppost's clock is so many hours behind for a while", _POST, (3, 12), (0.1, 6)),
    Kind.CLOCK_UNSET: Spec("a lamppost's clock says 1970 for a while", _POST, (3, 12)),
    Kind.CLOCK_SERVER: Spec("the server's clock is wrong by so many hours", _CITY, (3, 12), (-6, 6)),
    Kind.RACE: Spec("every batch is published three times more: both workers get it", _CITY, (5, 15)),
    Kind.RACE_LATE: Spec("batches of long ago come again, shuffled", _CITY),
}


@dataclass(frozen=True, order=True)
class Fault:
    """One fault of a plan. Seconds of the plan's own clock; `act` numbers what is checked together.

    `target`: a lamppost, "server" (its line, or itself). `size`: see the spec. `luck`: 0 to 1, for choices
    that are made when it happens (which worker, which process, how a hole ends).
    """

    at_s: float
    kind: Kind
    target: str
    for_s: float
    size: float
    luck: float
    act: int

    @property
    def until_s(self) -> float:
        return self.at_s + self.for_s

    def __str__(self) -> str:
        lasts = f" for {self.for_s:.1f} s" if self.for_s else ""
        size = f" {self.size:g}" if self.size else ""
        return f"{self.kind}{size} {self.target}{lasts}"


def choose(only: str) -> frozenset[Kind]:
    """The kinds of a list like "net,agent-kill". Raises ValueError, which names what there is."""
    chosen: set[Kind] = set()
    for word in filter(None, (each.strip() for each in only.split(","))):
        found = {kind for kind in Kind if kind == word or kind.startswith(f"{word}-")}
        if not found:
            raise ValueError(f"--only {word}: there are {', '.join(Kind)}, or the part before the hyphen")
        chosen |= found
    if not chosen:
        raise ValueError("--only: name at least one fault; --list shows them")
    return frozenset(chosen)
