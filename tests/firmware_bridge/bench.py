"""Emulated units on real pseudo-terminals, for the length of a test."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from firmware_bridge.emulator.host import EmulatorHost
from firmware_bridge.emulator.plan import build_units
from firmware_bridge.kinds import SensorKind
from firmware_bridge.serial_sensor import SerialSensor

HISTORY = {"start_ms": 1_760_000_000_000, "step_s": 60, "count": 100_000}
TIMEOUT_S = 30.0  # a deadline that a loaded machine keeps; nothing waits for it when all is well


@dataclass
class Bench:
    """A running host; `folder` holds the links and ledgers, named after the units."""

    host: EmulatorHost
    folder: Path

    def port(self, name: str) -> str:
        return str(self.folder / name)

    def sensor(self, kind: SensorKind, name: str | None = None) -> SerialSensor:
        """The real adapter, opened on this unit."""
        sensor = SerialSensor(kind, self.port(name or kind))
        sensor.open()
        return sensor

    def ledger(self, name: str) -> list[dict[str, Any]]:
        path = self.folder / f"{name}.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()]


@contextmanager
def bench(folder: Path, *units: Mapping[str, Any], **plan: Any) -> Iterator[Bench]:
    """Units of a plan; link and ledger are added. Without `history` they live on the wall's clock."""
    described = []
    for unit in units:
        name = unit.get("name", unit["kind"])
        paths = {"link": str(folder / name), "ledger": str(folder / f"{name}.jsonl")}
        described.append({"name": str(name), **paths, **unit})
    host = EmulatorHost(build_units({**plan, "units": described}))
    host.start()
    thread = threading.Thread(target=host.run, name="emulator", daemon=True)
    thread.start()
    try:
        yield Bench(host, folder)
    finally:
        host.stop()
        thread.join(TIMEOUT_S)
        assert not thread.is_alive()
