"""The kernel's own bad weather, `tc qdisc … netem` (tc-netem(8)), on the two devices of a packet line."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence

from tests.chaos.room import run_quietly
from tests.chaos.weather import Weather

REORDER_DELAY_MS = 30  # netem's reordering needs a delay that the chosen packets do not have


def arguments(weather: Weather) -> list[str]:
    """netem's words for the packets' part of the weather; empty where there is none."""
    words: list[str] = []
    if weather.overtaken:
        words += ["delay", f"{REORDER_DELAY_MS}ms", "reorder", _percent(1 - weather.overtaken)]
    if weather.loss:
        words += ["loss", _percent(weather.loss)]
    if weather.twice:
        words += ["duplicate", _percent(weather.twice)]
    if weather.damaged:
        words += ["corrupt", _percent(weather.damaged)]
    return words


def command(device: str, weather: Weather) -> list[str]:
    """Sets the weather of what leaves through `device`."""
    words = arguments(weather)
    if not words:
        return ["tc", "qdisc", "replace", "dev", device, "root", "pfifo_fast"]
    return ["tc", "qdisc", "replace", "dev", device, "root", "netem", *words]


def change(prefix: Sequence[str], device: str, weather: Weather) -> None:
    """`prefix`: the words that run a command in the device's namespace. Raises OSError."""
    run_quietly([*prefix, *command(device, weather)])


def dropped(prefix: Sequence[str], device: str) -> int:
    """Packets that the device's queue has dropped, by its own counter."""
    told = subprocess.run(
        [*prefix, "tc", "-s", "-j", "qdisc", "show", "dev", device],
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        return sum(int(queue.get("drops", 0)) for queue in json.loads(told.stdout or "[]"))
    except ValueError:
        return 0


def _percent(share: float) -> str:
    return f"{share * 100:g}%"
