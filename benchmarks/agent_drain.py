"""A day's backlog from a lamppost's spool to acked, and how soon an alarm leaves in the middle of it.

The spool is filled as a lamppost without a link would: 86,400 samples of a PMS5003 (12 channels, with a
sensor's noise), one each street second, through the agent's own quality tests, stamping and sealing. Then the
agent drains it over a real Mosquitto with mutual TLS to a server in a process of its own, which commits in
groups, 20 ms each as PostgreSQL with fsync takes, and acks after the commit. Alarms are raised meanwhile.

Two backlogs: `outage`, the broker was away and history is sealed by 500 samples; `worst`, each ten seconds a
batch, as a link that flaps all day leaves them. The first once more to the real ingest role and PostgreSQL.

    python -m benchmarks.agent_drain [--quick]
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.ingest_bench import bench
from benchmarks.report import Figure, at_most, lines, machine, shown
from edge_agent.app import Agent
from edge_agent.config import check
from edge_agent.config_keys import AgentConfig
from edge_agent.core.declaring import declaration
from edge_agent.core.records import UnitIdentity
from edge_agent.core.spool_policy import Caps
from edge_agent.io.clocks import SteppedClock
from edge_agent.io.sqlite_spool import SqliteSpool
from edge_agent.loops.board import Board
from edge_agent.loops.desk import Taken
from edge_agent.loops.link import LinkView
from edge_agent.loops.room import RoomKeeper
from edge_agent.loops.spooler import Spooler
from firmware_bridge.kinds import SPECS, SensorKind
from firmware_bridge.ports import Reading
from tests.fleet_server.telemetry.support import Post
from tests.support.mosquitto import IdentityFiles, MosquittoBroker
from tests.support.sensor_noise import LEVELS, deviation
from wire_contract.messages import Verdict
from wire_contract.topics import Address
from wire_contract.verdict_kinds import VerdictKind

BAR_S = 60.0  # issue 4: a day at 12 readings a second
BAR_ALARM_S = 1.0  # "live alarms first": an alarm waits for a commit, not for the backlog
DAY_S, QUICK_S = 86_400, 7_200
COMMIT_S = 0.020  # of a group at the server: what one fsync and a COPY of some thousand rows take
ALARM_EVERY_S = 0.1
LIMIT_S = 300.0
CHANNELS = len(SPECS[SensorKind.PMS5003].channels)
ADDRESS = Address("city", "post-1")


@dataclass(frozen=True)
class Drained:
    """One run. `seconds`: from the agent's start to an empty spool. `alarm_s`: of each alarm, from the
    agent's decision to its commit at the server. `groups`: commits of the server. `file_bytes`: spool and
    journal before and after."""

    seconds: float
    samples: int
    payload_bytes: int
    messages: int
    groups: int
    cpu_s: float
    alarm_s: tuple[float, ...]
    file_bytes: tuple[int, int]


def fill(folder: Path, seconds: int, seal_each_s: float) -> None:
    """So many samples, one each second, up to now; sealed each so many seconds (0: as offline)."""
    clock = SteppedClock(int(time.time() * 1000) - seconds * 1000, boot="bench", real_wire=True)
    spool = SqliteSpool(folder, declaration, 0, clock.street_s)
    spool._db.execute("PRAGMA synchronous = OFF")  # how it came there is not what is measured
    board, view = Board(clock), LinkView()
    room = RoomKeeper(clock, spool, board, Caps(1 << 40, 0, 0, 30.0, 7.0))
    spooler = Spooler(clock, spool, board, view, room, 10.0, _nothing, _nothing)
    chance = random.Random(1)
    identity = UnitIdentity("pms5003", "", "front")
    for second in range(seconds):
        values = [max(0, round(chance.gauss(level, deviation(level)))) for level in LEVELS["pms5003"]]
        reading = Reading(SensorKind.PMS5003, tuple(values), None, ())
        spooler._take(Taken("front", identity, reading, 1.0, clock.now_ms(), clock.street_s()))
        clock.step_to(clock.now_ms() + 1000)
        if seal_each_s and second % seal_each_s == seal_each_s - 1:
            spooler.finish_now()
        elif second % 100 == 99:
            spooler.tend()
    spooler.finish_now()
    spool.close()


def _nothing() -> None:
    """No link is there to be told."""


@contextmanager
def server(broker: MosquittoBroker) -> Iterator[subprocess.Popen[str]]:
    """The acking server in a process of its own: its work is not the agent's."""
    identity = broker.server_identity()
    files = [str(identity.ca), str(identity.certificate), str(identity.key)]
    command = [sys.executable, "-m", "tests.support.grouping_server", str(broker.port), str(COMMIT_S), *files]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        assert process.stdout.readline().strip() == "ready"
        yield process
    finally:
        process.kill()
        process.wait(10)


def make_config(folder: Path, port: int, identity: IdentityFiles) -> AgentConfig:
    tables: dict[str, Any] = {
        "device": {"tenant": ADDRESS.tenant, "name": ADDRESS.device, "data_dir": str(folder)},
        "server": {
            **{"host": "127.0.0.1", "port": port, "ca_file": str(identity.ca)},
            **{"certificate_file": str(identity.certificate), "key_file": str(identity.key)},
        },
        "spool": {"min_free_bytes": 0, "min_free_inodes": 0},
        "model": {"runtime": "rule"},
        "telemetry": {"flush_interval_s": 1},
    }
    return check(tables, folder / "agent.toml")


def drain(folder: Path, broker: MosquittoBroker, seconds: int, seal_each_s: float) -> Drained:
    """Fill a spool, start the agent on it, raise alarms until all is acked."""
    config = make_config(folder, broker.port, broker.device_identity(ADDRESS))
    fill(config.spool_dir, seconds, seal_each_s)
    before = _file_bytes(config.spool_dir)
    with server(broker) as process:
        took_s, cpu_s, alarms = _run_agent(config)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        told = json.loads(process.stdout.readline())
    assert told["samples"] == seconds, f"{told['samples']} of {seconds} samples came"
    assert len(told["alarm_s"]) == alarms, f"{len(told['alarm_s'])} of {alarms} alarms came"
    return Drained(
        took_s,
        told["samples"],
        told["payload_bytes"],
        told["messages"],
        told["groups"],
        cpu_s,
        tuple(sorted(told["alarm_s"])),
        (before, _file_bytes(config.spool_dir)),
    )


def drain_into_database(seconds: int) -> float:
    """The backlog of an outage once more, to the real ingest role and PostgreSQL with fsync. Seconds."""
    with bench() as here:
        here.desk.register(Post(ADDRESS.device))
        here.start_workers(1)
        config = make_config(here.folder / "device", here.broker.port, here.broker.device_identity(ADDRESS))
        fill(config.spool_dir, seconds, 0)
        took_s, _, alarms = _run_agent(config)
        assert here.rows() == seconds, f"{here.rows()} of {seconds} samples are stored"
        assert here.desk.one("SELECT count(*) FROM verdict") == alarms
    return took_s


def _run_agent(config: AgentConfig) -> tuple[float, float, int]:
    """Seconds from its start to an empty spool, processor seconds, alarms raised meanwhile."""
    agent, began_s, cpu_s = Agent(config), time.monotonic(), time.process_time()
    agent.start()
    try:
        alarms = _raise_alarms_until_empty(agent, began_s + LIMIT_S)
        took_s, cpu_s = time.monotonic() - began_s, time.process_time() - cpu_s
        agent.spooler._room.keep()
    finally:
        agent.shut_down()
    return took_s, cpu_s, alarms


def _raise_alarms_until_empty(agent: Agent, until_s: float) -> int:
    """An alarm each ALARM_EVERY_S while samples wait. Returns how many."""
    alarms, pause = 0, threading.Event()
    while any(count.waiting_messages for count in agent.spool.counters().values()):
        assert time.monotonic() < until_s, f"not drained within {LIMIT_S:.0f} s"
        if any(count.waiting_samples for count in agent.spool.counters().values()):
            reason = str(int(time.monotonic() * 1e6))
            now_ms = int(time.time() * 1000)
            agent.spooler.verdicts(
                (Verdict(now_ms, 1, VerdictKind.EPISODE, 1.0, 1.0, reason, "rule@1", b""),)
            )
            alarms += 1
        pause.wait(ALARM_EVERY_S)
    return alarms


def _file_bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("spool.db*") if not file.name.endswith("-shm"))


def run(seconds: int) -> dict[str, Drained]:
    """Both backlogs, one after the other."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "broker").mkdir()
        broker = MosquittoBroker(folder / "broker")
        broker.start()
        try:
            return {
                "outage": drain(folder / "outage", broker, seconds, 0),
                "worst": drain(folder / "worst", broker, seconds, 10),
            }
        finally:
            broker.stop()


def figures(quick: bool = False) -> list[Figure]:
    """Seconds, the worst alarm, MB/s of payload, processor, and the file's size, for both backlogs."""
    seconds, found = QUICK_S if quick else DAY_S, []
    for name, one in run(seconds).items():
        readings = one.samples * CHANNELS
        hours = one.samples / 3600
        found += [
            at_most(f"drain of {hours:.0f} h, {name}", one.seconds, "s", BAR_S),
            at_most(f"  {name}: slowest of {len(one.alarm_s)} alarms", one.alarm_s[-1], "s", BAR_ALARM_S),
            shown(f"  {name}: median alarm", one.alarm_s[len(one.alarm_s) // 2], "s"),
            shown(f"  {name}: readings a second", readings / one.seconds, "readings/s"),
            shown(f"  {name}: payload", one.payload_bytes / one.seconds / 1e6, "MB/s"),
            shown(f"  {name}: messages", one.messages, "messages"),
            shown(f"  {name}: commits of the server", one.groups, "commits"),
            shown(f"  {name}: processor", 100 * one.cpu_s / one.seconds, "% of a core"),
            shown(f"  {name}: file before", one.file_bytes[0] / 1e6, "MB"),
            shown(f"  {name}: file after", one.file_bytes[1] / 1e6, "MB"),
        ]
    into_s = drain_into_database(seconds)
    title = f"drain of {seconds / 3600:.0f} h, outage, into PostgreSQL by one ingest worker"
    return [*found, at_most(title, into_s, "s", BAR_S)]


def main(arguments: list[str]) -> int:
    print(machine())
    print("\n".join(lines(figures(quick="--quick" in arguments))))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
