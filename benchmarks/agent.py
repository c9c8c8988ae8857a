"""One agent alone: memory and CPU with three emulated sensors, by rule and with the model on both runtimes.

The agent is the real process, delivering to a real Mosquitto over mutual TLS whose messages a small server
acknowledges. Its units' last hours are given to it, so that it has windows to judge from the first minute.
Memory is smaps_rollup's PSS and USS; CPU is utime + stime of /proc/PID/stat over the measured time, starting
after the agent has settled, with each sensor read once a second. How soon a window is judged is measured in a
second run of the same agent whose street clock is 60 times as fast: three windows a second.

Bars: by rule 40 MB PSS and 1 % of a core; LiteRT 60 MB, ONNX Runtime 80 MB, both 2 % of a core and a verdict
10 ms (p99) after its window is complete.

Floors, measured in the same run: memory of a bare process with the agent's imports; CPU of a bare process
that reads the same three sensors once a second and does nothing with it; the runtime's bare call for one
window.

    python -m benchmarks.agent [--json] [--seconds N]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.report import Figure, at_least_of_floor, at_most
from edge_agent.core.post import Kept
from edge_agent.core.records import UnitIdentity
from edge_agent.io.watch_file import WatchFile
from firmware_bridge.emulator.plan import default_serial
from firmware_bridge.kinds import SPECS, SensorKind
from models.features.context import Context, observe
from models.features.window import Minute
from tests.support.acking_server import AckingServer
from tests.support.mosquitto import MosquittoBroker
from tests.support.waiting import wait_until
from wire_contract.topics import Address

SENSORS = (("front", "pms5003"), ("back", "sds011"), ("top", "sps30"))
SETTLE_S = 5.0  # imports, first connection, first declarations
HURRY = 60.0  # the street clock of the run that measures how soon a window is judged
HURRIED_S = 70.0  # at least 200 windows: the p99 of fewer is the slowest one
MINUTE_MS = 60_000
PAST_MINUTES = 240


@dataclass(frozen=True)
class Bars:
    """`verdict_ms`: None where no model judges."""

    pss_mb: float
    cpu_percent: float
    verdict_ms: float | None


BARS = {"rule": Bars(40.0, 1.0, None), "litert": Bars(60.0, 2.0, 10.0), "onnx": Bars(80.0, 2.0, 10.0)}

IMPORTS = "import edge_agent.cli, edge_agent.app, firmware_bridge.serial_sensor, tomllib, logging, time\n"
BARE = IMPORTS + "print('ready', flush=True)\ntime.sleep(3600)\n"
READER = (
    IMPORTS
    + """
import sys
from firmware_bridge.kinds import SensorKind
sensors = [firmware_bridge.serial_sensor.open_sensor(SensorKind(k), p)
           for k, p in (each.split('=') for each in sys.argv[1:])]
for sensor in sensors:
    sensor.open()
print('ready', flush=True)
due = time.monotonic()
while True:
    for sensor in sensors:
        sensor.read(3.0)
    due += 1.0
    time.sleep(max(0.0, due - time.monotonic()))
"""
)
INVOKE = """
import sys, time
from edge_agent.io.model_folder import load_model, model_directory
model = load_model(model_directory(""), sys.argv[1])
window, took = model.manifest.golden.input, []
for _ in range(2000):
    start = time.perf_counter()
    model.runner.score(window)
    took.append(time.perf_counter() - start)
took.sort()
print(took[1000] * 1000, took[1980] * 1000)
"""


@dataclass(frozen=True)
class Use:
    """What a process used: megabytes, per cent of one core over `seconds`."""

    pss_mb: float
    uss_mb: float
    cpu_percent: float
    seconds: float


def memory_mb(pid: int) -> tuple[float, float]:
    """PSS and USS (private clean and dirty), MB of 1,000,000 bytes."""
    fields: dict[str, int] = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, value = line.split(":")
        fields[name] = int(value.split()[0]) * 1024
    private = fields["Private_Clean"] + fields["Private_Dirty"]
    return fields["Pss"] / 1e6, private / 1e6


def cpu_s(pid: int) -> float:
    """User and system time of all its threads."""
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")


def measure(pid: int, seconds: float) -> Use:
    """Watch a process for so long; memory at the end."""
    before, start = cpu_s(pid), time.monotonic()
    time.sleep(seconds)
    used, took = cpu_s(pid) - before, time.monotonic() - start
    pss, uss = memory_mb(pid)
    return Use(round(pss, 1), round(uss, 1), round(100 * used / took, 2), round(took, 1))


@dataclass(frozen=True)
class Agent:
    """One way of deciding. `steady`: sensors once a second, street clock as ours. `hurried`: at 60 times.
    `judged`: windows in the hurried run, of which half took longer than `verdict_ms`, one in a hundred longer
    than `verdict_ms_p99`; `work_ms_p99` is what the processor had to do, without waiting for a core.
    `invoke_ms`: the bare runtime's median and p99 for one window."""

    runtime: str
    steady: Use
    hurried: Use
    judged: int
    verdict_ms: float
    verdict_ms_p99: float
    work_ms_p99: float
    invoke_ms: tuple[float, float]

    @property
    def pss_mb(self) -> float:
        return max(self.steady.pss_mb, self.hurried.pss_mb)

    @property
    def kept(self) -> bool:
        bars = BARS[self.runtime]
        soon = bars.verdict_ms is None or (self.judged > 0 and self.verdict_ms_p99 <= bars.verdict_ms)
        return self.pss_mb <= bars.pss_mb and self.steady.cpu_percent <= bars.cpu_percent and soon


def run(seconds: float) -> tuple[list[Agent], Use, Use]:
    """(agents, bare imports, bare reader)."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "broker").mkdir()
        broker = MosquittoBroker(folder / "broker")
        broker.start()
        emulator = _start_sensors(folder)
        try:
            agents = [_measure_runtime(folder, broker, runtime, seconds) for runtime in BARS]
            bare = _measure_program(BARE, [], 1.0)
            ports = [f"{kind}={folder / sensor}" for sensor, kind in SENSORS]
            reader = _measure_program(READER, ports, seconds)
        finally:
            emulator.terminate()
            emulator.wait(10)
            broker.stop()
    return agents, bare, reader


def _measure_runtime(folder: Path, broker: MosquittoBroker, runtime: str, seconds: float) -> Agent:
    steady, _ = _measure_agent(folder / f"{runtime}-steady", folder, broker, runtime, 1.0, seconds)
    longer_s = max(seconds, HURRIED_S) if BARS[runtime].verdict_ms else seconds
    hurried, status = _measure_agent(folder / f"{runtime}-hurried", folder, broker, runtime, HURRY, longer_s)
    invoke = (0.0, 0.0)
    if runtime != "rule":
        assert runtime in status["model"], f"the model does not decide: {status['model']}"
        told = subprocess.check_output(
            [sys.executable, "-c", INVOKE, runtime], text=True, stderr=subprocess.DEVNULL
        )
        median, p99 = (round(float(each), 3) for each in told.split())
        invoke = (median, p99)
    figures = status["watching"]
    return Agent(
        runtime,
        steady,
        hurried,
        int(figures["judged"]),
        figures["delay_ms_p50"],
        figures["delay_ms_p99"],
        figures["work_ms_p99"],
        invoke,
    )


def _start_sensors(folder: Path) -> subprocess.Popen[bytes]:
    units = [
        {
            "name": name,
            "kind": kind,
            "link": str(folder / name),
            "ledger": str(folder / f"{name}.jsonl"),
            "seed": seed,
            "scene": {"type": "synthetic"},
            "position": [0, 0],
            "serial": None,
            "history": None,
        }
        for seed, (name, kind) in enumerate(SENSORS)
    ]
    plan = folder / "plan.json"
    plan.write_text(json.dumps({"clock": None, "units": units}))
    emulator = subprocess.Popen(
        [sys.executable, "-m", "lamppost", "sensors", "emulate", "--plan", str(plan)],
        stdout=subprocess.DEVNULL,
    )
    wait_until(lambda: all((folder / name).exists() for name, _ in SENSORS), 20, "three emulated sensors")
    return emulator


def _measure_agent(
    home: Path, folder: Path, broker: MosquittoBroker, runtime: str, speed: float, seconds: float
) -> tuple[Use, dict[str, Any]]:
    """What it used, and its status file at the end."""
    home.mkdir()
    address = Address("city", f"{runtime}-{int(speed)}")
    identity = broker.device_identity(address)
    config, every_s = home / "agent.toml", speed
    config.write_text(
        f'[device]\ntenant = "city"\nname = "{address.device}"\ndata_dir = "{home}/data"\n'
        f'[server]\nhost = "127.0.0.1"\nport = {broker.port}\nca_file = "{identity.ca}"\n'
        f'certificate_file = "{identity.certificate}"\nkey_file = "{identity.key}"\n'
        f'[model]\nruntime = "{runtime}"\n[bench]\nclock_speed = {speed}\n'
        + "".join(
            f'[[sensor]]\nname = "{name}"\nkind = "{kind}"\nport = "{folder / name}"\nevery_s = {every_s}\n'
            for name, kind in SENSORS
        )
    )
    WatchFile(home / "data" / "watching.json").save(_past(int(time.time() * 1000)))
    server = AckingServer.on(broker).start()
    agent = subprocess.Popen(
        [sys.executable, "-m", "edge_agent.cli", "run", "--config", str(config)], stderr=subprocess.DEVNULL
    )
    try:
        server.wait_samples(3 * len(SENSORS), 30)
        time.sleep(SETTLE_S)
        before = len(server.samples())
        use = measure(agent.pid, seconds)
        delivered = len(server.samples()) - before
        assert delivered > 0.7 * seconds * len(SENSORS), f"only {delivered} samples came: not a fair measure"
        return use, json.loads((home / "data" / "status.json").read_text())
    finally:
        agent.terminate()
        agent.wait(20)
        server.stop()


def _past(now_ms: int) -> tuple[Kept, ...]:
    """An ordinary afternoon of the three units, up to now."""
    now_ms -= now_ms % MINUTE_MS
    kept = []
    for seed, (name, text) in enumerate(SENSORS):
        kind = SensorKind(text)
        serial = default_serial(kind, seed) if SPECS[kind].reports_serial else ""
        context, minutes = Context(), []
        for ago in range(PAST_MINUTES, 0, -1):
            time_ms, mass = now_ms - ago * MINUTE_MS, 11.0 + (ago * 7 % 5) * 0.3
            context = observe(context, time_ms, mass)
            minutes.append(Minute(time_ms, mass, 1.6 * mass, 0.7 * mass))
        kept.append(Kept(UnitIdentity(text, serial, name), tuple(minutes[-60:]), context))
    return tuple(kept)


def _measure_program(program: str, arguments: list[str], seconds: float) -> Use:
    process = subprocess.Popen([sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "ready"
        return measure(process.pid, seconds)
    finally:
        process.kill()
        process.wait(10)


def figures(quick: bool = False) -> list[Figure]:
    """Of each way to decide: memory, processor, and how soon a window is judged."""
    agents, bare, reader = run(5.0 if quick else 30.0)
    found = []
    for agent in agents:
        bars, name = BARS[agent.runtime], f"agent, {agent.runtime}"
        found.append(at_most(f"{name}: memory (PSS)", agent.pss_mb, "MB", bars.pss_mb))
        floor = bare.pss_mb
        found.append(at_least_of_floor(f"{name}: beside its imports", agent.pss_mb, "MB", floor, None))
        cpu = agent.steady.cpu_percent
        found.append(at_most(f"{name}: processor", cpu, "% of a core", bars.cpu_percent))
        floor = max(reader.cpu_percent, 0.01)
        found.append(at_least_of_floor(f"{name}: beside reading alone", cpu, "% of a core", floor, None))
        if bars.verdict_ms is not None:
            found.append(at_most(f"{name}: verdict (p99)", agent.verdict_ms_p99, "ms", bars.verdict_ms))
    return found


def main(arguments: list[str] | None = None) -> int:
    """Print the figures; exit status 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description="Memory and CPU of one agent alone.")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seconds", type=float, default=30.0)
    args = parser.parse_args([] if arguments is None else arguments)
    agents, bare, reader = run(args.seconds)
    kept = all(agent.kept for agent in agents)
    if args.json:
        told = {agent.runtime: {**asdict(agent), "kept": agent.kept} for agent in agents}
        print(json.dumps({**told, "bare": asdict(bare), "reader": asdict(reader), "kept": kept}, indent=1))
        return 0 if kept else 1
    floor = max(reader.cpu_percent, 0.01)
    for agent in agents:
        bars = BARS[agent.runtime]
        print(
            f"{agent.runtime:<7} memory   {agent.pss_mb} MB PSS, {agent.steady.uss_mb} MB USS; the imports "
            f"alone {bare.pss_mb} MB PSS: {agent.pss_mb / bare.pss_mb:.2f} x (bar {bars.pss_mb:g} MB)"
        )
        print(
            f"        cpu      {agent.steady.cpu_percent} % of a core over {agent.steady.seconds:.0f} s; "
            f"reading the sensors alone {reader.cpu_percent} %: {agent.steady.cpu_percent / floor:.2f} x "
            f"(bar {bars.cpu_percent:g} %)"
        )
        if bars.verdict_ms is not None:
            print(
                f"        verdict  {agent.verdict_ms_p99} ms p99 after its window, {agent.verdict_ms} median "
                f"of {agent.judged} (bar {bars.verdict_ms:g} ms)"
            )
            print(
                f"        work     {agent.work_ms_p99} ms p99 of a core for it; the runtime's bare call "
                f"{agent.invoke_ms[1]} ms p99: {agent.work_ms_p99 / max(agent.invoke_ms[1], 0.001):.0f} x"
            )
    print(f"load of this machine at the end: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print("within all bars" if kept else "OVER A BAR")
    return 0 if kept else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
