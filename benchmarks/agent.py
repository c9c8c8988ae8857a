"""One agent alone, without a model: memory and CPU with three emulated sensors sampled once a second.

The agent is the real process, delivering to a real Mosquitto over mutual TLS whose messages a small server
acknowledges. Bars: 40 MB PSS, 1 % of a core. Memory is smaps_rollup's PSS and USS; CPU is utime + stime of
/proc/PID/stat over the measured time, starting after the agent has settled.

Floors, measured in the same run: memory of a bare process with the agent's imports; CPU of a bare process
that reads the same three sensors once a second and does nothing with it.

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

from tests.support.acking_server import AckingServer
from tests.support.mosquitto import MosquittoBroker
from tests.support.waiting import wait_until
from wire_contract.topics import Address

SENSORS = (("front", "pms5003"), ("back", "sds011"), ("top", "sps30"))
SETTLE_S = 5.0  # imports, first connection, first declarations
PSS_BAR_MB, CPU_BAR_PERCENT = 40.0, 1.0

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


def run(seconds: float) -> tuple[Use, Use, Use]:
    """(agent, bare imports, bare reader)."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "broker").mkdir()
        broker = MosquittoBroker(folder / "broker")
        broker.start()
        server = AckingServer.on(broker).start()
        emulator = _start_sensors(folder)
        try:
            agent = _measure_agent(folder, broker, server, seconds)
            bare = _measure_program(BARE, [], 1.0)
            ports = [f"{kind}={folder / sensor}" for sensor, kind in SENSORS]
            reader = _measure_program(READER, ports, seconds)
        finally:
            emulator.terminate()
            emulator.wait(10)
            server.stop()
            broker.stop()
    return agent, bare, reader


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


def _measure_agent(folder: Path, broker: MosquittoBroker, server: AckingServer, seconds: float) -> Use:
    identity = broker.device_identity(Address("city", "post-1"))
    config = folder / "agent.toml"
    config.write_text(
        f'[device]\ntenant = "city"\nname = "post-1"\ndata_dir = "{folder}/data"\n'
        f'[server]\nhost = "127.0.0.1"\nport = {broker.port}\nca_file = "{identity.ca}"\n'
        f'certificate_file = "{identity.certificate}"\nkey_file = "{identity.key}"\n'
        + "".join(
            f'[[sensor]]\nname = "{name}"\nkind = "{kind}"\nport = "{folder / name}"\nevery_s = 1\n'
            for name, kind in SENSORS
        )
    )
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
        return use
    finally:
        agent.terminate()
        agent.wait(20)


def _measure_program(program: str, arguments: list[str], seconds: float) -> Use:
    process = subprocess.Popen([sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "ready"
        return measure(process.pid, seconds)
    finally:
        process.kill()
        process.wait(10)


def main(arguments: list[str] | None = None) -> int:
    """Print the figures; exit status 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description="Memory and CPU of one agent alone.")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seconds", type=float, default=30.0)
    args = parser.parse_args([] if arguments is None else arguments)
    agent, bare, reader = run(args.seconds)
    kept = agent.pss_mb <= PSS_BAR_MB and agent.cpu_percent <= CPU_BAR_PERCENT
    if args.json:
        figures = {"agent": asdict(agent), "bare": asdict(bare), "reader": asdict(reader), "kept": kept}
        print(json.dumps(figures, indent=1))
        return 0 if kept else 1
    print(
        f"memory   {agent.pss_mb} MB PSS, {agent.uss_mb} MB USS; the imports alone {bare.pss_mb} MB PSS: "
        f"{agent.pss_mb / bare.pss_mb:.2f} x (bar {PSS_BAR_MB:g} MB)"
    )
    floor = max(reader.cpu_percent, 0.01)
    print(
        f"cpu      {agent.cpu_percent} % of a core over {agent.seconds:.0f} s; reading the sensors alone "
        f"{reader.cpu_percent} %: {agent.cpu_percent / floor:.2f} x (bar {CPU_BAR_PERCENT:g} %)"
    )
    print("within both bars" if kept else "OVER A BAR")
    return 0 if kept else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
