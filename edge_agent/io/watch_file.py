"""data_dir/watching.json: what is known of each sensor unit's day, kept over restarts."""

from __future__ import annotations

from pathlib import Path

import msgspec

from edge_agent.core.post import Kept
from edge_agent.errors import SpoolFull
from edge_agent.io.files import write_atomically


class WatchFile:
    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> tuple[Kept, ...]:
        """What was kept; nothing where there is no file, or none that can be read: a day fills it again."""
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=tuple[Kept, ...])
        except (OSError, msgspec.MsgspecError):
            return ()

    def save(self, kept: tuple[Kept, ...]) -> None:
        """The old file or the new one is there after a power cut. Raises SpoolFull."""
        try:
            write_atomically(self._path, msgspec.json.encode(kept))
        except OSError as error:
            raise SpoolFull(f"{self._path}: {error.strerror}", "Free space on this disk (df -h).") from error
