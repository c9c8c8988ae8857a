"""The street's clock: real until a file says otherwise, then scaled."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from fleet_server.clock import StreetClock


def test_real_time_without_a_file() -> None:
    clock = StreetClock(wall_ms=lambda: 1_700_000_000_123.7)
    assert clock.now_ms() == 1_700_000_000_123
    assert clock.now() == datetime(2023, 11, 14, 22, 13, 20, 123000, UTC)
    assert clock.speed == 1.0


def test_follows_a_file_that_comes_later_and_changes(tmp_path: Path) -> None:
    file = tmp_path / "clock.json"
    wall = [10_000.0]
    clock = StreetClock(file, wall_ms=lambda: wall[0])
    assert clock.now_ms() == 10_000
    file.write_text(json.dumps({"speed": 60, "street_zero_ms": 1_000_000, "wall_zero_ms": 10_000}))
    assert clock.now_ms() == 1_000_000
    wall[0] = 11_000
    assert clock.now_ms() == 1_060_000
    assert clock.speed == 60
    draft = tmp_path / "clock.part"
    draft.write_text(json.dumps({"speed": 1, "street_zero_ms": 5, "wall_zero_ms": 11_000}))
    draft.replace(file)
    assert clock.now_ms() == 5


def test_a_file_cut_short_leaves_the_clock_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "clock.json"
    file.write_text('{"speed": 60, "street_')
    assert StreetClock(file, wall_ms=lambda: 7.0).now_ms() == 7
    file.write_text("[]")
    assert StreetClock(file, wall_ms=lambda: 7.0).now_ms() == 7


def test_a_clock_that_runs_two_days_in_minutes_and_then_slower(tmp_path: Path) -> None:
    file = tmp_path / "clock.json"
    slower = {"speed": 60, "street_zero_ms": 2_000_000, "wall_zero_ms": 2_000}
    file.write_text(json.dumps({"speed": 1000, "street_zero_ms": 0, "wall_zero_ms": 0, "then": slower}))
    wall = [1_999.0]
    clock = StreetClock(file, wall_ms=lambda: wall[0])
    assert (clock.now_ms(), clock.speed) == (1_999_000, 1000)
    wall[0] = 2_100
    assert (clock.now_ms(), clock.speed) == (2_006_000, 60)
