"""Keeps to the month's data budget (core/budget.py): counts, remembers, tells, and says what waits."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any, Protocol

from edge_agent.core.budget import DIETS, MEGABYTE, Stage, Usage, counted, stage
from edge_agent.core.sealing import Pace
from edge_agent.loops.board import Board
from edge_agent.ports import Clock
from wire_contract.classes import Class

CODE, SUBJECT = "data_budget", "data"
# A power cut forgets as much at most: the card is written once a megabyte, or once in ten minutes.
SAVE_EACH_BYTES = MEGABYTE
SAVE_EVERY_S = 600.0


class Book(Protocol):
    """What the month took so far, kept over restarts (`io/budget_file.py`)."""

    def load(self) -> Usage: ...
    def save(self, usage: Usage) -> None:
        """Raises OSError."""


class BudgetKeeper:
    """`total`: bytes on the wire since the start. `obey`: told the pace when what it should be changes.

    `budget_mb`, `pace`: as configured; they hold until the settings say something else.

    `look` now and then, from one thread; `paused` is asked by the link at each of its events.
    """

    def __init__(
        self,
        clock: Clock,
        board: Board,
        file: Book,
        total: Callable[[], int],
        obey: Callable[[Pace], None],
        work: Callable[[], None],
        budget_mb: float = 0.0,
        pace: Pace | None = None,
    ) -> None:
        self._clock, self._board, self._file, self._total = clock, board, file, total
        self._obey, self._work = obey, work
        self._lock = threading.Lock()
        self._saved = self._usage = file.load()
        self._saved_s = clock.wire_s()
        self._seen = 0
        self._budget_mb, self._pace = budget_mb, pace
        self._stage = Stage.FREE

    def paused(self) -> frozenset[Class]:
        return DIETS[self._stage].waits

    def limit(self, budget_mb: float) -> None:
        """The setting data.budget_mb."""
        with self._lock:
            self._budget_mb = budget_mb
        self._decide()

    def keep_pace(self, pace: Pace) -> None:
        """What the settings say; it is passed on as slow as the budget wants it."""
        self._pace = pace
        self._obey(self._slowed(pace))

    def look(self) -> None:
        with self._lock:
            total = self._total()
            self._usage = counted(self._usage, total - self._seen, self._clock.now_ms())
            self._seen = total
        self._decide()
        grown = self._usage.bytes - self._saved.bytes
        late = self._clock.wire_s() - self._saved_s >= SAVE_EVERY_S
        if self._usage.month != self._saved.month or grown >= SAVE_EACH_BYTES or (grown and late):
            self.save()

    def save(self) -> None:
        """What cannot be written now is written later: a full disk is told of by the spool."""
        if self._usage != self._saved:
            with suppress(OSError):
                self._file.save(self._usage)
                self._saved, self._saved_s = self._usage, self._clock.wire_s()

    def figures(self) -> dict[str, Any]:
        """For the status file."""
        return {
            "month": self._usage.month,
            "bytes": self._usage.bytes,
            "budget_mb": self._budget_mb,
            "stage": self._stage.value,
        }

    def _decide(self) -> None:
        before, self._stage = self._stage, stage(self._usage, self._budget_mb)
        if self._stage is not Stage.FREE:
            self._board.raise_(CODE, SUBJECT, _words(self._usage, self._budget_mb, self._stage))
        if before is self._stage:
            return
        if self._stage is Stage.FREE:
            self._board.clear(CODE, SUBJECT)
        if self._pace is not None:
            self._obey(self._slowed(self._pace))
        self._work()

    def _slowed(self, pace: Pace) -> Pace:
        return replace(pace, live_s=pace.live_s * DIETS[self._stage].slower)


def _words(usage: Usage, budget_mb: float, now: Stage) -> str:
    waits = ", ".join(sorted(each.name.lower() for each in DIETS[now].waits))
    return f"{usage.megabytes:.0f} of {budget_mb:g} MB in {usage.month}: {waits} wait"
