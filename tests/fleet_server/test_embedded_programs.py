from __future__ import annotations

import pwd
import subprocess
from pathlib import Path

import pytest

from fleet_server import embedded_programs
from fleet_server.embedded_programs import may_enter, programs, programs_for

NOBODY = pwd.getpwnam("nobody")


def test_a_folder_of_root_alone_stops_the_account_and_not_its_owner(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    (closed / "inside").mkdir(parents=True)
    closed.chmod(0o700)
    assert not may_enter(closed / "inside", NOBODY)
    assert may_enter(Path("/usr/bin"), NOBODY)
    assert programs_for(None) == programs()


def test_programs_out_of_reach_are_copied_once_and_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded_programs, "may_enter", lambda *_: False)
    copied = programs_for(NOBODY, tmp_path / "cache")
    assert tmp_path in copied.parents
    for program in ("postgres", "initdb"):  # initdb needs the libraries that lie beside the package
        told = subprocess.run([copied / program, "--version"], capture_output=True, text=True, check=True)
        assert told.stdout.startswith(f"{program} (PostgreSQL) 18")
    assert copied.parent.stat().st_mode & 0o005 == 0o005
    written = (copied / "postgres").stat().st_mtime_ns, (copied / "postgres").stat().st_ino
    assert programs_for(NOBODY, tmp_path / "cache") == copied
    assert ((copied / "postgres").stat().st_mtime_ns, (copied / "postgres").stat().st_ino) == written
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_within_reach_nothing_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_programs, "may_enter", lambda *_: True)
    assert programs_for(NOBODY, tmp_path / "cache") == programs()
    assert not (tmp_path / "cache").exists()
