"""data_dir/twin.json: what the server set, kept over restarts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from edge_agent.core.twin import Twin, Wish
from edge_agent.errors import SpoolFull
from edge_agent.io.files import write_atomically
from wire_contract.settings import OK


class TwinFile:
    """`now_ms`: the street clock. A file that is lost, or an older one that was put back, begins with a
    version above all that were told."""

    def __init__(self, path: Path, now_ms: Callable[[], int]) -> None:
        self._path, self._now_ms = path, now_ms

    def load(self) -> Twin:
        """What was kept; a new twin where there is none, or none that can be read: the server has it all."""
        try:
            said = self._path.read_bytes()
            kept = msgspec.json.decode(said, type=Twin)
            kept = kept if kept.wishes else _of_the_first_version(kept, msgspec.json.decode(said))
        except (OSError, msgspec.MsgspecError):
            kept = Twin()
        return replace(kept, version=max(kept.version, self._now_ms()))

    def save(self, twin: Twin) -> None:
        """On the disk when this returns. Raises SpoolFull."""
        try:
            write_atomically(self._path, msgspec.json.encode(twin))
        except OSError as error:
            raise SpoolFull(f"{self._path}: {error.strerror}", "Free space on this disk (df -h).") from error


def _of_the_first_version(kept: Twin, said: Any) -> Twin:
    """Agents that knew one setting wrote it as `flush_s`."""
    flush_s = said.get("flush_s")
    if not isinstance(flush_s, int | float):
        return kept
    wish = Wish(float(flush_s), OK, kept.acknowledged)
    return replace(kept, wishes={"telemetry.flush_interval_s": wish})
