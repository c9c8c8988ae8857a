"""What a simulation is asked to do: checked once from the command line, then only read."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

from firmware_bridge.kinds import SensorKind
from wire_contract.errors import InvalidName
from wire_contract.topics import Address

UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
MOST_LAMPPOSTS = 50_000  # names have five digits; a machine that holds more needs another design
MOST_PROCESSES = 64
FLUSH_LOW_S, FLUSH_HIGH_S = 1.0, 60.0  # what an agent's configuration allows
PER_PROCESS = 1500  # lampposts one Python process carries with a reading each ten seconds, with room left


class WrongArgument(ValueError):
    """The operator's input: what was given, and what is allowed."""


class CannotStart(RuntimeError):
    """What is missing on this machine, or what the server refused; the message says what to do."""


@dataclass(frozen=True)
class Outage:
    """The line of every lamppost is cut `after_s` from the start, for `for_s` (wire seconds)."""

    after_s: float
    for_s: float


@dataclass(frozen=True)
class Where:
    """The broker, and what of the server is known. `ca_file`: what the broker's certificate is checked by.

    `server_data`, `server_config`: of a server on this machine, which lets the lampposts in. `authority`:
    a city's authority on this machine, which only signs. Neither: certificates lie in the directory already.
    """

    host: str
    port: int
    ca_file: Path
    tenant: str
    server_data: Path | None = None
    server_config: Path | None = None
    authority: Path | None = None


@dataclass(frozen=True)
class Source:
    """Where the air comes from: the synthetic city (`file` None), or stations of a recording, in turn."""

    file: Path | None = None
    stations: tuple[str, ...] = ()
    seed: int = 1


@dataclass(frozen=True)
class Settings:
    """`every_s`, `flush_s`, `backlog_s` are street seconds, all others wire seconds.

    `run_s`: None until Ctrl-C. `kinds`: the sensors of a lamppost, taken in turn by the lampposts.
    `in_memory`: the spools lie on a memory file system. `clock_file`: the street's clock of a demo.
    """

    devices: int
    directory: Path
    where: Where
    prefix: str = "sim"
    every_s: float = 10.0
    flush_s: float = 5.0
    kinds: tuple[tuple[SensorKind, ...], ...] = ((SensorKind.SDS011,),)
    speed: float = 1.0
    clock_file: Path | None = None
    run_s: float | None = None
    drain_s: float = 60.0
    source: Source = Source()
    processes: int = 1
    ramp_per_s: float = 200.0
    backlog_s: float = 0.0
    outage: Outage | None = None
    in_memory: bool = False
    keep: bool = False
    report: Path | None = None
    ledger: Path | None = None
    quiet: bool = False

    @property
    def names(self) -> list[str]:
        return [f"{self.prefix}-{number:05d}" for number in range(1, self.devices + 1)]

    @property
    def identities(self) -> Path:
        return self.directory / "identities"


def duration(option: str, text: str) -> float:
    """`90s`, `5m`, `2h`, `1d` or plain seconds -> seconds. Raises WrongArgument."""
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,6})?)([smhd]?)", text.strip().lower())
    if match is None or float(match[1]) <= 0:
        raise WrongArgument(f"{option} {text!r} is not a duration: write for example 90s, 5m, 2h or 1d")
    return float(match[1]) * UNITS_S[match[2] or "s"]


def within(option: str, value: float, low: float, high: float) -> float:
    """Raises WrongArgument, also for what is no number."""
    if not (math.isfinite(value) and low <= value <= high):
        raise WrongArgument(f"{option} {value:g}: choose from {low:g} to {high:g}")
    return value


def kinds(text: str) -> tuple[tuple[SensorKind, ...], ...]:
    """`sds011,pms5003+mhz19b`: one lamppost has the first, the next both of the second, and so on."""
    found = []
    for post in text.split(","):
        names = [name.strip().lower() for name in post.split("+")]
        wrong = [name for name in names if name not in set(SensorKind)]
        if wrong:
            raise WrongArgument(f"--kinds {wrong[0]!r}: choose from {', '.join(SensorKind)}")
        found.append(tuple(SensorKind(name) for name in names))
    return tuple(found)


def outage(text: str) -> Outage:
    """`2m+30s`: two minutes after the start, for half a minute."""
    after, plus, length = text.partition("+")
    if not plus:
        raise WrongArgument(f"--outage {text!r}: write for example 2m+30s: two minutes on, for half one")
    return Outage(duration("--outage", after), duration("--outage", length))


def broker(text: str) -> tuple[str, int]:
    """`host:port`, `[::1]:port`."""
    match = re.fullmatch(r"(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]{1,253}))(?::(\d{1,5}))?", text.strip())
    port = int(match[3] or 8883) if match else 0
    if match is None or not 1 <= port <= 65_535:
        raise WrongArgument(f"--broker {text!r}: write host or host:port, for example 127.0.0.1:8883")
    return match[1] or match[2], port


def check_names(tenant: str, prefix: str) -> None:
    """Raises WrongArgument where a lamppost's name would not fit the wire or a certificate."""
    try:
        address = Address(tenant, f"{prefix}-00001")
    except InvalidName as wrong:
        raise WrongArgument(f"--prefix {prefix!r} or --tenant {tenant!r}: {wrong}") from None
    if len(str(address)) > 64:  # RFC 5280, ub-common-name
        raise WrongArgument(f"--prefix {prefix!r}: {address} is longer than 64 characters")


def processes_for(devices: int, cores: int) -> int:
    """Few: enough that none is the bottleneck, no more than there are cores where that suffices."""
    return max(1, min(math.ceil(devices / PER_PROCESS), max(cores, 2)))
