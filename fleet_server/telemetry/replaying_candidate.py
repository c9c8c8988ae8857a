"""A rule or a model put to a stretch that was: fed to the lamppost's own deciding code, in its own process.

What a verdict means (a minute's mean, a window, an episode's table) is decided on the lamppost, by code that
the server does not import. So the stream goes through a pipe to `edge_agent.io.judge_stream`, and verdicts
come back.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import IO, Any

from psycopg import Connection

from fleet_server.errors import ConfigurationError
from fleet_server.processes import child_environment
from fleet_server.telemetry.replaying import Stretch
from fleet_server.telemetry.replaying_compare import Word
from fleet_server.telemetry.replaying_formats import Line

JUDGE = "edge_agent.io.judge_stream"

_STORED = """
SELECT d.tenant || '/' || d.name, v.sensor_unit, (extract(epoch FROM v.time) * 1000)::bigint, v.kind, v.score,
       v.reason, v.model
FROM verdict v JOIN device d ON d.id = v.device_id
WHERE v.sensor_unit = ANY(%s) AND v.time >= %s AND v.time < %s ORDER BY v.time, v.id
"""


@dataclass
class Trial:
    """What a candidate said. who: its name, as verdicts tell it."""

    who: str = ""
    words: list[Word] = field(default_factory=list)
    samples: int = 0


def judge(
    named: str, lines: Iterable[Line], begins: datetime, said: Callable[[Word], None] = lambda _: None
) -> Trial:
    """Put `rule` or a model's folder to these lines. Words from before `begins` (it warms up) are left out.

    said: hears each word as it comes, on another thread. Raises ConfigurationError where the candidate cannot
    be used.
    """
    trial = Trial()
    begins_ms = int(begins.timestamp() * 1000)
    unheard: list[BrokenPipeError] = []

    def hear(out: Iterable[str]) -> None:
        for text in out:
            told = json.loads(text)
            if told["type"] == "decides":
                trial.who = told["who"]
            elif told["time_ms"] >= begins_ms:
                trial.words.append(_word(told))
                try:
                    said(trial.words[-1])
                except BrokenPipeError as gone:  # nobody reads our output any more
                    unheard.append(gone)
                    return

    with tempfile.TemporaryFile("w+") as complaints:
        running = _start(named, complaints)
        assert running.stdin is not None
        hearing = threading.Thread(target=hear, args=(running.stdout,), daemon=True)
        hearing.start()
        try:
            for line in lines:
                if unheard:
                    break
                running.stdin.write(line.text)
                trial.samples += line.samples
        except BrokenPipeError:
            pass  # it has ended, and says why
        except BaseException:
            running.kill()
            raise
        finally:
            status = _end(running, hearing)
        if unheard:
            raise unheard[0]
        if status != 0:
            complaints.seek(0)
            words = complaints.read().strip().splitlines() or [f"it ended with {status}"]
            raise ConfigurationError(f"The candidate {named} cannot be tried: {words[-1]}")
    return trial


def _start(named: str, complaints: IO[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", JUDGE, named],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=complaints,
        text=True,
        env=child_environment(),
        start_new_session=True,  # Ctrl-C is for us: we end it, and say what came of it
    )


def _end(running: subprocess.Popen[str], hearing: threading.Thread) -> int:
    """Its exit status, once all it said was heard."""
    assert running.stdin is not None
    assert running.stdout is not None
    with suppress(BrokenPipeError):
        running.stdin.close()
    hearing.join()
    running.stdout.close()  # where nobody hears it any more, it ends by this
    return running.wait()


def _word(told: dict[str, Any]) -> Word:
    return Word(
        told["device"],
        told["unit"],
        told["time_ms"],
        told["kind"],
        told["score"],
        told["reason"],
        told["model"],
    )


def stored_words(connection: Connection[Any], of: Stretch) -> list[Word]:
    """What the lampposts said in that stretch."""
    units = [unit.id for unit in of.units]
    return [Word(*row) for row in connection.execute(_STORED, (units, of.begins, of.ends))]


def at(time_ms: int) -> str:
    """`2026-11-20 12:00 UTC`."""
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"
