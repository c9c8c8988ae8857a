"""The street's clock of all simulated lampposts: the wall's, or a scaled one as the demo's."""

from __future__ import annotations

import json
from pathlib import Path

from edge_agent.io.clocks import ScaledClock
from simulator.settings import WrongArgument


class CityClock(ScaledClock):
    """Thousands ask it: the boot's id is read once."""

    def __init__(
        self, speed: float, street_zero_ms: int, wall_zero_ms: int, then: ScaledClock | None = None
    ) -> None:
        super().__init__(speed, street_zero_ms, wall_zero_ms, then)
        self._boot_id = super().boot()

    def boot(self) -> str:
        return self._boot_id


def check_file(file: Path) -> None:
    """Raises WrongArgument where it is no clock file."""
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
        float(told["speed"]), int(told["street_zero_ms"]), int(told["wall_zero_ms"])
    except (OSError, ValueError, KeyError, TypeError):
        raise WrongArgument(
            f"--clock {file}: give a demo's clock.json, with speed, street_zero_ms and wall_zero_ms"
        ) from None
