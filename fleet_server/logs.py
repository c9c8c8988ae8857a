"""Log lines: one an event, text for people or JSON for machines, to standard error."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

# what a LogRecord has before anybody adds to it (logging docs, LogRecord attributes)
_ORDINARY = set(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName", "color_message"}
# Messages hold what strangers sent. Line breaks would fake a line, control characters (C0 and C1: ESC, CSI)
# work the terminal of whoever reads it. Shown as Python and JSON write them.
_BREAKS = {0x2028: "\\u2028", 0x2029: "\\u2029"}
_CONTROLS = {c: f"\\x{c:02x}" for c in (*range(0x20), *range(0x7F, 0xA0))} | _BREAKS
_SHOWN = _CONTROLS | {0x09: "\\t", 0x0A: "\\n", 0x0D: "\\r"}
_IN_TRACEBACK = _CONTROLS | {0x0A: "\n    "}
_IN_JSON = {c: f"\\u{c:04x}" for c in range(0x7F, 0xA0)} | _BREAKS


def _time(record: logging.LogRecord) -> str:
    return (
        datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )


class TextLine(logging.Formatter):
    """`time LEVEL role: message`, control characters in it escaped; a traceback follows, indented."""

    def __init__(self, role: str) -> None:
        super().__init__()
        self._role = role

    def format(self, record: logging.LogRecord) -> str:
        line = f"{_time(record)} {record.levelname:<7} {self._role}: {record.getMessage().translate(_SHOWN)}"
        if record.exc_info:
            line += "\n    " + self.formatException(record.exc_info).translate(_IN_TRACEBACK)
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
        return json.dumps(line, default=str, ensure_ascii=False).translate(_IN_JSON)


def set_up_logging(role: str, *, as_json: bool, level: int = logging.INFO) -> None:
    """Send every logger's lines to standard error in one of the two forms."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLine(role) if as_json else TextLine(role))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for talkative in ("alembic", "asyncio", "httpx", "uvicorn", "uvicorn.access"):
        logging.getLogger(talkative).setLevel(max(level, logging.WARNING))
