"""5,000 simulated lampposts over mTLS against one server on one machine, and the storm of a broker restart.

    python -m benchmarks.fleet [--quick] [--report FILE]

A real `lamppost serve` (embedded PostgreSQL with fsync, Mosquitto with the generated configuration) and the
simulator: the agent's own spool, sealing and link, each lamppost with a certificate and a connection of its
own. Each takes a sample and sends a batch every ten seconds for ten minutes. Then the broker is stopped, the
server starts it again, and everybody comes back by the agent's own jitter. In the end every lamppost's ledger
(how many samples, the sums of their times and values) is held against its rows in the database.

The spools lie on a memory file system: 5,000 lampposts have 5,000 disks, this machine has one, and that one
is the database's. Memory is private memory (RssAnon) by part, sampled while the fleet is steady; what it
grows by is the slope of a straight line through the samples over the whole steady time.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from benchmarks import report
from benchmarks.report import Figure, at_least, at_most, shown
from simulator import identities
from simulator.crew import Crew
from simulator.job import jobs
from simulator.report import Report
from simulator.report import report as add_up
from simulator.server import find
from simulator.settings import Settings, processes_for
from simulator.tally import Latency
from tests.support.serve import Serve

LAMPPOSTS, QUICK_LAMPPOSTS = 5_000, 200
STEADY_S, QUICK_STEADY_S = 600.0, 30.0
EVERY_S = 10.0
RAMP_PER_S = 100.0
SAMPLE_MEMORY_S = 5.0
CONNECTED_S = 300.0  # beyond the ramp; then the run goes on with those that are
SETTLED_S = 300.0
AFTER_S = 20.0  # two rounds of everybody after the storm
DRAIN_S = 120.0
GROWTH_BAR_PERCENT = 5.0  # over ten minutes; caches that fill up in the first minutes are within it
SETTLE_BAR_S = 120.0  # the agent's longest back-off: a broker that was away is found again within two minutes
PARTS = ("broker", "database", "server", "simulator")


@dataclass
class Storm:
    """The broker's restart. `settled_s`: until everybody was connected again; None: not within SETTLED_S."""

    settled_s: float | None
    busiest: int
    handshakes: int
    failed: int
    spread_s: int


@dataclass
class Run:
    """What was measured. `memory`: part -> (seconds, MB) while steady."""

    admitted_s: float
    ramp_s: float
    connected: int
    steady_s: float
    cpu: dict[str, float]
    memory: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    latency: Latency = field(default_factory=Latency)
    storm: Storm | None = None
    found: Report | None = None
    wrong: int = 0
    missing: int = 0
    letters: int = 0


def run(lampposts: int, steady_s: float, folder: Path, say: Callable[[str], None]) -> Run:
    """The whole of it; nothing is left running."""
    serve = Serve(folder, more="[log]\nfiles = true\n")
    serve.start()
    try:
        serve.wait_ready()
        where = find(serve.data, serve.file, "")
        settings = Settings(
            devices=lampposts,
            directory=folder / "simulated",
            where=where,
            every_s=EVERY_S,
            flush_s=EVERY_S / 2,
            processes=processes_for(lampposts, os.cpu_count() or 1),
            ramp_per_s=RAMP_PER_S,
            drain_s=DRAIN_S,
            in_memory=True,
        )
        settings.directory.mkdir()
        began_s = time.monotonic()
        identities.prepare(settings, lambda done, of: say(f"{done} of {of} let in"))
        admitted_s = time.monotonic() - began_s
        say(f"{lampposts} let in after {admitted_s:.0f} s")
        with tempfile.TemporaryDirectory(dir="/dev/shm") as spools:
            now_ms = time.time_ns() // 1_000_000
            with Crew(jobs(settings, Path(spools), now_ms, now_ms), settings.directory) as crew:
                made = _measure(settings, crew, serve, steady_s, admitted_s, say)
                made.found = add_up(settings, crew.tally, crew.outcomes, steady_s)
                made.wrong, made.missing, made.letters = _compare(serve, crew)
        return made
    finally:
        serve.stop()


def _measure(
    settings: Settings,
    crew: Crew,
    serve: Serve,
    steady_s: float,
    admitted_s: float,
    say: Callable[[str], None],
) -> Run:
    lampposts, began_s = settings.devices, time.monotonic()
    deadline_s = began_s + lampposts / RAMP_PER_S + CONNECTED_S
    while not (crew.started and crew.tally.connected == lampposts) and time.monotonic() < deadline_s:
        crew.hear(1.0)
        say(_moment(crew))
    made = Run(admitted_s, time.monotonic() - began_s, crew.tally.connected, steady_s, {})
    _stay(crew, serve, steady_s, made, say)
    made.storm = _restart_broker(crew, serve, lampposts, say)
    _hear_for(crew, AFTER_S, say)
    crew.stop()
    deadline_s = time.monotonic() + DRAIN_S + 60.0
    while not crew.done and time.monotonic() < deadline_s:
        crew.hear(1.0)
    return made


def _stay(crew: Crew, serve: Serve, steady_s: float, made: Run, say: Callable[[str], None]) -> None:
    """Everybody is there and sends."""
    parts = {**server_parts(serve), "simulator": crew.pids}
    before, cpu_before = crew.tally.latency.buckets.copy(), {part: _cpu_s(parts[part]) for part in PARTS}
    made.memory = {part: [] for part in PARTS}
    began_s = time.monotonic()
    while (past_s := time.monotonic() - began_s) < steady_s:
        for part in PARTS:
            made.memory[part].append((past_s, _private_mb(parts[part])))
        _hear_for(crew, min(SAMPLE_MEMORY_S, steady_s), say)
    made.cpu = {part: (_cpu_s(parts[part]) - cpu_before[part]) / steady_s for part in PARTS}
    made.latency = Latency(crew.tally.latency.buckets - before)


def _restart_broker(crew: Crew, serve: Serve, lampposts: int, say: Callable[[str], None]) -> Storm:
    before = crew.tally
    os.kill(serve.pid_of("broker"), signal.SIGTERM)
    began_s, civil = time.monotonic(), int(time.time())
    settled_s = None
    while (past_s := time.monotonic() - began_s) < SETTLED_S:
        crew.hear(1.0)
        say(_moment(crew))
        all_gone = crew.tally.lost_connections - before.lost_connections >= before.connected
        if all_gone and crew.tally.connected == lampposts:
            settled_s = past_s
            break
    tally = crew.tally
    since = {second: count for second, count in tally.handshakes.items() if second >= civil}
    return Storm(
        settled_s,
        busiest=max(since.values(), default=0),
        handshakes=sum(since.values()),
        failed=tally.failed_connects - before.failed_connects,
        spread_s=max(since) - min(since) + 1 if since else 0,
    )


def _hear_for(crew: Crew, seconds: float, say: Callable[[str], None]) -> None:
    until_s = time.monotonic() + seconds
    while (left_s := until_s - time.monotonic()) > 0:
        crew.hear(min(1.0, left_s))
    say(_moment(crew))


def _moment(crew: Crew) -> str:
    tally = crew.tally
    return (
        f"{tally.lampposts} on, {tally.connected} connected, {tally.taken} taken, {tally.acked} acked,"
        f" {tally.in_flight} in flight, {tally.behind_s:.1f} s behind"
    )


# -- the ledgers against the database ---------------------------------------------------------------------

_STORED = """
    SELECT d.name, count(*), sum(round(extract(epoch FROM s.time) * 1000))::bigint,
           sum(coalesce(s0, 0)::bigint + coalesce(s1, 0) + coalesce(s2, 0) + coalesce(s3, 0) + coalesce(s4, 0)
             + coalesce(s5, 0) + coalesce(s6, 0) + coalesce(s7, 0) + coalesce(s8, 0) + coalesce(s9, 0)
             + coalesce(s10, 0) + coalesce(s11, 0) + coalesce(s12, 0) + coalesce(s13, 0) + coalesce(s14, 0)
             + coalesce(s15, 0))::bigint
    FROM sample s JOIN sensor_unit u ON u.id = s.sensor_unit JOIN device d ON d.id = u.device_id
    WHERE d.name LIKE 'sim-%' GROUP BY d.name
"""


def _compare(serve: Serve, crew: Crew) -> tuple[int, int, int]:
    """(lampposts whose rows are not their ledger, samples that have no row, dead letters)."""
    with psycopg.connect(serve.state()["addresses"]["database"]) as connection:
        rows = {name: tuple(rest) for name, *rest in connection.execute(_STORED)}
        letters = connection.execute("SELECT count(*) FROM dead_letter").fetchone()
    ledger = {each["name"]: (each["samples"], each["times_ms"], each["values"]) for each in crew.outcomes}
    wrong = sum(1 for name, told in ledger.items() if rows.get(name, (0, 0, 0)) != told)
    missing = sum(max(0, told[0] - rows.get(name, (0,))[0]) for name, told in ledger.items())
    return wrong, missing, letters[0] if letters else 0


# -- processes --------------------------------------------------------------------------------------------


def server_parts(serve: Serve) -> dict[str, list[int]]:
    """Part -> its processes, children included."""
    state = serve.state()
    children = _children()
    found: dict[str, list[int]] = {"broker": [], "database": [], "server": [state["supervisor"]]}
    for name, role in state["roles"].items():
        if role["pid"] is not None:
            found[name if name in found else "server"] += _family(role["pid"], children)
    if len(found["database"]) <= 1:  # PostgreSQL leaves the process that started it
        found["database"] += _postgres(serve.data / "postgres", children)
    return found


def _children() -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, IndexError):
            found.setdefault(int(stat.read_text().rpartition(")")[2].split()[1]), []).append(
                int(stat.parent.name)
            )
    return found


def _family(pid: int, children: Mapping[int, list[int]]) -> list[int]:
    return [pid, *(each for child in children.get(pid, ()) for each in _family(child, children))]


def _postgres(directory: Path, children: Mapping[int, list[int]]) -> list[int]:
    try:
        return _family(int((directory / "postmaster.pid").read_text().splitlines()[0]), children)
    except (OSError, ValueError, IndexError):
        return []


def _private_mb(pids: list[int]) -> float:
    total_kb = 0
    for pid in pids:
        with suppress(OSError):
            for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith("RssAnon:"):
                    total_kb += int(line.split()[1])
    return total_kb / 1024


def _cpu_s(pids: list[int]) -> float:
    ticks = 0
    for pid in pids:
        with suppress(OSError, IndexError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def growth_percent(samples: list[tuple[float, float]]) -> float:
    """What a straight line through the samples (seconds, MB) grows by, first to last, of their mean."""
    if len(samples) < 2:
        return 0.0
    mean_s = sum(at for at, _ in samples) / len(samples)
    mean_mb = sum(mb for _, mb in samples) / len(samples)
    square = sum((at - mean_s) ** 2 for at, _ in samples)
    slope = sum((at - mean_s) * (mb - mean_mb) for at, mb in samples) / square
    return 100 * slope * (samples[-1][0] - samples[0][0]) / mean_mb


def figures(quick: bool = False) -> list[Figure]:
    """Nothing lost, memory flat, and the storm."""
    if quick:
        return _measured(QUICK_LAMPPOSTS, QUICK_STEADY_S)
    return _measured(LAMPPOSTS, STEADY_S)


def _measured(lampposts: int, steady_s: float) -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="lamppost-fleet-") as folder:
        made = run(lampposts, steady_s, Path(folder), _to_stderr)
    return _figures(made, lampposts, steady=steady_s >= STEADY_S)


def _figures(made: Run, lampposts: int, steady: bool) -> list[Figure]:
    assert made.found is not None
    assert made.storm is not None
    told, storm = made.found, made.storm
    found = [
        at_least("fleet: lampposts connected over mTLS", made.connected, "lampposts", lampposts),
        shown("fleet: let in and given a certificate", lampposts / made.admitted_s, "lampposts/s"),
        shown("fleet: samples sent", told.taken, "samples"),
        at_most("fleet: samples without a row in the database", made.missing, "samples", 0),
        at_most("fleet: lampposts whose rows are not their ledger", made.wrong, "lampposts", 0),
        at_most("fleet: samples not acked", told.taken - told.acked, "samples", 0),
        at_most("fleet: dead letters", made.letters, "letters", 0),
        shown("fleet: messages sent a second time", told.resent, "messages"),
        shown("fleet: sent to acked, p50", made.latency.percentile_ms(0.5) or 0.0, "ms"),
        shown("fleet: sent to acked, p95", made.latency.percentile_ms(0.95) or 0.0, "ms"),
        shown("fleet: sent to acked, p99", made.latency.percentile_ms(0.99) or 0.0, "ms"),
    ]
    for part, samples in made.memory.items():
        grows = growth_percent(samples)
        name = f"fleet: private memory of the {part} grows by"
        found.append(at_most(name, grows, "%", GROWTH_BAR_PERCENT) if steady else shown(name, grows, "%"))
        found.append(shown(f"fleet: private memory of the {part}", samples[-1][1], "MB"))
    found += [
        shown(f"fleet: cores that the {part} keeps busy", cpu, "cores") for part, cpu in made.cpu.items()
    ]
    settled_s = storm.settled_s if storm.settled_s is not None else float("inf")
    return [
        *found,
        at_most("fleet: all connected again after a broker restart", settled_s, "s", SETTLE_BAR_S),
        shown("fleet: handshakes of the storm", storm.handshakes, "handshakes"),
        shown("fleet: handshakes in its busiest second", storm.busiest, "handshakes"),
        shown("fleet: seconds from its first handshake to its last", storm.spread_s, "s"),
        shown("fleet: connections of the storm that failed first", storm.failed, "connections"),
    ]


def _to_stderr(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)


def main(argv: list[str] | None = None) -> int:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--quick", action="store_true", help="200 lampposts for half a minute")
    options.add_argument("--lampposts", type=int, metavar="N", help="another size: what this machine holds")
    options.add_argument("--seconds", type=float, metavar="S", help="another steady time")
    options.add_argument("--report", type=Path, metavar="FILE", help="the figures as JSON")
    given = options.parse_args(argv)
    print(report.machine())
    if given.lampposts or given.seconds:
        found = _measured(given.lampposts or LAMPPOSTS, given.seconds or STEADY_S)
    else:
        found = figures(given.quick)
    print("\n".join(report.lines(found)))
    if given.report:
        given.report.write_text(json.dumps(report.as_json(found), indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
