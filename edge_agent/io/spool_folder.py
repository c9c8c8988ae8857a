"""The spool's folder: made, held by one process, with some room kept aside for a disk that is full."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from edge_agent.errors import SpoolError, SpoolFull, SpoolInUse

BALLAST_BYTES = 1 << 20  # kept aside so that shedding can be written when the disk is full to the brim


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


class Ballast:
    """A file that is given up when the disk is full, and made again when there is room."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "ballast"

    def keep(self) -> None:
        if self._path.exists():
            return
        try:
            with self._path.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, BALLAST_BYTES)
        except OSError:
            self._path.unlink(missing_ok=True)  # the disk is full already; it is made once there is room

    def drop(self) -> bool:
        """Give it up. True when that made room."""
        there = self._path.exists()
        self._path.unlink(missing_ok=True)
        return there
