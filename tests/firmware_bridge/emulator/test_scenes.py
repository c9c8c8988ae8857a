"""The air that the emulated sensors measure: believable, smooth, reproducible; recordings as recorded."""

from __future__ import annotations

import csv
import math
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from statistics import mean

import pytest

from firmware_bridge.emulator.air import Air, BadPlan
from firmware_bridge.emulator.instrument import Instrument
from firmware_bridge.emulator.replay import HOUR_MS, replay_scene
from firmware_bridge.emulator.synthetic import SyntheticScene
from firmware_bridge.kinds import SPECS, SensorKind
from tests.support.shared import need_shared

MONDAY_MS = 1_759_708_800_000  # 2025-10-06T00:00:00Z
DAY_MS = 24 * HOUR_MS


def days(scene: SyntheticScene, count: int, step_ms: int = 600_000) -> list[Air]:
    return [scene.at(MONDAY_MS + n * step_ms) for n in range(count * DAY_MS // step_ms)]


def test_masses_are_ordered_and_positive() -> None:
    for air in days(SyntheticScene(4, (1.0, 2.0)), 14):
        assert 0 < air.pm1 <= air.pm2_5 <= air.pm4 <= air.pm10 < 400
        assert 400 < air.co2 < 900
        assert -25 < air.temperature < 45
        assert 0 <= air.humidity <= 100


def test_the_same_instant_gives_the_same_air_in_any_order() -> None:
    one, other = SyntheticScene(4, (1.0, 2.0)), SyntheticScene(4, (1.0, 2.0))
    instants = [MONDAY_MS + n * 61_000 for n in range(100)]
    assert [one.at(t) for t in instants] == [other.at(t) for t in reversed(instants)][::-1]


def test_posts_differ_and_share_the_weather() -> None:
    here, there = days(SyntheticScene(4, (0.0, 0.0)), 7), days(SyntheticScene(4, (3.0, 1.0)), 7)
    assert [air.temperature for air in here] == [air.temperature for air in there]
    difference = mean(abs(a.pm2_5 - b.pm2_5) for a, b in zip(here, there, strict=True))
    assert 0.1 < difference < 10
    assert days(SyntheticScene(5, (0.0, 0.0)), 1) != days(SyntheticScene(4, (0.0, 0.0)), 1)


def test_it_is_smooth_from_minute_to_minute() -> None:
    scene = SyntheticScene(4, (1.0, 2.0))
    minutes = [scene.at(MONDAY_MS + n * 60_000).pm2_5 for n in range(1440)]
    steps = [abs(b - a) / a for a, b in pairwise(minutes)]
    assert max(steps) < 0.06
    assert scene.at(MONDAY_MS + 1).pm2_5 == pytest.approx(scene.at(MONDAY_MS).pm2_5, rel=1e-4)


def test_a_working_day_has_traffic() -> None:
    scenes = [SyntheticScene(seed, (1.0, 2.0), utc_offset_h=0) for seed in range(8)]

    def coarse(hour: float, day: int) -> float:
        airs = [s.at(MONDAY_MS + day * DAY_MS + int(hour * HOUR_MS)) for s in scenes]
        return mean(air.pm10 - air.pm2_5 for air in airs)

    assert coarse(8, day=0) > 1.5 * coarse(3, day=0)
    assert coarse(17.8, day=1) > 1.5 * coarse(3, day=1)
    assert coarse(8, day=0) > 1.5 * coarse(8, day=5)  # Saturday morning


def test_an_instrument_is_reproducible_noisy_and_consistent() -> None:
    air = SyntheticScene(1, (0.0, 0.0)).at(MONDAY_MS)
    for kind in SensorKind:
        one, other = Instrument(kind, 1), Instrument(kind, 1)
        rows = [one.measure(air) for _ in range(200)]
        assert rows == [other.measure(air) for _ in range(200)]
        assert rows != [Instrument(kind, 2).measure(air) for _ in range(200)]
        assert all(len(row) == len(SPECS[kind].channels) for row in rows)
        names = [channel.name for channel in SPECS[kind].channels]
        for row in rows:
            values = dict(zip(names, row, strict=True))
            masses = [values[n] for n in ("pm1", "pm2_5", "pm4", "pm10") if n in values]
            assert masses == sorted(masses)
            counts = [v for n, v in values.items() if n.startswith("n")]
            assert counts == sorted(counts, reverse=kind is not SensorKind.SPS30)


def test_the_noise_is_two_percent_and_a_step() -> None:
    air = Air(10, 20, 25, 30, 500, 20, 50)
    instrument = Instrument(SensorKind.MHZ19B, 5)
    co2 = [instrument.measure(air)[0] for _ in range(4000)]
    sigma = math.sqrt(mean((v - mean(co2)) ** 2 for v in co2))
    assert sigma == pytest.approx(0.02 * 500 + 1, rel=0.1)


def write_csv(path: Path, header: str, *rows: str) -> str:
    path.write_text("\n".join([header, *rows]) + "\n")
    return str(path)


def hourly(values: list[str], station: str = "A") -> list[str]:
    start = datetime(2024, 1, 1)
    return [f"{start + timedelta(hours=n)},{station},{value}" for n, value in enumerate(values)]


def test_a_csv_recording_is_interpolated_bridged_and_held(tmp_path: Path) -> None:
    gap_of_eight = ["", "NaN", "-9999", "-1", "", "", "", ""]
    rows = hourly(["10", "20", "", "40", *gap_of_eight, "100"])
    scene = replay_scene(write_csv(tmp_path / "r.csv", "time,station,PM2.5", *rows), None, 5000, None)

    def at(hours: float) -> float:
        return scene.at(5000 + int(hours * HOUR_MS)).pm2_5

    assert [at(0), at(0.5), at(1), at(2), at(3)] == [10, 15, 20, 30, 40]
    assert [at(6), at(11.9), at(12)] == [40, 40, 100]
    assert at(13) == at(0)  # from the beginning again
    assert scene.at(5000).pm10 == pytest.approx(16)


def test_a_recording_without_history_begins_when_first_asked(tmp_path: Path) -> None:
    file = write_csv(tmp_path / "r.csv", "time,station,pm2_5", *hourly(["1", "2", "3"]))
    scene = replay_scene(file, None, None, None)
    assert [scene.at(10**12).pm2_5, scene.at(10**12 + HOUR_MS).pm2_5] == [1, 2]


def test_an_offset_begins_later(tmp_path: Path) -> None:
    file = write_csv(tmp_path / "r.csv", "time,station,pm2_5", *hourly(["1", "2", "3"]))
    assert replay_scene(file, "A", 0, 1.5).at(0).pm2_5 == 2.5
    assert replay_scene(file, "A", 0, "2024-01-01T02:00").at(0).pm2_5 == 3


@pytest.mark.parametrize(
    ("header", "rows", "station", "offset", "says"),
    [
        (
            "time,station,pm2_5",
            ["2024-01-01,A,1", "2024-01-02,B,2"],
            None,
            None,
            "say which station; it has: A, B",
        ),
        ("time,station,pm2_5", ["2024-01-01,A,1"], "Dongsi", None, "there is no station 'Dongsi'; it has: A"),
        ("time,pm2_5", ["2024-01-01,1"], "A", None, "has no station column"),
        (
            "time,ozone",
            ["2024-01-01,1"],
            None,
            None,
            "no column PM25 or PM2.5 or pm2_5 (it has: time, ozone)",
        ),
        ("when,pm2_5", ["2024-01-01,1"], None, None, "no column time or datetime"),
        ("time,pm2_5", ["yesterday,1", "2024-01-01,2"], None, None, "row 1: 'yesterday' is no time"),
        ("time,pm2_5", ["2024-01-01,1", "2024-01-02,many"], None, None, "row 2: 'many' is no number"),
        ("time,pm2_5", ["2024-01-01,1"], None, None, "1 rows; a recording needs two"),
        ("time,pm2_5", ["2024-01-01,-1", "2024-01-02,NaN"], None, None, "holds no value"),
        ("time,pm2_5", ["2024-01-01,1", "2024-01-02,2"], None, 99.0, "outside the recording"),
        ("time,pm2_5", ["2024-01-01,1", "2024-01-02,2"], None, "soon", "neither hours nor a time"),
    ],
)
def test_a_bad_recording_is_one_clear_line(
    header: str, rows: list[str], station: str | None, offset: str | float | None, says: str, tmp_path: Path
) -> None:
    file = write_csv(tmp_path / "bad.csv", header, *rows)
    with pytest.raises(BadPlan) as bad:
        replay_scene(file, station, 0, offset)
    assert says in str(bad.value)
    assert str(bad.value).startswith(file)
    assert "\n" not in str(bad.value)


def test_an_absent_or_broken_file(tmp_path: Path) -> None:
    with pytest.raises(BadPlan, match="there is no such recording"):
        replay_scene(str(tmp_path / "none.csv"), None, 0, None)
    (tmp_path / "x.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(BadPlan, match="is no readable parquet file"):
        replay_scene(str(tmp_path / "x.parquet"), None, 0, None)
    (tmp_path / "x.csv").write_bytes(b"time,pm25\n\xff\xfe,1\n")
    with pytest.raises(BadPlan, match="is no readable CSV file"):
        replay_scene(str(tmp_path / "x.csv"), None, 0, None)


def test_a_real_recording(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    file = str(need_shared("beijing/hourly.parquet"))
    with pytest.raises(BadPlan, match="'Nowhere'; it has: Aotizhongxin, Changping, Dingling, Dongsi"):
        replay_scene(file, "Nowhere", 0, None)
    scene = replay_scene(file, "Aotizhongxin", 0, None)
    first, second = scene.at(0), scene.at(HOUR_MS)
    assert (first.pm2_5, first.pm10, second.pm2_5) == (4, 4, 8)
    assert first.temperature == pytest.approx(-0.7)
    assert 20 < first.humidity < 30  # from -0.7 and a dew point of -18.8
    later = replay_scene(file, "Aotizhongxin", 0, "2014-02-20T00:00")
    assert max(later.at(n * HOUR_MS).pm2_5 for n in range(120)) > 200
    as_csv = tmp_path / "beijing.csv"
    with as_csv.open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["datetime", "station", "PM25", "PM10"])
        writer.writerows([f"2013-03-01 {h:02}:00:00", "Aotizhongxin", h, h] for h in range(24))
    assert replay_scene(str(as_csv), "Aotizhongxin", 0, None).at(5 * HOUR_MS).pm2_5 == 5


def test_parquet_without_pyarrow_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    (tmp_path / "y.parquet").write_bytes(b"PAR1")
    with pytest.raises(BadPlan, match="pip install pyarrow"):
        replay_scene(str(tmp_path / "y.parquet"), None, 0, None)
