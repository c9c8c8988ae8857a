"""What a command that takes long says of itself, on stderr: nothing in its first two seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

SILENT_S = 2.0  # what is over by then needs no words
EVERY_S = 1.0


class Progress:
    """`told(words)` may be called as often as one likes; `every_s` apart one of them is shown.

    On a terminal the line is written over, elsewhere (a log, a mail of cron) each is a line of its own.
    """

    def __init__(
        self,
        shown: TextIO | None = None,
        *,
        quiet: bool = False,
        now_s: Callable[[], float] = time.monotonic,
        every_s: float = EVERY_S,
    ) -> None:
        self._shown = sys.stderr if shown is None else shown
        self._quiet = quiet
        self._now_s = now_s
        self._every_s = every_s
        self._due_s = now_s() + SILENT_S
        self._width = 0

    def told(self, words: str) -> None:
        now_s = self._now_s()
        if self._quiet or now_s < self._due_s:
            return
        self._due_s = now_s + self._every_s
        if self._shown.isatty():
            print(f"\r{words:<{self._width}}", end="", file=self._shown, flush=True)
            self._width = len(words)
        else:
            print(words, file=self._shown, flush=True)

    def done(self) -> None:
        """Nothing more is to come: the terminal's line is ended."""
        if self._width:
            print(file=self._shown, flush=True)
            self._width = 0


def size(number: float) -> str:
    """Bytes for people: `1.5 GB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"
