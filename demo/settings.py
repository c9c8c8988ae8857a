"""What a demo run is asked to do: parsed once from the command line, then only read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

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
    """`run_for_s` None means until Ctrl-C. Times without a unit in their name are street time."""

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
    """Check the recording's path before anything is started. Raises WrongArgument."""
    path = Path(file).expanduser().resolve()
    if not path.is_file():
        raise WrongArgument(f"--replay {file}: there is no such file")
    if path.suffix not in {".parquet", ".csv"}:
        raise WrongArgument(f"--replay {file}: give a .parquet or a .csv recording")
    return Replay(path, station)
