"""`lamppost ca`: the whole way from nothing to a broker that starts."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from provisioning import cli
from provisioning.authority import Authority
from provisioning.technician import delivering
from tests.support.mosquitto import mosquitto_program
from tests.support.ports import free_port
from tests.support.waiting import wait_until


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, Any]:
    status = cli.main([str(each) for each in (*arguments, "--json")])
    return status, json.loads(capsys.readouterr().out)


def test_from_init_to_a_running_broker(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory, out, port = tmp_path / "authority", tmp_path / "certs", free_port()
    assert run(capsys, "init", "--directory", directory, "--city", "Porto", "--without-passphrase")[0] == 0
    made = run(capsys, "server-cert", "--directory", directory, "--name", "broker", "--host", "localhost",
               "--host", "127.0.0.1", "--out", out)[1]  # fmt: skip
    run(capsys, "client-cert", "--directory", directory, "--name", "lamppost-ingest", "--out", out)
    written = run(capsys, "broker-config", "--directory", directory, "--certificate", made["certificate"],
                  "--key", made["key"], "--port", port, "--out", tmp_path / "broker")[1]  # fmt: skip
    broker = subprocess.Popen(
        [mosquitto_program(), "-c", written["configuration"]], stderr=subprocess.PIPE, text=True
    )
    probe = ["openssl", "s_client", "-connect", f"localhost:{port}", "-CAfile", str(directory / "trust.pem"),
             "-cert", str(out / "lamppost-ingest.pem"), "-key", str(out / "lamppost-ingest.key"),
             "-verify_return_error", "-verify_hostname", "localhost"]  # fmt: skip
    try:
        wait_until(
            lambda: subprocess.run(probe, input=b"", capture_output=True, check=False).returncode == 0,
            20,
            "openssl to be content with the broker",
        )
    finally:
        broker.terminate()
        broker.communicate(timeout=30)


def test_show_and_revoke(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = tmp_path / "authority"
    Authority.init(directory, "Porto")
    first = run(capsys, "revoke", "--directory", directory, "--serial", "0A:1b")[1]
    again = run(capsys, "revoke", "--directory", directory, "--serial", "a1b")[1]
    assert (first["revoked"], again["revoked"]) == ("now", "before")
    assert run(capsys, "show", "--directory", directory)[1]["revoked"] == ["a1b"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["show", "--directory", "{tmp}/none"], "lamppost ca init"),
        (["init", "--directory", "{tmp}/a", "--city", "Porto", "--without-passphrase"], "already"),
        (["init", "--directory", "{tmp}/b", "--city", "", "--without-passphrase"], "city"),
        (["init", "--directory", "{tmp}/b", "--city", "P"], "Give --passphrase-file"),
        (["roll-root", "prepare", "--directory", "{tmp}/a", "--passphrase-file", "{tmp}/pass"],
         "new root's key is needed. Give --new-passphrase-file FILE"),
        (["init", "--directory", "{tmp}/b", "--city", "P", "--passphrase-file", "{tmp}/none"], "none"),
        (["init", "--directory", "{tmp}/b", "--city", "P", "--passphrase-file", "{tmp}/empty"], "empty"),
        (["init", "--directory", "{tmp}/b", "--city", "P", "--passphrase-file", "{tmp}/long"], "1023"),
        (["init", "--directory", "{tmp}/b", "--city", "P", "--passphrase-file", "{tmp}/shared"], "chmod 600"),
        (["init", "--directory", "{tmp}/b", "--city", "P", "--passphrase-file", "{tmp}/binary"], "no text"),
        (["backup", "--directory", "{tmp}/a", "--out", "{tmp}/o", "--passphrase-file", "{tmp}/group"],
         "mode 0640"),
        (["revoke", "--directory", "{tmp}/a", "--serial", "xyz"], "hexadecimal"),
        (["revoke", "--directory", "{tmp}/a", "--serial=-5"], "-5"),
        (["revoke", "--directory", "{tmp}/a", "--serial", "f" * 60], "fff"),
        (["server-cert", "--directory", "{tmp}/a", "--name", "a/b", "--host", "h",
          "--out", "{tmp}/o"], "a/b"),
        (["client-cert", "--directory", "{tmp}/a", "--name", "x", "--days", "0", "--out", "{tmp}/o"], "0.0"),
        (["broker-config", "--directory", "{tmp}/a", "--certificate", "c", "--key", "k", "--port", "0",
          "--out", "{tmp}/o"], "port 0"),
        (["broker-config", "--directory", "{tmp}/a", "--certificate", "{tmp}/c", "--key", "k",
          "--out", "{tmp}/o"], "server-cert"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_one_line_that_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    Authority.init(tmp_path / "a", "Porto")
    files = {"empty": b"\n", "long": b"x" * 1024, "shared": b"x", "group": b"x", "binary": b"\xff"}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        (tmp_path / name).chmod({"shared": 0o604, "group": 0o640}.get(name, 0o600))
    assert cli.main([each.format(tmp=tmp_path) for each in arguments]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert told in printed.err


def test_a_passphrase_from_a_file_closes_the_root(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "pass").touch(0o600)
    (tmp_path / "pass").write_text("a long walk\nsecond line\n")
    status, _ = run(
        capsys, "init", "--directory", tmp_path / "a", "--city", "P", "--passphrase-file", tmp_path / "pass"
    )
    assert status == 0
    assert "ENCRYPTED" in (tmp_path / "a" / "root" / "root.key").read_text()


def test_a_passphrase_is_typed_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    asking = ("init", "--directory", tmp_path / "a", "--city", "P")
    for first, second, told in (("one", "other", "differ"), ("", "", "is empty"), ("one", "", "is empty")):
        typed = iter([first, second])
        monkeypatch.setattr("getpass.getpass", lambda _, typed=typed: next(typed))
        assert told in run(capsys, *asking)[1]["error"]
    monkeypatch.setattr("getpass.getpass", lambda _: "one")
    assert "locked by a passphrase" in run(capsys, *asking)[1]["root_key"]


@pytest.mark.parametrize(
    "command",
    [
        "init", "server-cert", "client-cert", "broker-config", "show", "revoke", "roll-issuing", "roll-root",
        "backup", "restore", "lock-root", "root-to-token", "check-root",
    ],
)  # fmt: skip
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([command, "--help"])
    assert ended.value.code == 0
    assert "--directory" in capsys.readouterr().out


def test_a_folder_that_is_there_stays_open_to_whom_it_was(tmp_path: Path) -> None:
    """As /etc/ssl, which every program reads; a key in it is closed all the same."""
    directory, there, new = tmp_path / "authority", tmp_path / "ssl", tmp_path / "new"
    there.mkdir()
    there.chmod(0o755)
    assert cli.main(["init", "--directory", str(directory), "--city", "P", "--without-passphrase"]) == 0
    made = ("server-cert", "--directory", str(directory), "--name", "broker", "--host", "mqtt.city", "--out")
    for out in (there, new):
        assert cli.main([*made, str(out)]) == 0
        assert (out / "broker.key").stat().st_mode & 0o777 == 0o600
    config = ("broker-config", "--directory", str(directory), "--out", str(there))
    files = ("--certificate", str(there / "broker.pem"), "--key", str(there / "broker.key"))
    assert cli.main([*config, *files]) == 0
    delivering.to_folder({"agent.toml": b"claim"}, there)
    assert (there / "agent.toml").stat().st_mode & 0o777 == 0o600
    assert [out.stat().st_mode & 0o777 for out in (there, new)] == [0o755, 0o700]
