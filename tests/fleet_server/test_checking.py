"""`lamppost serve --check` on the authority's root keys: a finding for each way that one may be kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fleet_server.checking import root_keys_found
from fleet_server.cli import main as serve
from fleet_server.database.findings import Verdict
from provisioning import cli, rollover, root_keys
from provisioning.authority import Authority

SECRET = "four words of passphrase"
ADDRESS = "pkcs11:token=city;object=root?module-path=/usr/lib/p11.so"


def away(folder: Path) -> None:
    folder.rename(folder.parent.with_name("stick"))


def unreadable(folder: Path) -> None:
    """Whoever may not read it cannot say that it is away; a test that runs as root may read everything."""
    (folder / "root.key").unlink()
    (folder / "root.key").mkdir()


@pytest.mark.parametrize(
    ("kept", "verdict", "said"),
    [
        (lambda folder: None, Verdict.UNSOUND, "lies open"),
        (lambda folder: root_keys.lock(folder, SECRET), Verdict.SOUND, "still on this machine"),
        (lambda folder: (folder / "root.key").write_text(ADDRESS), Verdict.SOUND, "in a token"),
        (lambda folder: (folder / "root.key").write_text("what?"), Verdict.UNSOUND, "lies open"),
        (lambda folder: (folder / "root.key").unlink(), Verdict.SOUND, "not in"),
        (away, Verdict.SOUND, "not in"),
        (unreadable, Verdict.NOT_CHECKED, "Is a directory"),
    ],
)
def test_how_a_root_key_is_kept(tmp_path: Path, kept: object, verdict: Verdict, said: str) -> None:
    assert callable(kept)
    Authority.init(tmp_path / "authority", "Porto")
    kept(tmp_path / "authority" / "root")
    [found] = root_keys_found(tmp_path / "authority")
    assert (found.verdict, said in found.detail) == (verdict, True), found
    assert ("lamppost ca lock-root" in found.remedy) is (verdict is Verdict.UNSOUND)


def test_every_root_is_looked_at_and_the_remedy_mends_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory, secret = tmp_path / "authority", tmp_path / "secret"
    file = tmp_path / "server.toml"
    file.write_text('[database]\nurl = "postgresql://lamp@127.0.0.1:1/lamppost"\n')

    def checked() -> list[str]:
        serve(["--check", "--json", "--config", str(file), "--data", str(tmp_path)])
        rows = json.loads(capsys.readouterr().out)
        return [each["verdict"] for each in rows if each["check"] == "root's key"]

    assert checked() == ["not checked"]
    Authority.init(directory, "Porto")
    rollover.prepare_root(directory, lambda: root_keys.root_in(directory / "root", None), None)
    rollover.switch(directory, early=True)
    rollover.retire(directory, early=True)
    found = root_keys_found(directory)
    assert checked() == ["unsound", "unsound"], "the former one, too"
    secret.touch(0o600)
    secret.write_text(SECRET)
    for each in found:
        _, _, command = each.remedy.partition("Run lamppost ca ")
        words = command.partition(",")[0].split()
        assert cli.main([*words, "--passphrase-file", str(secret)]) == 0
        assert "locked" in capsys.readouterr().out
    assert checked() == ["sound", "sound"]
