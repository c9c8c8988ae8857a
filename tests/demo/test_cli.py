from __future__ import annotations

from pathlib import Path

import pytest

from demo.cli import main, settings_from
from demo.settings import WrongArgument, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("5m", 300), ("2h", 7200), ("1.5h", 5400), ("7", 7)]
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "-5s", "0", "5 d", "1e3s", "nan"])
def test_garbage_durations_say_what_to_write(text: str) -> None:
    with pytest.raises(WrongArgument, match="write for example 90s"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--speed", "0"], "--speed 0: choose from 1 to 600"),
        (["--posts", "99"], "--posts 99: choose from 1 to 50"),
        (["--for", "soon"], "'soon' is not a duration"),
        (["--replay", "/no/such.parquet"], "there is no such file"),
        (["--replay", __file__], "give a .parquet or a .csv"),
        (["--history-speed", "0.5"], "--history-speed 0.5: choose from 1 to 3600"),
        (["--station", "Dongsi"], "give the recording with --replay"),
        (["--report", "/no/such/folder/r.json"], "there is no folder"),
    ],
)
def test_wrong_arguments_start_nothing_and_say_what_is_allowed(
    argv: list[str], said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["--dir", str(tmp_path / "city"), *argv]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "city").exists()


def test_the_defaults_are_the_documented_city(tmp_path: Path) -> None:
    settings = settings_from(["--dir", str(tmp_path)])
    assert (settings.posts, settings.speed, settings.history_h, settings.run_for_s) == (6, 60.0, 48.0, None)
    assert settings.story
    assert not settings.live_history
    assert not settings_from(["--no-story"]).story


def test_a_station_that_the_recording_does_not_have_starts_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    recording = tmp_path / "recording.csv"
    recording.write_text("time,station,PM25\n2014-01-01,North,1\n2014-01-02,South,2\n2014-01-03,South,3\n")
    city = ["--dir", str(tmp_path / "city"), "--replay", str(recording)]
    assert main([*city, "--station", "East"]) == 2
    assert "there is no station 'East'; it has: North, South" in capsys.readouterr().err
    assert not (tmp_path / "city").exists()
    assert settings_from([*city, "--station", "South"]).replay is not None
