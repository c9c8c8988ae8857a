"""Is the disk encrypted? Over pretended device trees, as /sys/block has them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fleet_server.at_rest import look


class Sys:
    """/sys of a machine."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.root = root
        number = folder.stat().st_dev
        self.device = f"{os.major(number)}:{os.minor(number)}"
        (root / "dev" / "block").mkdir(parents=True)

    def block(self, name: str, *slaves: Path, uuid: str = "", partition: bool = False) -> Path:
        made = self.root / "devices" / name
        (made / "slaves").mkdir(parents=True)
        for slave in slaves:
            (made / "slaves" / slave.name).symlink_to(slave)
        if uuid:
            (made / "dm").mkdir()
            (made / "dm" / "uuid").write_text(uuid + "\n")
        if partition:
            (made / "partition").write_text("1\n")
        return made

    def holds_the_folder(self, block: Path) -> None:
        (self.root / "dev" / "block" / self.device).symlink_to(block)


@pytest.fixture
def sys(tmp_path: Path) -> Sys:
    if os.major(tmp_path.stat().st_dev) == 0:
        pytest.skip("the folder of tests lies on a file system without a device")
    return Sys(tmp_path / "sys", tmp_path)


def test_the_ways_a_disk_may_be_laid_out(sys: Sys, tmp_path: Path) -> None:
    plain = sys.block("sda")
    luks = sys.block("dm-0", plain, uuid="CRYPT-LUKS2-0123-cryptroot")
    open_volume = sys.block("dm-1", plain, uuid="LVM-abc")
    closed_volume = sys.block("dm-2", luks, uuid="LVM-def")
    half = sys.block("md0", luks, plain)
    whole = sys.block("md1", luks, sys.block("dm-3", uuid="CRYPT-PLAIN-x"))
    part = sys.block("dm-0/dm-0p1", partition=True)
    for block, encrypted in (
        (plain, False),
        (luks, True),
        (open_volume, False),
        (closed_volume, True),
        (half, False),
        (whole, True),
        (part, True),
    ):
        link = sys.root / "dev" / "block" / sys.device
        link.unlink(missing_ok=True)
        sys.holds_the_folder(block)
        assert look(tmp_path / "not" / "there yet", sys.root).encrypted is encrypted, block.name


def test_what_cannot_be_told(tmp_path: Path) -> None:
    assert look(tmp_path, tmp_path / "nothing", tmp_path / "nothing").encrypted is None
