"""data_dir/twin.json: what the server set, kept over restarts."""

from __future__ import annotations

from pathlib import Path

import msgspec

from edge_agent.core.twin import Twin
from edge_agent.errors import SpoolFull
from edge_agent.io.files import write_atomically


class TwinFile:
    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> Twin:
        """What was kept; a new twin where there is none, or none that can be read."""
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Twin)
        except (OSError, msgspec.MsgspecError):
            return Twin()

    def save(self, twin: Twin) -> None:
        """On the disk when this returns. Raises SpoolFull."""
        try:
            write_atomically(self._path, msgspec.json.encode(twin))
        except OSError as error:
            raise SpoolFull(f"{self._path}: {error.strerror}", "Free space on this disk (df -h).") from error
