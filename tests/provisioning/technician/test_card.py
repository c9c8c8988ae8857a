"""A card: FAT through a loop device where the kernel has it, else a small disk that is said to be one."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from provisioning.storage import write_atomically
from provisioning.technician import bundle as bundles
from provisioning.technician import delivering
from provisioning.technician.errors import NotWritten, WrongInput
from tests.provisioning.technician.test_bundle import BUNDLE, TOKEN
from tests.support.tmpfs import fill_disk, read_only, small_disk
from wire_contract.topics import Address

FILES = bundles.files(BUNDLE) | {"packages/A Wheel-1.0+x.whl": b"w" * 300_000}
SIZE = 12 << 20


@dataclass(frozen=True)
class Card:
    boot: Path
    mounts: Path
    image: Path | None

    def write(self, *, replace: bool = False) -> Path:
        return delivering.to_card(FILES, self.boot, replace=replace, mounts=self.mounts)


def image_of(folder: Path, size: int = SIZE) -> Path:
    """A card's boot partition as a file, as Raspberry Pi OS names things on it."""
    if shutil.which("mkfs.vfat") is None or shutil.which("mcopy") is None:
        pytest.skip("dosfstools and mtools are not installed")
    image = folder / "card.img"
    image.touch()
    os.truncate(image, size)
    subprocess.run(["mkfs.vfat", "-n", "BOOTFS", image], check=True, capture_output=True)
    for name in ("CONFIG.TXT", "cmdline.txt"):
        (folder / name).write_text("as it was")
        subprocess.run(["mcopy", "-i", image, folder / name, "::"], check=True)
    return image


@pytest.fixture(params=["fat", "disk"])
def card(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Card]:
    boot = tmp_path / "boot fs"
    if request.param == "fat":
        image = image_of(tmp_path)
        boot.mkdir()
        command = ["mount", "-o", "loop,fmask=0022,dmask=0022", "-t", "vfat", str(image), str(boot)]
        mounted = subprocess.run(command, capture_output=True, text=True, check=False)
        if mounted.returncode != 0:
            pytest.skip(f"no FAT through a loop device: {mounted.stderr.splitlines()[0].rpartition(': ')[2]}")
        yield Card(boot, delivering.MOUNTS, image)
        subprocess.run(["umount", "-l", str(boot)], capture_output=True, check=False)
        return
    mounts = tmp_path / "mounts"
    mounts.write_text(f"proc /proc proc rw 0 0\n/dev/sdb1 {tmp_path}/boot\\040fs vfat rw 0 0\n")
    with small_disk(boot, SIZE):
        for name in ("CONFIG.TXT", "cmdline.txt"):
            (boot / name).touch()
        yield Card(boot, mounts, None)
        if not os.path.ismount(boot):  # it was taken out: put back for `small_disk` to end
            subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(boot)], check=True)


@pytest.fixture
def after(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Callable[[], object]], None]:
    """Something that happens after so many files were written."""

    def happens(count: int, what: Callable[[], object]) -> None:
        done: list[str] = []

        def write(path: Path, content: bytes, mode: int | None = 0o600) -> None:
            write_atomically(path, content, mode)
            done.append(path.name)
            if len(done) == count:
                what()

        monkeypatch.setattr("provisioning.technician.delivering.write_atomically", write)

    return happens


def test_what_is_on_the_card_is_what_was_written(card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(1, "FAT has no modes")

    monkeypatch.setattr(os, "fchmod", refused)
    draft = card.boot / "lamppost" / ".agent.toml.0123456789ab"
    draft.parent.mkdir()
    draft.write_bytes(TOKEN.secret.encode())
    folder = card.write()
    assert folder == card.boot / "lamppost"
    found = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    assert {name: path.read_bytes() for name, path in found.items()} == FILES, "and nothing of an earlier try"
    if card.image is not None:
        subprocess.run(["umount", str(card.boot)], check=True)
        subprocess.run(["fsck.vfat", "-n", card.image], check=True, capture_output=True)
        told = subprocess.run(
            ["mtype", "-i", card.image, "::/LAMPPOST/AGENT.TOML"], check=True, capture_output=True
        )
        assert told.stdout == FILES["agent.toml"]


@pytest.mark.parametrize(
    ("what", "told"),
    [
        (lambda card: fill_disk(card.boot), "it is full"),
        (lambda card: read_only(card.boot, yes=True), "can only be read"),
        (lambda card: subprocess.run(["umount", "-l", str(card.boot)], check=True), "taken out"),
    ],
    ids=["full", "read-only", "taken out"],
)
@pytest.mark.parametrize("count", [1, 4])
def test_in_the_middle_of_it(
    card: Card,
    after: Callable[[int, Callable[[], object]], None],
    what: Callable[[Card], object],
    told: str,
    count: int,
) -> None:
    after(count, lambda: what(card))
    with pytest.raises(NotWritten, match=told):
        card.write()
    assert not (card.boot / "lamppost" / "agent.toml").exists(), "the claim comes last"
    if told == "taken out":
        assert list(card.boot.iterdir()) == [], "nothing is written to what lay under it"


def test_it_is_not_ejected_while_it_is_written(
    card: Card, after: Callable[[int, Callable[[], object]], None]
) -> None:
    tried: list[int] = []

    def eject() -> None:
        command = ["umount", str(card.boot)]
        tried.append(subprocess.run(command, capture_output=True, check=False).returncode)

    after(2, eject)
    card.write()
    assert tried != [0]
    assert subprocess.run(["umount", str(card.boot)], check=False).returncode == 0, "afterwards it is let go"


def test_another_lampposts_bundle_stays(card: Card) -> None:
    card.write()
    for bundle, whose in ((BUNDLE, "porto/lamp-07"), (None, "[?]")):
        if bundle is None:
            (card.boot / "lamppost" / "agent.toml").write_bytes(b"\xff[")
        with pytest.raises(WrongInput, match=f"a bundle of {whose} already"):
            card.write()
    other = bundles.files(replace(BUNDLE, address=Address("porto", "lamp-08")))
    delivering.to_card(other, card.boot, replace=True, mounts=card.mounts)
    assert "lamp-08" in (card.boot / "lamppost" / "agent.toml").read_text()


def test_what_is_no_card(card: Card) -> None:
    with pytest.raises(WrongInput, match="nothing is mounted there"):
        delivering.to_card(FILES, card.boot.parent, mounts=card.mounts)
    with pytest.raises(WrongInput, match="are needed"):
        delivering.to_card(FILES | {"packages/b.whl": bytes(SIZE)}, card.boot, mounts=card.mounts)
    small = {f"packages/{n}.whl": b"x" for n in range(SIZE // os.statvfs(card.boot).f_frsize)}
    with pytest.raises(WrongInput, match="are needed"):
        delivering.to_card(small, card.boot, mounts=card.mounts)
    (card.boot / "lamppost").write_text("a file")
    with pytest.raises(NotWritten, match="has the name of its folder"):
        card.write()
    (card.boot / "cmdline.txt").unlink()
    with pytest.raises(WrongInput, match=r"it has no cmdline\.txt"):
        card.write()
    assert sorted(path.name.lower() for path in card.boot.iterdir()) == ["config.txt", "lamppost"]
    with pytest.raises(WrongInput):
        delivering.to_card(FILES, card.boot.parent / "nothing", mounts=card.mounts)


def test_the_claim_is_gone_from_the_card_once_it_was_installed(card: Card, tmp_path: Path) -> None:
    folder = card.write()
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in (("id", "echo 0"), ("lamppost", "true")):
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    environment = {"PATH": f"{programs}:{os.environ['PATH']}", "LAMPPOST_ETC": str(tmp_path / "etc")}
    subprocess.run(["sh", str(folder / "install.sh")], env=environment, check=True, capture_output=True)
    assert TOKEN.secret in (tmp_path / "etc" / "agent.toml").read_text()
    assert not (folder / "agent.toml").exists()
    if card.image is not None:
        subprocess.run(["umount", str(card.boot)], check=True)
        assert TOKEN.secret.encode() not in card.image.read_bytes(), "its clusters, too"


def test_a_folder_that_was_copied_to_a_card_by_hand_is_whole(tmp_path: Path) -> None:
    image = image_of(tmp_path)
    folder = delivering.to_folder(FILES, tmp_path / "lamppost")
    subprocess.run(["mcopy", "-s", "-i", image, folder, "::"], check=True)
    (tmp_path / "back").mkdir()
    subprocess.run(["mcopy", "-s", "-i", image, "::/Lamppost", tmp_path / "back"], check=True)
    (back,) = (tmp_path / "back").iterdir()
    found = {str(path.relative_to(back)): path.read_bytes() for path in back.rglob("*") if path.is_file()}
    assert found == FILES
