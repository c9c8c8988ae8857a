"""One line an event, in both forms."""

from __future__ import annotations

import json
import logging
import sys

from fleet_server.logs import JsonLine, TextLine


def record(message: str, **more: object) -> logging.LogRecord:
    made = logging.LogRecord("lamppost.x", logging.WARNING, __file__, 1, message, (), None)
    made.__dict__.update(more)
    return made


def test_a_line_break_in_a_message_cannot_fake_a_line() -> None:
    line = TextLine("api").format(record("name\n2026-01-01T00:00:00.000Z INFO api: all is well"))
    assert len(line.splitlines()) == 1
    assert "\\n2026" in line


def test_nothing_in_a_line_works_the_terminal_that_shows_it() -> None:
    sent = "\x1b[2J\x9b2J\x07\x85\u2028\x7f\tend"
    made = record(sent)
    try:
        raise ValueError(sent)
    except ValueError:
        made.exc_info = sys.exc_info()
    for line in (TextLine("api").format(made), JsonLine("api").format(made)):
        assert [c for c in line if not c.isprintable() and c != "\n"] == []
        assert "end" in line
    assert json.loads(JsonLine("api").format(made))["message"] == sent


def test_json_has_what_was_given_beside_the_message() -> None:
    line = JsonLine("api").format(record('said "ä"\n', request_id="r-1", status=503))
    assert len(line.splitlines()) == 1
    event = json.loads(line)
    assert event["message"] == 'said "ä"\n'
    assert (event["role"], event["level"], event["request_id"], event["status"]) == (
        "api",
        "warning",
        "r-1",
        503,
    )
    assert event["time"].endswith("Z")


def test_a_traceback_is_part_of_its_event() -> None:
    made = record("failed")
    try:
        raise ValueError("why")
    except ValueError:
        made.exc_info = sys.exc_info()
    assert "ValueError: why" in json.loads(JsonLine("api").format(made))["traceback"]
    lines = TextLine("api").format(made).splitlines()
    assert all(line.startswith("    ") for line in lines[1:])
