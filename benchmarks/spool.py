"""What a lamppost's disk is written for a reading: bytes and syncs, for live samples that are acked at once.

The agent's own spooler and spool on a clock that is stepped, a PMS5003's twelve channels with a sensor's
noise, every batch published and acked a second later, as the link does it. `asked`: bytes that SQLite hands
to the file system (`tests/support/disk_trace.py`); `written`: those that the kernel accounts to this process
(/proc/self/io, whole 4 KiB blocks; 0 on a disk in memory). The file system's own journal comes on top.

Beside the spool as it is stand its alternatives: SQLite's usual page size, a commit each second, and
`synchronous = NORMAL`, which syncs seldom and may lose what it had confirmed.

    python -m benchmarks.spool [--quick] [--folder DIR]
"""

from __future__ import annotations

import random
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from unittest import mock

from benchmarks.report import Figure, lines, machine, shown
from edge_agent.core.declaring import declaration
from edge_agent.core.records import UnitIdentity
from edge_agent.core.sealing import COMMIT_EVERY_S
from edge_agent.core.spool_policy import Caps
from edge_agent.core.window import AckMark
from edge_agent.io import spool_schema
from edge_agent.io.clocks import SteppedClock
from edge_agent.io.spool_schema import PAGE_BYTES
from edge_agent.io.sqlite_spool import SqliteSpool
from edge_agent.loops import spooler as spooler_module
from edge_agent.loops.board import Board
from edge_agent.loops.desk import Taken
from edge_agent.loops.link import ACK_COMMIT_S, LinkView
from edge_agent.loops.room import RoomKeeper
from edge_agent.loops.spooler import Spooler
from firmware_bridge.kinds import SensorKind
from firmware_bridge.ports import Reading
from tests.support.disk_trace import traced
from tests.support.sensor_noise import LEVELS, deviation
from wire_contract.classes import Class

NOW_MS = 1_795_000_000_000
FLUSH_S = 10.0  # telemetry.flush_interval_s as it comes
HOUR_S = 3600.0
LEVEL = LEVELS["pms5003"]


@dataclass(frozen=True)
class Way:
    """How the spool writes."""

    name: str
    page_bytes: int = PAGE_BYTES
    commit_s: float = COMMIT_EVERY_S
    synchronous: str = "FULL"


AS_IT_IS = Way("as it is")
WAYS = (
    AS_IT_IS,
    replace(AS_IT_IS, name="pages of 4096", page_bytes=4096),
    replace(AS_IT_IS, name="a commit each second", commit_s=1.0),
    replace(AS_IT_IS, name="synchronous NORMAL", synchronous="NORMAL"),
)


@dataclass(frozen=True)
class Wear:
    """Of one way: by reading, by hour."""

    asked_bytes: float
    written_bytes: float
    syncs_an_hour: float
    written_mb_a_day: float


def measure(way: Way, folder: Path, every_s: float, seconds: float) -> Wear:
    """So many street seconds of one sensor, sampled each `every_s`."""
    with tempfile.TemporaryDirectory(dir=folder) as name, _as(way), traced(Path(name)) as trace:
        clock = SteppedClock(NOW_MS)
        spool = SqliteSpool(Path(name), declaration, 0, clock.street_s)
        asked, syncs, written = trace.written_bytes, trace.syncs, _written_by_us()
        samples = _live(spool, clock, every_s, seconds)
        asked, syncs, written = trace.written_bytes - asked, trace.syncs - syncs, _written_by_us() - written
        spool.close()
    readings = samples * len(LEVEL)
    hours = seconds / HOUR_S
    return Wear(asked / readings, written / readings, syncs / hours, written / hours * 24 / 1e6)


@contextmanager
def _as(way: Way) -> Iterator[None]:
    pragmas = tuple(each.replace("= FULL", f"= {way.synchronous}") for each in spool_schema._PRAGMAS)
    with (
        mock.patch.object(spool_schema, "_PRAGMAS", pragmas),
        mock.patch.object(spool_schema, "PAGE_BYTES", way.page_bytes),
        mock.patch.object(spooler_module, "COMMIT_EVERY_S", way.commit_s),
    ):
        yield


def _live(spool: SqliteSpool, clock: SteppedClock, every_s: float, seconds: float) -> int:
    """The spooler's turns at the instants at which its thread would have had them. Returns the samples."""
    board = Board(clock)
    room = RoomKeeper(clock, spool, board, Caps(1 << 40, 0, 0, 30.0, 7.0))
    view = LinkView(connected=True, delivering=True)
    spooler = Spooler(clock, spool, board, view, room, FLUSH_S, _nothing, _nothing)
    link, chance, samples, next_s = _Acked(spool), random.Random(1), 0, 0.0
    identity = UnitIdentity("pms5003", "", "front")
    while clock.street_s() < seconds:
        now_s = clock.street_s()
        if now_s >= next_s:
            values = tuple(max(0, round(chance.gauss(level, deviation(level)))) for level in LEVEL)
            reading = Reading(SensorKind.PMS5003, values, None, ())
            spooler._take(Taken("front", identity, reading, every_s, clock.now_ms(), now_s))
            samples, next_s = samples + 1, next_s + every_s
        spooler.tend()
        link.turn(now_s)
        wait_s = min(next_s - now_s, spooler._due_in_s(), link.due_s - now_s)
        clock.step_to(clock.now_ms() + max(int(wait_s * 1000) + 1, 1))
    return samples


class _Acked:
    """What the link asks of the spool when every message is acked at once."""

    def __init__(self, spool: SqliteSpool) -> None:
        self._spool = spool
        self._sent = dict.fromkeys(Class, 0)
        self.due_s = float("inf")

    def turn(self, now_s: float) -> None:
        for cls in Class:
            for head in self._spool.heads(cls, self._sent[cls], 20):
                self._spool.load(cls, head.sequence)
                self._spool.will_publish(cls, head.sequence)
                self._sent[cls] = head.sequence
                self.due_s = min(self.due_s, now_s + ACK_COMMIT_S)
        if now_s >= self.due_s:
            self._spool.acknowledge({cls: AckMark(upto) for cls, upto in self._sent.items() if upto})
            self.due_s = float("inf")


def _nothing() -> None:
    """No link is there to be told."""


def _written_by_us() -> int:
    for line in Path("/proc/self/io").read_text().splitlines():
        if line.startswith("write_bytes:"):
            return int(line.split()[1])
    return 0


def figures(quick: bool = False, folder: Path | None = None) -> list[Figure]:
    """For each way, at 1 Hz and one a minute: bytes asked and written, syncs an hour, megabytes a day."""
    place = folder or Path.cwd()  # a folder for temporary files may be one in memory
    found = []
    for title, every_s, hours in (("each second", 1.0, 0.5), ("each minute", 60.0, 4.0)):
        for way in WAYS:
            wear = measure(way, place, every_s, hours * HOUR_S * (0.2 if quick else 1.0))
            name = f"{title}, {way.name}"
            found += [
                shown(f"{name}: asked", wear.asked_bytes, "B/reading"),
                shown(f"{name}: written", wear.written_bytes, "B/reading"),
                shown(f"{name}: syncs", wear.syncs_an_hour, "an hour"),
                shown(f"{name}: written", wear.written_mb_a_day, "MB/day"),
            ]
    return found


def main(arguments: list[str]) -> int:
    print(machine())
    place = Path(arguments[arguments.index("--folder") + 1]) if "--folder" in arguments else None
    print("\n".join(lines(figures("--quick" in arguments, place))))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
