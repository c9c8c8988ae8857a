"""What one process of the simulation is told to do, as JSON on its standard input."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from firmware_bridge.kinds import SensorKind
from simulator.settings import Outage, Settings, Source


@dataclass(frozen=True)
class Job:
    """`first`: the index of its first lamppost among `of`; `names`: its own. Clock: as the demo's file.

    `spools`: the folder in which each of its lampposts has one. `every_s`, `flush_s`, `backlog_s`: street.
    """

    first: int
    of: int
    names: tuple[str, ...]
    tenant: str
    host: str
    port: int
    ca_file: str
    identities: str
    spools: str
    speed: float
    street_zero_ms: int
    wall_zero_ms: int
    clock_file: str
    every_s: float
    flush_s: float
    backlog_s: float
    kinds: tuple[tuple[str, ...], ...]
    source_file: str
    stations: tuple[str, ...]
    seed: int
    ramp_per_s: float
    drain_s: float
    outage_after_s: float
    outage_for_s: float
    in_memory: bool

    def text(self) -> str:
        """One line."""
        return json.dumps(vars(self)) + "\n"

    @classmethod
    def read(cls, text: str) -> Job:
        told: dict[str, Any] = json.loads(text)
        told["names"], told["stations"] = tuple(told["names"]), tuple(told["stations"])
        told["kinds"] = tuple(tuple(each) for each in told["kinds"])
        return cls(**told)

    @property
    def source(self) -> Source:
        return Source(Path(self.source_file) if self.source_file else None, self.stations, self.seed)

    @property
    def outage(self) -> Outage | None:
        return Outage(self.outage_after_s, self.outage_for_s) if self.outage_for_s else None

    def kinds_of(self, index: int) -> tuple[SensorKind, ...]:
        return tuple(SensorKind(name) for name in self.kinds[index % len(self.kinds)])


def jobs(settings: Settings, spools: Path, street_zero_ms: int, wall_zero_ms: int) -> list[Job]:
    """One for each process: neighbouring lampposts together, as evenly as can be."""
    names, count = settings.names, min(settings.processes, settings.devices)
    edges = [round(part * len(names) / count) for part in range(count + 1)]
    where, outage = settings.where, settings.outage
    return [
        Job(
            first=first,
            of=len(names),
            names=tuple(names[first:after]),
            tenant=where.tenant,
            host=where.host,
            port=where.port,
            ca_file=str(where.ca_file),
            identities=str(settings.identities),
            spools=str(spools),
            speed=settings.speed,
            street_zero_ms=street_zero_ms,
            wall_zero_ms=wall_zero_ms,
            clock_file=str(settings.clock_file or ""),
            every_s=settings.every_s,
            flush_s=settings.flush_s,
            backlog_s=settings.backlog_s,
            kinds=tuple(tuple(kind.value for kind in post) for post in settings.kinds),
            source_file=str(settings.source.file or ""),
            stations=settings.source.stations,
            seed=settings.source.seed,
            ramp_per_s=settings.ramp_per_s / count,
            drain_s=settings.drain_s,
            outage_after_s=outage.after_s if outage else 0.0,
            outage_for_s=outage.for_s if outage else 0.0,
            in_memory=settings.in_memory,
        )
        for first, after in pairwise(edges)
    ]
