"""`--data` alone, on the data of a city that is not called `city`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fleet_server import admin_cli, audit_cli, cli, data_folder, db_cli, ingest_cli, replay_cli
from fleet_server.config import load_config
from fleet_server.errors import ConfigurationError


@pytest.fixture
def porto(tmp_path: Path) -> Path:
    """The configuration of a city; its data lie in the folder beside, once served."""
    file = tmp_path / "server.toml"
    file.write_text('data_dir = "data"\n[tenant]\nname = "porto"\n')
    (tmp_path / "data").mkdir()
    data_folder.mark(load_config(file))
    return file


@pytest.mark.parametrize(
    ("main", "arguments"),
    [
        (admin_cli.main, ["settings", "set", "sampling.every_s=30"]),
        (admin_cli.main, ["claim", "new"]),
        (db_cli.main, ["backup", "/nowhere"]),
        (ingest_cli.main, ["dead", "list"]),
        (audit_cli.main, ["list"]),
        (replay_cli.main, ["--from", "2026-11-01", "--to", "2026-11-02"]),
        (cli.main, []),
        (cli.main, ["--role", "api"]),
        (cli.main, ["--check"]),
    ],
)
def test_another_city_s_data_are_refused(
    porto: Path, capsys: pytest.CaptureFixture[str], main: Callable[[list[str]], int], arguments: list[str]
) -> None:
    data = porto.parent / "data"
    assert main([*arguments, "--data", str(data)]) == 2
    told = capsys.readouterr().err
    assert f"{data} holds the data of 'porto', and this would act for 'city'. Give --config" in told
    assert told.count("\n") == 1
    assert [each.name for each in data.iterdir()] == ["tenant"], "nothing was begun there"


def test_the_right_configuration_and_what_nobody_marked_are_let_through(porto: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data_folder.check(load_config(porto))
    data_folder.mark(load_config(data_dir=data))
    data_folder.check(load_config(porto))  # whose it was first holds
    for unmarked in (None, b"", b"\xff\xfe"):
        (data / "tenant").unlink(missing_ok=True)
        if unmarked is not None:
            (data / "tenant").write_bytes(unmarked)
        data_folder.check(load_config(data_dir=data))


def test_a_configuration_of_the_wrong_data_says_where_to_correct(porto: Path) -> None:
    porto.write_text('data_dir = "data"\n[tenant]\nname = "braga"\n')
    with pytest.raises(ConfigurationError, match=r"correct tenant\.name in .*server\.toml"):
        data_folder.check(load_config(porto))
