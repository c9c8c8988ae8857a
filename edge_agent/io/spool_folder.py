"""The spool's folder: made, held by one process, with some room kept aside for a disk that is full."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from edge_agent.errors import SpoolError, SpoolFull, SpoolInUse

BALLAST_BYTES = 1 << 20  # kept aside so that shedding can be written when the disk is full to the brim
BALLAST_INODES = 4  # a start makes spool.db-wal and -shm, a rescue a new file with its own two


def hold(folder: Path) -> int:
    """Make the folder and hold it for this process; the kernel lets go when it dies. Returns the handle.

    Raises SpoolInUse, SpoolFull, SpoolError.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except PermissionError as error:
        remedy = f"Give the folder to the agent's user: sudo chown -R lamppost {folder.parent}"
        raise SpoolError(f"{folder}: this user may not write there", remedy) from error
    except OSError as error:
        remedy = "Check device.data_dir and its disk (df -h, df -i, dmesg)."
        raise SpoolFull(f"{folder}: {error.strerror}", remedy) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        raise SpoolInUse(
            f"{folder}: another agent uses this spool", "Stop it first: systemctl stop lamppost-agent."
        ) from error
    return handle


def hold_again(folder: Path, handle: int) -> int:
    """The handle, or a new one where somebody deleted the folder or its lock. Raises as `hold` does."""
    try:
        mine = (folder / "lock").stat().st_ino == os.fstat(handle).st_ino
    except OSError:
        mine = False
    if mine:
        return handle
    os.close(handle)
    return hold(folder)


def open_files(path: Path) -> dict[str, int]:
    """Name -> inode of the file and its journal, as they are now that they are open."""
    files = (path, path.with_name(path.name + "-wal"))
    return {file.name: file.stat().st_ino for file in files if file.exists()}


def lost_files(path: Path, opened: dict[str, int]) -> list[str]:
    """Those of `opened` that have gone, or another file has their name."""
    return [name for name, inode in opened.items() if _inode(path.with_name(name)) != inode]


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None


class Ballast:
    """Files that are given up when the disk is full, and made again when there is room: one of bytes, and
    empty ones that each hold an inode for a file that SQLite makes."""

    def __init__(self, folder: Path) -> None:
        self._bytes = folder / "ballast"
        self._files = (self._bytes, *(folder / f"ballast.{n}" for n in range(1, BALLAST_INODES)))

    def keep(self) -> None:
        try:
            for file in self._files:
                if not file.exists():
                    file.touch()
            if self._bytes.stat().st_size == 0:
                with self._bytes.open("wb") as opened:
                    os.posix_fallocate(opened.fileno(), 0, BALLAST_BYTES)
        except OSError:  # the disk is full already: made once there is room
            with suppress(OSError):
                self._bytes.write_bytes(b"")

    def drop(self) -> bool:
        """Give them up. True when that made room."""
        there = [file for file in self._files if file.exists()]
        for file in there:
            file.unlink(missing_ok=True)
        return bool(there)
