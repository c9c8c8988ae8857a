"""Is what lies on this machine's disk encrypted? As the kernel tells: dm-crypt (LUKS) below, or fscrypt."""

from __future__ import annotations

import fcntl
import os
import struct
from dataclasses import dataclass
from pathlib import Path

FS_IOC_GETFLAGS = 0x80086601  # linux/fs.h, of 64-bit systems
FS_ENCRYPT_FL = 0x00000800
CRYPT = "CRYPT-"  # how the kernel's name of a dm-crypt mapping begins


@dataclass(frozen=True)
class Found:
    """encrypted: None where it cannot be told."""

    encrypted: bool | None
    how: str


def look(folder: Path, sys: Path = Path("/sys"), mounts: Path = Path("/proc/self/mountinfo")) -> Found:
    """Of the nearest folder that is there."""
    here = folder.absolute()
    while not here.exists():
        here = here.parent
    if _is_fscrypt(here):
        return Found(True, "fscrypt: the folder itself is encrypted")
    number = here.stat().st_dev
    device = f"{os.major(number)}:{os.minor(number)}"
    if os.major(number) == 0:  # btrfs, overlay: the file system stands for a device with another number
        device = _source(device, mounts)
    block = sys / "dev" / "block" / device
    if not device or not block.exists():
        return Found(None, "the folder's file system names no disk of this machine")
    if _is_crypt(block.resolve()):
        return Found(True, "dm-crypt (LUKS) below the file system")
    return Found(False, f"no encryption below the file system (device {device})")


def _is_crypt(block: Path) -> bool:
    """Itself, or everything that it is made of (a volume of LVM, a mirror); a partition: its disk."""
    try:
        if (block / "dm" / "uuid").read_text().startswith(CRYPT):
            return True
    except OSError:
        pass
    if (block / "partition").exists():
        return _is_crypt(block.parent)
    below = [each.resolve() for each in (block / "slaves").glob("*")]
    return bool(below) and all(_is_crypt(each) for each in below)


def _source(device: str, mounts: Path) -> str:
    """The number of the device that a mount of this number names as its source; "" for none."""
    try:
        for line in mounts.read_text().splitlines():
            fields, _, rest = line.partition(" - ")
            source = rest.split(" ")[1:2]
            if fields.split(" ")[2:3] == [device] and source and source[0].startswith("/dev/"):
                number = Path(source[0]).stat().st_rdev
                return f"{os.major(number)}:{os.minor(number)}"
    except OSError:
        pass
    return ""


def _is_fscrypt(folder: Path) -> bool:
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return False
    try:
        (flags,) = struct.unpack("l", fcntl.ioctl(handle, FS_IOC_GETFLAGS, bytes(struct.calcsize("l"))))
        return bool(flags & FS_ENCRYPT_FL)
    except OSError:  # a file system without such flags
        return False
    finally:
        os.close(handle)
