"""`lamppost db` from a terminal: what it says, its exit statuses, and every mistake as one line."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import psycopg
import pytest

from fleet_server import db_cli, migrations
from fleet_server.database.state import database_of, newest_step, steps_from
from tests.fleet_server.database.conftest import drop


def config_of(url: str, folder: Path) -> Path:
    file = folder / "server.toml"
    file.write_text(f'data_dir = "{folder}/data"\n[tenant]\nname = "city"\n[database]\nurl = "{url}"\n')
    return file


def test_an_upgrade_says_from_where_to_where(
    empty_database_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = str(config_of(empty_database_url, tmp_path))
    migrations.upgrade(empty_database_url, "0006", use_timescale=False)
    assert db_cli.main(["upgrade", "--check", "--config", config]) == 1
    pending = f"{len(steps_from('0006'))} steps are pending:\n0007  Incidents"
    assert capsys.readouterr().out.startswith(pending)
    assert db_cli.main(["upgrade", "--config", config, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["at"], told["newest"], told["upgraded"]) == ("0006", newest_step(), True)
    assert db_cli.main(["upgrade", "--check", "--config", config]) == 0
    assert "nothing is pending" in capsys.readouterr().out
    with psycopg.connect(empty_database_url) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0999'")
    for arguments in (["upgrade"], ["upgrade", "--check"]):
        assert db_cli.main([*arguments, "--config", config]) == 2
        told_wrong = capsys.readouterr().err
        assert "at step 0999" in told_wrong
        assert "Install the version" in told_wrong


def test_save_and_bring_back_with_a_word_typed(
    postgres_server: str,
    database_url: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config, file = str(config_of(database_url, tmp_path)), str(tmp_path / "city.backup")
    assert db_cli.main(["backup", file, "--config", config, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["file"] == file
    assert {each["what"] for each in told["left_out"]} >= {
        "the city's certificate authority",
        "the configuration",
    }
    assert db_cli.main(["restore", file, "--config", config]) == 1
    assert "--replace" in capsys.readouterr().err
    name = database_of(database_url)
    for typed, status in (("yes\n", 1), ("", 1), (f"{name}\n", 0)):
        monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
        assert db_cli.main(["restore", file, "--replace", "--config", config]) == status
        assert f"Type {name} to go on" in capsys.readouterr().err
    assert db_cli.main(["verify", "--config", config, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["sound"] is True
    (tmp_path / "other.toml").write_text(
        (tmp_path / "server.toml").read_text().replace('"city"', '"another"')
    )
    assert db_cli.main(["restore", file, "--config", str(tmp_path / "other.toml"), "--replace", "--yes"]) == 1
    assert "is of the city city" in capsys.readouterr().err
    Path(file).write_bytes(Path(file).read_bytes()[:-1])
    assert db_cli.main(["verify", file]) == 1
    assert "cut short" in capsys.readouterr().out
    drop(postgres_server, f"{name}_before_")


MISTAKES = {
    "nothing": ([], 2, "COMMAND"),
    "no such command": (["repair"], 2, "invalid choice"),
    "no number": (["backup", ".", "--keep", "0"], 2, "number from 1"),
    "no digits": (["backup", ".", "--keep", "\u0663"], 2, "number from 1"),
    "keep of a file": (["backup", "{folder}/x", "--keep", "3"], 1, "for a folder"),
    "no folder": (["backup", "{folder}/no/x"], 2, "no folder"),
    "there already": (["backup", "{folder}/server.toml"], 1, "there already"),
    "no backup": (["restore", "{folder}/x"], 1, "/x is missing"),
    "not one": (["restore", "{folder}/server.toml"], 1, "is missing"),
    "nothing to verify": (["verify", "{folder}/x"], 1, "/x is missing"),
    "a drill of nothing": (["verify", "--drill"], 1, "for a backup"),
    "a server for no drill": (["verify", "x", "--on", "postgresql://x"], 1, "for --drill"),
    "a drill in a folder": (["verify", "x", "--drill", "--on", "{folder}"], 1, "postgresql://"),
    "a drill elsewhere": (["verify", "x", "--drill", "--on", "mysql://x"], 2, "neither a folder nor"),
    "no config": (["verify", "--config", "/no/such.toml"], 2, "no such file"),
    "no data": (["verify", "--data", "{folder}/nowhere"], 2, "no server's data"),
    "unreachable": (["verify", "--config", "{folder}/gone.toml"], 1, "does not answer"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_one_line_that_says_what_is_wrong(
    database_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    config = config_of(database_url, tmp_path)
    (tmp_path / "gone.toml").write_text(
        f'data_dir = "{tmp_path}/data"\n[database]\nurl = "postgresql://x@127.0.0.1:1/x"\n'
    )
    arguments, status, words = MISTAKES[case]
    given = [each.format(folder=tmp_path) for each in arguments]
    if not {"--config", "--data"} & set(given):
        given += ["--config", str(config)] if given and given[0] != "repair" else []
    try:
        assert db_cli.main(given) == status
    except SystemExit as ended:  # argparse's own way
        found: object = ended.code
        assert found == status
    told = capsys.readouterr()
    assert words in told.out + told.err
    assert "Traceback" not in told.err
