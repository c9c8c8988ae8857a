"""Log lines: one an event, text for people or JSON for machines, to standard error."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

# what a LogRecord has before anybody adds to it (logging docs, LogRecord attributes)
_ORDINARY = set(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName", "color_message"}


def _time(record: logging.LogRecord) -> str:
    return (
        datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )


class TextLine(logging.Formatter):
    """`time LEVEL role: message`, line breaks in the message escaped; a traceback follows, indented."""

    def __init__(self, role: str) -> None:
        super().__init__()
        self._role = role

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage().replace("\r", "\\r").replace("\n", "\\n")
        line = f"{_time(record)} {record.levelname:<7} {self._role}: {message}"
        if record.exc_info:
            line += "\n    " + self.formatException(record.exc_info).replace("\n", "\n    ")
        return line


class JsonLine(logging.Formatter):
    """One object: time, level, role, logger, message, what was given as `extra`, and the traceback."""

    def __init__(self, role: str) -> None:
        super().__init__()
        self._role = role

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "role": self._role,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {key: value for key, value in record.__dict__.items() if key not in _ORDINARY}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


def set_up_logging(role: str, *, as_json: bool, level: int = logging.INFO) -> None:
    """Send every logger's lines to standard error in one of the two forms."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLine(role) if as_json else TextLine(role))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for talkative in ("alembic", "asyncio", "httpx", "uvicorn", "uvicorn.access"):
        logging.getLogger(talkative).setLevel(max(level, logging.WARNING))
