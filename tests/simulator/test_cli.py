"""What the command line takes, and what it says to what it does not take."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from firmware_bridge.kinds import SensorKind
from simulator.cli import main, settings_from
from simulator.settings import Outage, WrongArgument, duration, processes_for


@pytest.fixture
def city(tmp_path: Path) -> list[str]:
    """The options that name a broker."""
    (tmp_path / "ca.pem").write_text("a certificate")
    return [
        "--broker",
        "127.0.0.1:18883",
        "--ca",
        str(tmp_path / "ca.pem"),
        "--directory",
        str(tmp_path / "sim"),
    ]


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--devices", "0"], "--devices 0: choose from 1 to 50000"),
        (["--devices", "50001"], "choose from 1 to 50000"),
        (["--every", "soon"], "--every 'soon' is not a duration"),
        (["--every", "0.5s"], "--every 0.5: choose from 1"),
        (["--flush", "2m"], "--flush 120: choose from 1 to 60"),
        (["--for=-5s"], "--for '-5s' is not a duration"),
        (["--drain", ""], "--drain '' is not a duration"),
        (["--speed", "0"], "--speed 0: choose from 0.1 to 3600"),
        (["--speed", "nan"], "--speed nan: choose from"),
        (["--ramp", "inf"], "--ramp inf: choose from"),
        (["--processes", "0"], "--processes 0: choose from 1 to 64"),
        (["--kinds", "toaster"], "--kinds 'toaster': choose from pms5003"),
        (["--kinds", "sds011,"], "--kinds ''"),
        (["--backlog", "99999d"], "--backlog"),
        (["--outage", "1m"], "write for example 2m+30s"),
        (["--outage", "1m+x"], "--outage 'x' is not a duration"),
        (["--source", "/no/such.parquet"], "there is no such recording"),
        (["--source", __file__], "give city, a .parquet or a .csv"),
        (["--station", "Dongsi"], "give it with --source"),
        (["--clock", "/no/such.json"], "give a demo's clock.json"),
        (["--prefix", "Sim Posts"], "--prefix 'Sim Posts'"),
        (["--prefix", "p" * 60], "--prefix"),
        (["--tenant", "a/b"], "--tenant 'a/b'"),
        (["--report", "/no/such/folder/r.json"], "there is no folder"),
        (["--ledger", "/no/such/folder/r.json"], "there is no folder"),
        (["--broker", "somewhere:99999"], "write host or host:port"),
        (["--broker", "a b:1"], "write host or host:port"),
        (["--ca", "/no/such.pem"], "--ca /no/such.pem"),
        (["--server-data", "/tmp"], "not both"),
        (["--directory", __file__], "is not a folder"),
    ],
)
def test_garbage_starts_nothing_and_says_what_is_allowed(
    argv: list[str], said: str, city: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*city, *argv]) == 2
    told = capsys.readouterr().err
    assert said in told
    assert told.count("\n") == 1
    assert not (tmp_path / "sim").exists()


def test_where_the_server_is_has_to_be_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "--server-data DIR, or --broker HOST:PORT and --ca FILE" in capsys.readouterr().err
    assert main(["--server-data", str(tmp_path / "none")]) == 2
    assert "there is no such folder" in capsys.readouterr().err
    assert main(["--server-data", str(tmp_path)]) == 3
    assert "no server is ready" in capsys.readouterr().err
    (tmp_path / "serve.json").write_text('{"ready": true, "addresses": []}')
    assert main(["--server-data", str(tmp_path)]) == 3
    (tmp_path / "server.toml").write_text("data_dir = ")
    assert main(["--server-config", str(tmp_path / "server.toml")]) == 2


def test_a_server_of_this_machine_is_found_by_its_data(tmp_path: Path) -> None:
    (tmp_path / "serve.json").write_text(
        json.dumps({"ready": True, "addresses": {"broker": "mqtts://127.0.0.1:28883"}})
    )
    (tmp_path / "server.toml").write_text('data_dir = "."\n[tenant]\nname = "porto"\n')
    where = settings_from(["--server-config", str(tmp_path / "server.toml")]).where
    assert (where.host, where.port, where.tenant) == ("127.0.0.1", 28883, "porto")
    assert where.ca_file == tmp_path / "certificates" / "ca.pem"
    assert settings_from(["--server-data", str(tmp_path)]).where.tenant == "city"


def test_defaults_and_what_follows_from_them(city: list[str]) -> None:
    made = settings_from(city)
    assert (made.devices, made.every_s, made.flush_s, made.processes) == (20, 10.0, 5.0, 1)
    assert made.names[0] == "sim-00001"
    assert made.names[-1] == "sim-00020"
    assert made.run_s is None
    assert not made.in_memory
    given = settings_from([*city, "--kinds", "sds011,pms5003+mhz19b", "--every", "1h", "--outage", "2m+30s"])
    assert given.kinds == ((SensorKind.SDS011,), (SensorKind.PMS5003, SensorKind.MHZ19B))
    assert given.flush_s == 60.0
    assert given.outage == Outage(120.0, 30.0)


@pytest.mark.parametrize(
    ("devices", "cores", "processes"), [(1, 1, 1), (1500, 2, 1), (1501, 2, 2), (5000, 2, 2), (5000, 16, 4)]
)
def test_few_processes(devices: int, cores: int, processes: int) -> None:
    assert processes_for(devices, cores) == processes


@pytest.mark.parametrize("text", ["", "s", "-5s", "0", "5 d", "1e3s", "nan", "9" * 12])
def test_garbage_durations(text: str) -> None:
    with pytest.raises(WrongArgument, match="write for example"):
        duration("--for", text)
