"""Plumes on the wind, and faults between two instants: what the emulated sensors show of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from air_quality.humidity import growth_factor
from firmware_bridge.codecs import codec
from firmware_bridge.emulator.air import Air
from firmware_bridge.emulator.events import EventfulScene, Plume, Side
from firmware_bridge.emulator.plan import build_units
from firmware_bridge.emulator.street_faults import StreetFault, StreetFaults, StreetFaultType
from firmware_bridge.kinds import SPECS, SensorKind

MINUTE_MS = 60_000
CLEAN = Air(pm1=6, pm2_5=10, pm4=11, pm10=14, co2=420, temperature=12, humidity=60)
PLUME = Plume(3_600_000, wind_m_s=2.0, width_km=0.1, peak=120, rise_s=240, duration_s=1800)


class Still:
    """The same air at each instant."""

    def at(self, street_ms: int) -> Air:
        return CLEAN


def minutes(plume: Plume, position: tuple[float, float], count: int = 180) -> list[float]:
    scene = EventfulScene(Still(), position, [plume])
    return [scene.at(n * MINUTE_MS).pm2_5 - CLEAN.pm2_5 for n in range(count)]


def first(values: Sequence[float]) -> int:
    return next(n for n, value in enumerate(values) if value > 0)


@pytest.mark.parametrize(
    ("side", "east", "north"),
    [(Side.WEST, 0.6, 0.0), (Side.EAST, -0.6, 0.0), (Side.SOUTH, 0.0, 0.6), (Side.NORTH, 0.0, -0.6)],
)
def test_it_comes_with_the_wind_and_passes_beside(side: Side, east: float, north: float) -> None:
    plume = replace(PLUME, side=side)
    here, there = minutes(plume, (0.0, 0.0)), minutes(plume, (east, north))
    assert first(here) == 61  # the front at 60, and something of it a minute later
    assert first(there) == 66  # 600 m at 2 m/s
    assert max(here) == max(there) == pytest.approx(120)
    assert max(minutes(plume, (abs(north), abs(east)))) < 1e-3  # beside its axis
    assert sum(value > 0 for value in here) == 29
    assert here[60] == here[90] == 0.0


@given(st.integers(3_600_000 - 5 * MINUTE_MS, 3_600_000 + 40 * MINUTE_MS))
def test_it_is_smooth_and_the_same_at_each_instant(street_ms: int) -> None:
    scene = EventfulScene(Still(), (0.1, 0.05), [PLUME])
    now, later = scene.at(street_ms), scene.at(street_ms + 1000)
    assert abs(later.pm2_5 - now.pm2_5) < PLUME.peak / PLUME.rise_s * 2
    assert scene.at(street_ms) == now
    assert 0 < now.pm1 <= now.pm2_5 <= now.pm4 <= now.pm10


def test_its_composition_is_that_of_smoke() -> None:
    air = EventfulScene(Still(), (0.0, 0.0), [PLUME]).at(PLUME.starts_ms + 15 * MINUTE_MS)
    assert air.pm2_5 == pytest.approx(130)
    assert air.pm1 == pytest.approx(6 + 0.8 * 120)
    assert air.pm10 == pytest.approx(14 + 1.15 * 120)
    assert (air.co2, air.temperature, air.humidity) == (CLEAN.co2, CLEAN.temperature, CLEAN.humidity)


def fault(kind: StreetFaultType, **changes: Any) -> StreetFault:
    return StreetFault(kind, 10 * MINUTE_MS, 70 * MINUTE_MS, **changes)


def test_a_swell_is_humid_and_grows_by_the_water() -> None:
    faults = StreetFaults([fault(StreetFaultType.SWELL, humidity=98)])
    airs = [faults.seen(CLEAN, n * MINUTE_MS) for n in range(80)]
    assert airs[10] == airs[70] == CLEAN
    assert airs[40].humidity == 98
    grown = growth_factor(98) / growth_factor(60)
    assert airs[40].pm2_5 == pytest.approx(CLEAN.pm2_5 * grown)
    assert grown > 3
    assert max(b.pm2_5 - a.pm2_5 for a, b in pairwise(airs)) < 15
    humid = replace(CLEAN, humidity=99)
    assert faults.seen(humid, 40 * MINUTE_MS) == humid, "fog does not dry the air"


def test_a_drift_creeps_and_a_spike_is_one_measurement() -> None:
    drift = StreetFaults([fault(StreetFaultType.DRIFT, per_hour=0.5)])
    assert drift.seen(CLEAN, 40 * MINUTE_MS).pm2_5 == pytest.approx(12.5)
    spikes = StreetFaults([fault(StreetFaultType.SPIKE, factor=8, every_s=600)])
    seen = [spikes.seen(CLEAN, n * MINUTE_MS).pm2_5 for n in range(80)]
    assert [n for n, value in enumerate(seen) if value > 10] == [10, 20, 30, 40, 50, 60]
    assert max(seen) == 80


def test_a_unit_of_a_plan_shows_them(tmp_path: Path) -> None:
    """One reading a street minute: stuck from the tenth to the twentieth, the plume from the thirtieth on."""
    clock, ledger = tmp_path / "clock.json", tmp_path / "ledger.jsonl"
    clock.write_text(json.dumps({"speed": 60, "street_zero_ms": 0, "wall_zero_ms": 0}))
    unit = {
        "kind": "pms5003t",
        "clock_file": str(clock),
        "ledger": str(ledger),
        "streaming": False,
        "position": [0.4, 0.0],
        "faults": [
            {"type": "stuck", "from_ms": 10 * MINUTE_MS, "until_ms": 20 * MINUTE_MS},
            {"type": "swell", "from_ms": 60 * MINUTE_MS, "until_ms": 100 * MINUTE_MS},
        ],
    }
    plume = {"type": "plume", "starts_ms": 30 * MINUTE_MS, "at": [0.4, 0.0], "peak": 150, "duration_s": 1200}
    emulated, _link = build_units({"units": [unit], "events": [plume]})["unit0"]
    for n in range(90):
        emulated.receive(codec(SensorKind.PMS5003T).dialogue.ask, n * 1000.0)
    rows = [json.loads(line)["values"] for line in ledger.read_text().splitlines()]
    assert len(rows) == 90
    same = [n for n in range(1, 90) if rows[n] == rows[n - 1]]
    assert [n for n in same if n < 30] == list(range(10, 20))
    names = [channel.name for channel in SPECS[SensorKind.PMS5003T].channels]
    fine, humidity = names.index("pm2_5"), names.index("humidity")
    assert rows[40][fine] > rows[29][fine] + 100
    assert rows[80][humidity] > 940 > rows[55][humidity]
    assert rows[80][fine] > 1.3 * rows[55][fine]
