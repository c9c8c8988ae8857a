"""The figures of a run, each from a measurement of this run; nothing here is a constant."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path


@dataclass(frozen=True)
class Report:
    """What `--report` writes. Counts are samples (one sensor unit at one instant), not readings.

    `spooled` is the agents' own count, `stored` the database's; `lost` and `duplicated` hold the rows against
    the ledger that the emulated sensors wrote. Latency: frame on the serial line to row committed, wall
    clock, live class. `bytes_per_reading`: one-minute batches of an agent with three sensors at 1 Hz, payload
    and MQTT user properties; `city_bytes_per_reading` the same over the whole run. `skipped`: readings that
    were due and never happened, by the gaps in that ledger. `history_speed`: of history that was lived. From
    `incidents` on: see `demo/outcome.py`. None: not measured.
    """

    enrolled: int
    spooled: int
    stored: int
    lost: int
    duplicated: int
    history_stored: int
    history_expected: int
    skipped: int
    latency_p50_ms: float | None
    latency_p99_ms: float | None
    live_samples: int
    agent_pss_mb: float | None
    agent_uss_mb: float | None
    bytes_per_reading: float | None
    city_bytes_per_reading: float | None
    shed: int
    unspooled: int
    dead_letters: int
    ran_for_s: float
    speed: float
    history_speed: float | None
    seed: int
    incidents: int | None = None
    episode_detect_s: float | None = None
    episode_incidents: int | None = None
    episode_posts: int | None = None
    crossed_posts: int | None = None
    stray_posts: int | None = None
    false_incidents: int | None = None
    faults_planted: int | None = None
    faults_found: int | None = None
    false_faults: int | None = None
    machine: str = field(
        default_factory=lambda: f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}"
    )
    at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    @property
    def kept_its_promise(self) -> bool:
        """Nothing spooled was lost, nothing stored twice."""
        return self.lost == 0 and self.duplicated == 0

    def write(self, path: Path) -> None:
        """As JSON, whole or not at all."""
        draft = path.with_name(path.name + ".part")
        draft.write_text(json.dumps(asdict(self), indent=2) + "\n")
        draft.replace(path)
