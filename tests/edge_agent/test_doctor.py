"""The doctor's diagnosis of what a technician meets: the wrong user, a full disk, rules that say no."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_agent import cli
from edge_agent.core.spool_policy import to_free
from tests.edge_agent.io.test_spool_rescue import filled
from tests.edge_agent.making import ADDRESS
from tests.edge_agent.test_cli import doctor, write_config
from tests.support.mosquitto import MosquittoBroker
from tests.support.tmpfs import fill_disk, small_disk

NOBODY = 65_534


def as_nobody(path: Path) -> dict[str, dict[str, Any]]:
    """The doctor's checks as a user who owns nothing here."""
    if os.geteuid() != 0:
        pytest.skip("only root may become somebody else")
    program = (
        "import contextlib, grp, io, os, sys, firmware_bridge.serial_sensor, serial.tools.list_ports\n"
        "from edge_agent import cli\n"
        "arguments = ['doctor', '--json', '--config', sys.argv[1]]\n"
        "with contextlib.redirect_stdout(io.StringIO()):\n"
        "    cli.main(arguments)  # while everything it imports can be read\n"
        f"os.setgid({NOBODY}); os.setgroups([]); os.setuid({NOBODY})\n"
        "sys.exit(cli.main(arguments))\n"
    )
    command = [sys.executable, "-c", program, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    return {check["name"]: check for check in json.loads(done.stdout)}


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody can reach; pytest's own are root's alone."""
    with tempfile.TemporaryDirectory(prefix="lamppost-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def test_as_the_wrong_user_it_says_so_and_not_enrol_again(open_folder: Path) -> None:
    path = write_config(open_folder, 1, None, "/dev/not-there")
    identity = open_folder / "data" / "identity"
    identity.mkdir(parents=True)
    for name in ("device.key", "device.pem", "ca.pem"):
        (identity / name).write_text("secret")
    (open_folder / "data" / "status.json").write_text('{"sampling": true, "pid": 1}')
    (open_folder / "data").chmod(0o700)
    checks = as_nobody(path)
    for name in ("disk", "certificate"):
        assert not checks[name]["ok"]
        assert "user" in checks[name]["remedy"], checks[name]
        assert "nrol" not in checks[name]["remedy"]
    assert "sensor front" in checks


def test_a_full_disk_is_called_a_full_disk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with small_disk(tmp_path / "disk", 1 << 20) as disk:
        path = write_config(tmp_path, 1, None, "/dev/not-there")
        path.write_text(path.read_text().replace(f"{tmp_path}/data", str(disk)))
        fill_disk(disk)
        _, checks = doctor(path, capsys)
        assert [each.name for each in disk.iterdir()] == ["filler"]
    assert "No space left" in str(checks["disk"]["detail"])
    assert str(checks["disk"]["remedy"]).startswith("Free space")


def test_a_folder_that_is_not_made_yet_is_not_made_by_the_doctor(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_config(tmp_path, 1, None, "/dev/not-there")
    doctor(path, capsys)
    assert not (tmp_path / "data").exists(), "as root it would be root's"


def test_a_broker_that_does_not_let_it_publish_is_no_silent_server(
    tmp_path: Path, broker: MosquittoBroker, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_config(tmp_path, broker.port, broker.device_identity(ADDRESS), "/dev/not-there")
    path.write_text(path.read_text().replace(f'name = "{ADDRESS.device}"', 'name = "post-other"'))
    _, checks = doctor(path, capsys)
    assert "server" not in checks, "nothing is known of the server"
    assert not checks["topics"]["ok"]
    assert "publish" in str(checks["topics"]["remedy"]) + str(checks["topics"]["detail"])


def test_the_spool_says_what_waits_and_what_was_given_up_and_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_config(tmp_path, 1, None, "/dev/not-there")
    spool = filled(tmp_path / "data" / "spool")
    spool.shed(to_free(spool.weights(2), 1))
    spool.close()
    _, checks = doctor(path, capsys)
    assert checks["spool"]["ok"]
    told = str(checks["spool"]["detail"])
    assert "alarm 0, reply 1, live 0, history 19, diagnostic 0" in told
    assert "given up: 1 samples and 1 messages of class history: spool_full" in told
    assert cli.main(["spool", "--config", str(path)]) == 0
    assert "given up: 1 samples and 1 messages of class history: spool_full" in capsys.readouterr().out


def test_a_lack_of_inodes_is_not_called_a_lack_of_space(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with small_disk(tmp_path / "disk", 80 << 20, inodes=20) as disk:
        path = write_config(tmp_path, 1, None, "/dev/not-there")
        path.write_text(path.read_text().replace(f"{tmp_path}/data", str(disk)))
        _, checks = doctor(path, capsys)
    assert not checks["disk"]["ok"]
    assert "inodes free" in str(checks["disk"]["detail"])
    assert "df -i" in str(checks["disk"]["remedy"])
    assert "Free space" not in str(checks["disk"]["remedy"])
