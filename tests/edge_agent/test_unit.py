"""The systemd unit: systemd itself reads it, whatever stands in the paths."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from edge_agent import cli
from edge_agent.install import unit_text
from tests.edge_agent.test_cli import write_config


@pytest.mark.parametrize(
    ("config", "data_dir"),
    [
        ("/etc/lamppost/agent.toml", "/var/lib/lamppost"),
        ("/etc/my 100% con$fig/agent.toml", "/srv/lamp post"),
        ("/etc/lamppost/agent.toml", "/var/lib/lamp post/data"),
    ],
)
def test_systemd_finds_nothing_wrong_in_the_unit(tmp_path: Path, config: str, data_dir: str) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    unit = tmp_path / "lamppost-agent.service"
    unit.write_text(unit_text(Path(config), Path(data_dir), "root", shutil.which("python3") or "/bin/true"))
    command = ["systemd-analyze", "verify", "--man=no", str(unit)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    ours = [line for line in found.stderr.splitlines() if unit.name in line]
    assert (ours, found.returncode) == ([], 0), found.stderr


def test_paths_with_spaces_stay_one_word_and_no_specifier() -> None:
    lines = unit_text(Path("/etc/a b%c$d/x.toml"), Path("/srv/a b"), "root", "/usr/bin/python3").splitlines()
    assert 'ExecStart=/usr/bin/python3 -m edge_agent.cli run --config "/etc/a b%%c$$d/x.toml"' in lines
    assert 'ReadWritePaths="/srv/a b"' in lines


def test_a_wrong_configuration_is_not_tried_each_two_seconds() -> None:
    lines = unit_text(Path("/etc/x.toml"), Path("/srv/x"), "root").splitlines()
    assert f"RestartPreventExitStatus={cli.WRONG_INPUT}" in lines


def test_a_relative_data_folder_is_whole_in_the_unit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A service is started in another folder than the one that it was set up in."""
    path = write_config(tmp_path, 1, None, "/dev/x")
    path.write_text(path.read_text().replace(f"{tmp_path}/data", "data"))
    assert cli.main(["install", "--config", str(path), "--print"]) == 0
    assert f"ReadWritePaths={tmp_path}/data" in capsys.readouterr().out
