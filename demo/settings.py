"""What a demo run is asked to do: parsed once from the command line, then only read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from firmware_bridge.emulator.air import BadPlan
from firmware_bridge.emulator.replay import replay_scene

# What six lampposts, their sensors and the server hold on two cores without missing a street minute.
HISTORY_SPEED = 720.0
UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0}


class WrongArgument(ValueError):
    """The operator's input: what was given, and what is allowed."""


@dataclass(frozen=True)
class Replay:
    """A recording that feeds the emulated sensors instead of the synthetic city."""

    file: Path
    station: str | None


@dataclass(frozen=True)
class DemoSettings:
    """`run_for_s`: wall seconds after the link is back, None until Ctrl-C.

    `history_h` street hours lie before that, drained from the lampposts' disks or (`live_history`) lived at
    `history_speed`. `cadence_s` and `flush_s` are street seconds. `story`: something happens in the city.
    """

    directory: Path
    run_for_s: float | None = None
    report: Path | None = None
    speed: float = 60.0
    posts: int = 6
    history_h: float = 48.0
    cadence_s: float = 60.0
    flush_s: float = 60.0
    seed: int = 1
    replay: Replay | None = None
    story: bool = False
    live_history: bool = False
    history_speed: float = HISTORY_SPEED
    measure_alone: bool = True
    quiet: bool = False
    admin_password: str | None = None


def parse_duration(text: str) -> float:
    """`90s`, `5m`, `2h` or plain seconds -> seconds. Raises WrongArgument."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text.strip().lower())
    if match is None or float(match[1]) <= 0:
        raise WrongArgument(f"{text!r} is not a duration: write for example 90s, 5m or 2h")
    return float(match[1]) * UNITS_S[match[2] or "s"]


def parse_replay(file: str, station: str | None) -> Replay:
    """Check before anything is started that the recording can be read and has the station.

    Raises WrongArgument.
    """
    path = Path(file).expanduser().resolve()
    if not path.is_file():
        raise WrongArgument(f"--replay {file}: there is no such file")
    if path.suffix not in {".parquet", ".csv"}:
        raise WrongArgument(f"--replay {file}: give a .parquet or a .csv recording")
    try:
        replay_scene(str(path), station, 0, None)
    except BadPlan as bad:
        raise WrongArgument(f"--replay {bad}") from None
    return Replay(path, station)
