"""How a role tells its supervisor that it does its work now."""

from __future__ import annotations

import os
from pathlib import Path

READY_FILE_VARIABLE = "LAMPPOST_READY_FILE"
INSTANCE_VARIABLE = "LAMPPOST_INSTANCE"


def notify_ready() -> None:
    """Say once that this role works: an ingest role, for example, when it is subscribed.

    Nothing where nobody asked, as in a role that a person started.
    """
    asked = os.environ.get(READY_FILE_VARIABLE)
    if asked:
        Path(asked).write_text(f"{os.getpid()}\n")


def notify_refused(why: str) -> None:
    """Say why this role does not start, and need not be tried again. Nothing where nobody asked."""
    asked = os.environ.get(READY_FILE_VARIABLE)
    if asked:
        refusal_file(Path(asked)).write_text(why)


def refusal_file(ready_file: Path) -> Path:
    """Beside the file that says that it works."""
    return ready_file.with_suffix(".refused")


def instance() -> int:
    """Which of several processes of the same role this is, from 1: part of names that must differ."""
    return int(os.environ.get(INSTANCE_VARIABLE, "1"))
