"""data_dir/watching.json: what is known of each sensor unit's day, kept over restarts."""

from __future__ import annotations

from pathlib import Path

import msgspec

from edge_agent.core.post import Kept
from edge_agent.errors import SpoolFull
from edge_agent.io.files import write_atomically

LARGEST_BYTES = 4 << 20  # 64 units of 20 kB are a third of it; a device of 512 MB must survive any file


class WatchFile:
    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> tuple[Kept, ...]:
        """What was kept; nothing where there is no file, or none that can be read: a day fills it again."""
        try:
            with self._path.open("rb") as file:
                content = file.read(LARGEST_BYTES + 1)
            if len(content) > LARGEST_BYTES:
                return ()
            return msgspec.json.decode(content, type=tuple[Kept, ...])
        except (OSError, msgspec.MsgspecError, ValueError, RecursionError):
            return ()

    def save(self, kept: tuple[Kept, ...]) -> None:
        """The old file or the new one is there after a power cut. Raises SpoolFull."""
        try:
            write_atomically(self._path, msgspec.json.encode(kept))
        except OSError as error:
            raise SpoolFull(f"{self._path}: {error.strerror}", "Free space on this disk (df -h).") from error
