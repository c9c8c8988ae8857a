"""status.json on the disk: for `lamppost agent status`, and for whoever looks in with an editor."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge_agent.errors import SpoolError
from edge_agent.io.files import write_atomically


class StatusFile:
    """Writes the status when it changed; not durable: after a power cut a new one comes at once."""

    def __init__(self, path: Path, build: Callable[[], dict[str, Any]]) -> None:
        self._path, self._build = path, build

    def write(self) -> None:
        try:
            content = json.dumps(self._build(), indent=1).encode()
            write_atomically(self._path, content, durable=False)
        except (OSError, SpoolError):
            return  # a full disk: the conditions on the wire say so
