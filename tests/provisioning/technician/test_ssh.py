"""A lamppost's computer behind a real sshd: bundles, the installer, the site test; what goes wrong there."""

from __future__ import annotations

import getpass
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from provisioning.technician import bundle as bundles
from provisioning.technician import delivering
from provisioning.technician import lamppost as reaching
from provisioning.technician.errors import LamppostUnreachable, NotWritten, WrongInput
from provisioning.technician.lamppost import Lamppost
from tests.chaos.lines import Lines
from tests.chaos.weather import Weather
from tests.provisioning.technician.sshd import Sshd, new_key, sshd
from tests.provisioning.technician.test_bundle import BUNDLE, TOKEN
from tests.support.tmpfs import fill_disk, small_disk

FILES = {'packages/it\'s a "wheel" é.whl': b"w" * 400_000} | bundles.files(BUNDLE)
HOST = "lamp-07.local"
WITH_USER = f"{getpass.getuser()}@{HOST}"


@pytest.fixture
def post(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sshd]:
    there = tmp_path / 'pi\'s "home" $PWD'
    there.mkdir()
    with sshd(tmp_path / "ssh", there) as made:
        monkeypatch.setenv("PATH", f"{made.folder / 'client'}:{os.environ['PATH']}")
        yield made


def test_a_bundle_goes_over_and_its_installer_runs(post: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = post.there / "lamppost-bundle"
    with tempfile.TemporaryDirectory(prefix="a %h b") as odd, monkeypatch.context() as patched:
        patched.setattr("tempfile.tempdir", odd)
        reached = Lamppost(WITH_USER)
        with reached:
            assert reached.script("echo there").stdout == b"there\n"
            assert list(Path(odd).glob("lp-ssh-*/c")), "the next command takes the same connection"
    with Lamppost(WITH_USER) as there:
        delivering.check_ssh(there)
        assert delivering.over_ssh(FILES, there) == f"{WITH_USER}:lamppost-bundle"
        found = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
        assert found == FILES
        assert folder.stat().st_mode & 0o777 == 0o700
        assert (folder / "agent.toml").stat().st_mode & 0o777 == 0o600
        with pytest.raises(WrongInput, match="holds a bundle already"):
            delivering.check_ssh(there)
        delivering.check_ssh(there, replace=True)
        stand_in = (
            post.folder / "bin" / "lamppost"
        )  # its certificate is asked for elsewhere (test_field_story)
        stand_in.write_text('#!/bin/sh\necho "$@" >> ~/asked\n')
        installed = there.script('cd lamppost-bundle && LAMPPOST_ETC="$HOME/e t c" sh install.sh')
        if os.geteuid() != 0:
            assert b"run it as root" in installed.stderr
            return
        assert installed.returncode == 0, installed.stderr
        delivering.check_ssh(there)
    assert (post.there / "e t c" / "agent.toml").read_bytes() == FILES["agent.toml"]
    assert [line.split()[1] for line in (post.there / "asked").read_text().splitlines()] == [
        "config", "enrol", "install", "doctor",
    ]  # fmt: skip


def test_whose_host_key_it_is_stays_the_technicians_judgement(post: Sshd) -> None:
    other = new_key(post.folder / "another").split()[:2]
    for known, told, remedy in (
        ("# nothing\n", "its host key is not known here", "compare it on the lamppost"),
        (f"lamp {' '.join(other)}\n", "another one than the last time", f"ssh-keygen -R {HOST}"),
    ):
        post.client(known=known)
        with Lamppost(HOST) as there, pytest.raises(LamppostUnreachable, match=told) as refused:
            delivering.over_ssh(FILES, there)
        assert remedy in refused.value.remedy
        assert (post.folder / "known").read_text() == known, "nothing was learned without being asked"
    assert list(post.there.iterdir()) == []


def test_who_has_no_key_is_told_how_to_get_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = "PasswordAuthentication yes\nPubkeyAuthentication no"
    with sshd(tmp_path / "ssh", tmp_path, options) as made:
        monkeypatch.setenv("PATH", f"{made.folder / 'client'}:{os.environ['PATH']}")
        with (
            Lamppost(HOST) as there,
            pytest.raises(LamppostUnreachable, match="does not let you in") as refused,
        ):
            there.script(":")
        assert f"ssh-copy-id {HOST}" in refused.value.remedy


def test_a_line_that_breaks_leaves_the_old_bundle_or_the_new_one(
    post: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Lamppost(HOST) as there:
        delivering.over_ssh({"agent.toml": b"the old one"}, there)
    lines = Lines()
    lines.start()
    try:
        line = lines.of_server(("127.0.0.1", 0), ("127.0.0.1", post.port))
        post.client(line.address[1])
        with Lamppost(HOST) as there:
            there.script(":")
            line.reset_after(150_000)
            with pytest.raises(LamppostUnreachable, match="cannot be reached"):
                delivering.over_ssh(FILES, there)
        for name in ("ALIVE_S", "ALIVE_TIMES", "CONNECT_S"):
            monkeypatch.setattr(reaching, name, 1)
        with Lamppost(HOST) as there:
            there.script(":")
            line.apply(None, Weather(hole=True))
            with pytest.raises(LamppostUnreachable):  # and not in ninety seconds
                delivering.over_ssh(FILES, there)
            line.clear(None)
        assert (post.there / "lamppost-bundle" / "agent.toml").read_bytes() == b"the old one"
        with Lamppost(HOST) as there:
            delivering.over_ssh(FILES, there)
        assert (post.there / "lamppost-bundle" / "agent.toml").read_bytes() == FILES["agent.toml"]
    finally:
        lines.stop()


def test_a_disk_that_is_full_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with small_disk(tmp_path / "there", 1 << 20) as there, sshd(tmp_path / "ssh", there) as made:
        monkeypatch.setenv("PATH", f"{made.folder / 'client'}:{os.environ['PATH']}")
        fill_disk(there)
        with Lamppost(HOST) as post, pytest.raises(NotWritten, match="No space left on device"):
            delivering.over_ssh(FILES, post)
        (there / "filler").unlink()
        (there / "filler").write_bytes(bytes(800_000))
        with Lamppost(HOST) as post, pytest.raises(NotWritten, match="No space left on device"):
            delivering.over_ssh(FILES, post)
        assert [path.name for path in there.iterdir()] == ["filler"], "and no half of it stays"


def test_the_secret_is_in_no_command_line(post: Sshd) -> None:
    """Of the real client: what `ps` shows to everybody on both computers."""
    seen = post.folder / "bin" / "tar"
    seen.write_text('#!/bin/sh\ncat /proc/[0-9]*/cmdline > ~/lines 2>/dev/null\nexec /usr/bin/tar "$@"\n')
    seen.chmod(0o755)
    with Lamppost(HOST) as there:
        delivering.over_ssh(FILES, there)
    lines = (post.there / "lines").read_bytes()
    assert b"lamppost-bundle" in lines
    assert TOKEN.secret.encode() not in lines
