"""Others fill a lamppost's disk, and go on while the fault lasts: what the spool gives up, they take."""

from __future__ import annotations

import os
import threading
from pathlib import Path

REFILL_S = 0.2
BLOCK_BYTES = 4096
NAME = "others"


class Filler:
    """Until `stop` it leaves at most `leave_bytes` free on the disk of `folder`."""

    def __init__(self, folder: Path, leave_bytes: int) -> None:
        self._file, self._leave_bytes = folder / NAME, leave_bytes
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="filler", daemon=True)
        self.written = 0

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """The disk is free again."""
        self._stopped.set()
        self._thread.join()
        self._file.unlink(missing_ok=True)

    def _run(self) -> None:
        with self._file.open("ab", buffering=0) as file:
            while not self._stopped.is_set():
                self._fill(file.fileno())
                self._stopped.wait(REFILL_S)

    def _fill(self, handle: int) -> None:
        while (spare := self._spare_bytes()) > 0:
            try:
                self.written += os.write(handle, bytes(min(spare, 1 << 20)))
            except OSError:
                return  # to the brim

    def _spare_bytes(self) -> int:
        told = os.statvfs(self._file.parent)
        return max(told.f_bavail * told.f_frsize - self._leave_bytes, 0)
