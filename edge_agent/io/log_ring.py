"""The agent's last log lines, in memory: no flash is worn, and nothing of an earlier process is told."""

from __future__ import annotations

import logging
from collections import deque
from datetime import UTC, datetime

LINES_MOST = 2_000
LINE_MOST_CHARACTERS = 2_000  # with LINES_MOST 4 MB at most; an ordinary log is 200 kB


class LogRing(logging.Handler):
    """Give it to a logger; `last` is for any thread."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self._lines: deque[str] = deque(maxlen=LINES_MOST)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record)
        except (TypeError, ValueError):  # a log call of ours with wrong arguments
            text = str(record.msg)
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="seconds")
        self._lines.append(f"{at} {record.levelname} {text}"[:LINE_MOST_CHARACTERS])

    def last(self, lines: int) -> str:
        """The newest lines, oldest first."""
        return "\n".join(list(self._lines)[-lines:]) + "\n"
