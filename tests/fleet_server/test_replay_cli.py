"""`lamppost replay`: streams, candidates, recomputation, and the ways to be mistaken."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from fleet_server import replay_cli
from fleet_server.air.upkeep import follow
from fleet_server.telemetry.upkeep.rollups import roll_up
from models.features.manifest import shipped_directory
from tests.fleet_server.telemetry.support import MINUTE_MS, NOW, NOW_MS, Desk, Post
from tests.support.postgres import with_database
from wire_contract.classes import Class
from wire_contract.messages import SampleBatch, SampleBlock, SensorDeclaration, SlotDeclaration

DAY_MINUTES = 8 * 60  # a window's background needs half an hour at least
PLUME = range(DAY_MINUTES - 90, DAY_MINUTES - 45)
SLOTS = (SlotDeclaration("pm2_5", "ug/m3", -1), SlotDeclaration("pm10", "ug/m3", -1))
GOOD = 0x11


@dataclass
class City:
    url: str
    config: Path

    def run(self, *arguments: str) -> int:
        return replay_cli.main([*arguments, "--config", str(self.config)])

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "lamppost", "replay", *arguments, "--config", str(self.config)]


def pm2_5(minute: int) -> int:
    """Tenths of ug/m3: a street's own noise, and an hour's plume."""
    return (900 if minute in PLUME else 100) + (minute * 37) % 23


def at(minute: int) -> datetime:
    return NOW + timedelta(minutes=minute - DAY_MINUTES)


def hm(minute: int) -> str:
    return at(minute).strftime("%Y-%m-%dT%H:%M")


@pytest.fixture(scope="module")
def city(
    postgres_server: str, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[City]:
    name = f"lamppost_street_{os.getpid()}"
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template_database}"')
    url = with_database(postgres_server, name)
    desk, post = Desk(url), Post("lamp-01")
    desk.register(post)
    desk.take(post.publish(Class.REPLY, SensorDeclaration(1, "sds011", "A1", "", SLOTS, NOW_MS)))
    for start in range(0, DAY_MINUTES, 160):
        minutes = range(start, start + 160)
        times = [NOW_MS - (DAY_MINUTES - minute) * MINUTE_MS + 5_000 for minute in minutes]
        columns = ([pm2_5(m) for m in minutes], [int(pm2_5(m) * 1.4) for m in minutes])
        block = SampleBlock(1, (0, 1), times, columns, [GOOD] * len(times))
        desk.take(post.publish(Class.LIVE, SampleBatch((block,))))
    while roll_up(desk.connection):
        pass
    while follow(desk.connection, NOW):
        pass
    desk.close()
    folder = tmp_path_factory.mktemp("city")
    config = folder / "server.toml"
    config.write_text(f'data_dir = "{folder}/data"\n[tenant]\nname = "city"\n[database]\nurl = "{url}"\n')
    yield City(url, config)
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def test_a_stretch_goes_to_the_output_and_what_came_of_it_to_the_errors(
    city: City, capsys: pytest.CaptureFixture[str]
) -> None:
    assert city.run("--from", hm(0), "--to", hm(60), "--device", "lamp-01") == 0
    told = capsys.readouterr()
    lines = [json.loads(line) for line in told.out.splitlines()]
    assert [line["type"] for line in lines] == ["declaration", *["sample"] * 60]
    assert lines[1]["values"]["pm2_5"] == pm2_5(0) / 10
    assert told.err.startswith("60 samples of 1 sensor units on 1 lampposts")
    assert city.run("--from", "2020-01-01", "--to", "2020-01-02", "--json") == 0
    told = capsys.readouterr()
    assert told.out == ""
    assert json.loads(told.err)["samples"] == 0
    assert city.run("--from", "2020-01-01", "--to", "2020-01-02") == 0
    assert "nothing was measured" in capsys.readouterr().err


DAY = ["--from", "2026-11-19", "--to", "2026-11-20"]
REFUSED = {
    "no such day": (["--from", "2026-02-30", "--to", "2026-03-01"], 2, "no time such as"),
    "backwards": (["--from", "2026-11-20", "--to", "2026-11-19"], 1, "is not before"),
    "of no length": (["--from", "2026-11-20", "--to", "2026-11-20"], 1, "is not before"),
    "nobody": ([*DAY, "--device", "lamp-99"], 1, "no lamppost city/lamp-99"),
    "no name": ([*DAY, "--device", "a/b/c d"], 1, "are allowed"),
    "no speed": ([*DAY, "--speed", "nan"], 2, "neither max nor"),
    "standing": ([*DAY, "--speed", "0"], 2, "neither max nor"),
    "no flush": ([*DAY, "--flush", "-1"], 2, "seconds from 1 to 60"),
    "a flush without batches": ([*DAY, "--flush", "5"], 2, "--format wire only"),
    "no format": ([*DAY, "--format", "xml"], 2, "invalid choice"),
    "half": (DAY[:2], 2, "--to"),
    "calibrated wire": ([*DAY, "--format", "wire", "--calibrated"], 2, "calibrated"),
    "two things": ([*DAY, "--recompute", "--into", "rule"], 2, "--recompute"),
    "no model": ([*DAY, "--into", "/nowhere"], 2, "is not there"),
}


def status_of(city: City, arguments: list[str]) -> object:
    try:
        return city.run(*arguments)
    except SystemExit as ended:  # argparse's own way
        return ended.code


@pytest.mark.parametrize("case", REFUSED)
def test_a_mistake_is_one_line_that_says_what_is_wrong(
    city: City, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    arguments, status, words = REFUSED[case]
    assert status_of(city, arguments) == status
    told = capsys.readouterr().err
    assert words in told
    assert "Traceback" not in told


def test_a_reader_that_has_enough_is_no_error(city: City) -> None:
    running = subprocess.Popen(
        city.command("--from", hm(0), "--to", hm(DAY_MINUTES)), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert running.stdout is not None
    assert running.stderr is not None
    running.stdout.readline()
    running.stdout.close()
    told = running.stderr.read().decode()
    assert running.wait() == 0, told
    assert "Traceback" not in told
    assert told.startswith("stopped ")


def test_an_output_that_is_full_is_one_line(city: City) -> None:
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            city.command("--from", hm(0), "--to", hm(DAY_MINUTES)),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert ended.returncode == 1
    assert ended.stderr == "lamppost replay: the output cannot be written: No space left on device.\n"


def test_ctrl_c_ends_a_slow_replay_with_what_came_of_it(city: City) -> None:
    running = subprocess.Popen(
        city.command("--from", hm(0), "--to", hm(DAY_MINUTES), "--speed", "1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert running.stdout is not None
    assert [json.loads(running.stdout.readline())["type"] for _ in range(2)] == ["declaration", "sample"]
    running.send_signal(signal.SIGINT)
    _, told = running.communicate(timeout=30)
    assert running.returncode == 130, told
    assert told.startswith("stopped after 1 samples")


def _say(city: City, kind: str, minute: int, unit: str = "(SELECT min(id) FROM sensor_unit)") -> None:
    with psycopg.connect(city.url) as connection:
        connection.execute(
            "INSERT INTO verdict (device_id, sensor_unit, time, kind, score, confidence, reason, model,"
            f" input_hash, received_at) SELECT min(id), {unit}, %s, %s, 0.9, 0.9, 'said', 'old@1', '', %s"
            " FROM device",
            (at(minute), kind, at(minute)),
        )


@pytest.mark.parametrize("candidate", ["rule", "model"])
def test_a_candidate_is_held_against_what_was_said(
    city: City, capsys: pytest.CaptureFixture[str], candidate: str
) -> None:
    with psycopg.connect(city.url) as connection:
        connection.execute("DELETE FROM verdict")
    for kind, minute in (
        ("episode", PLUME.start + 20),
        ("episode", PLUME.start + 30),
        ("episode_over", PLUME.stop),
    ):
        _say(city, kind, minute)
    _say(city, "episode", PLUME.start - 70)  # of which nothing is in the air
    _say(city, "episode_over", PLUME.start - 65)
    into = "rule" if candidate == "rule" else str(shipped_directory())
    arguments = ("--from", hm(PLUME.start - 80), "--to", hm(DAY_MINUTES), "--into", into)
    if candidate == "rule":
        assert city.run(*arguments) == 0
        summary = capsys.readouterr().err
        assert "rule@1 against what was said then: 1 the same, in the middle" in summary
        assert "0 new; 1 missing\n  missing  city/lamp-01 unit " in summary
        return
    assert city.run(*arguments, "--json") == 0
    told = capsys.readouterr()
    found = json.loads(told.err)
    verdicts = [json.loads(line) for line in told.out.splitlines()]
    assert verdicts[0]["kind"] == "episode"
    assert verdicts[-1]["kind"] == "episode_over"
    assert found["candidate"].startswith("air_anomaly@")
    assert [len(found[what]) for what in ("same", "missing", "new")] == [1, 1, 0]
    assert -20 * 60 <= found["median_delay_s"] <= -10 * 60, "it says so within ten minutes of the plume"


def test_the_air_of_a_stretch_is_computed_anew(city: City, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("--from", hm(0), "--to", hm(6 * 60), "--recompute")
    assert city.run(*arguments, "--json") == 0
    assert json.loads(capsys.readouterr().err)["recomputed"] == {
        "marked": 6, "hours_changed": 0, "indices_changed": 0,
    }  # fmt: skip
    with psycopg.connect(city.url) as connection:  # past the service, which would mark it
        connection.execute(
            "INSERT INTO calibration (sensor_unit_id, channel, slope, offset_, humidity, valid_from, source,"
            " created_by, created_at) SELECT min(id), 'pm2_5', 2, 0, 0, %s, '', 'test', %s FROM sensor_unit",
            (at(3 * 60), NOW.astimezone(UTC)),
        )
    assert city.run(*arguments, "--json") == 0
    again = json.loads(capsys.readouterr().err)["recomputed"]
    assert (again["marked"], again["hours_changed"]) == (6, 3)
    assert again["indices_changed"] >= 3
    assert city.run("--from", hm(0), "--to", hm(DAY_MINUTES), "--recompute", "--device", "lamp-01") == 0
    assert "have other means" in capsys.readouterr().err
