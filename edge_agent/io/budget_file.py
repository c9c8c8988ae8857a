"""data_dir/data_used.json: what has gone over the wire this month, kept over restarts."""

from __future__ import annotations

from pathlib import Path

import msgspec

from edge_agent.core.budget import Usage
from edge_agent.io.files import write_atomically


class BudgetFile:
    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> Usage:
        """What was kept; nothing where there is none, or none that can be read."""
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Usage)
        except (OSError, msgspec.MsgspecError):
            return Usage()

    def save(self, usage: Usage) -> None:
        """Raises OSError."""
        write_atomically(self._path, msgspec.json.encode(usage))
