"""A model that takes the whole process down when it is loaded is tried twice, not for ever.

A runtime is native code: no exception comes from a crash there, the agent is simply started again. So the try
is noted on the disk before, and the note is taken away after.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from edge_agent.errors import ModelRefused
from edge_agent.io.files import write_atomically
from edge_agent.ports import Model

TRIES = 2  # a power cut may fall into the tenth of a second that loading takes, hardly twice


class ModelTrial:
    """`note`: the file; `subject`: the model's manifest. Another one is tried anew."""

    def __init__(self, note: Path, subject: Path) -> None:
        self._note, self._subject = note, subject

    def load(self, load: Callable[[], Model | None]) -> Model | None:
        """What `load` gives or raises; ModelRefused without trying where it never came back TRIES times."""
        which, tries = self._which(), self._tries()
        if tries >= TRIES:
            detail = f"the agent died {tries} times while it loaded the model {self._subject.parent}"
            remedy = f"Put another model there or another version of the runtime, then delete {self._note}."
            raise ModelRefused(detail, remedy)
        with suppress(OSError):  # a full disk: one more try is not counted
            write_atomically(self._note, f"{tries + 1} {which}".encode())
        try:
            return load()
        finally:
            with suppress(OSError):
                self._note.unlink()

    def _which(self) -> str:
        try:
            about = self._subject.stat()
        except OSError:
            return "none"
        return f"{about.st_ino} {about.st_mtime_ns} {about.st_size}"

    def _tries(self) -> int:
        try:
            count, _, which = self._note.read_text().partition(" ")
            return int(count) if which == self._which() else 0
        except (OSError, ValueError):
            return 0
