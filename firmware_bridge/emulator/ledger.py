"""What an emulated unit has really sent, for whoever wants to prove that nothing was lost or invented."""

from __future__ import annotations

import json
import os
from pathlib import Path

from firmware_bridge.emulator.devices import Sample


class Ledger:
    """JSON lines {"n", "wall_ms", "street_ms", "hex", "values"}, one for each measurement frame with values.

    A line is handed to the system in one write, before the frame's bytes are sent: whoever has the frame
    finds its line. Opened again, it goes on counting.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        with path.open("rb") as lines:
            self._count = sum(1 for _ in lines)

    def write(self, frame: bytes, sample: Sample, wall_ms: int) -> None:
        self._count += 1
        line = {
            "n": self._count,
            "wall_ms": wall_ms,
            "street_ms": sample.street_ms,
            "hex": frame.hex(),
            "values": sample.values,
        }
        os.write(self._fd, json.dumps(line, separators=(",", ":")).encode() + b"\n")

    def close(self) -> None:
        os.close(self._fd)
