"""A command on a real pseudo-terminal, answered as a person would."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import time
from collections.abc import Callable, Sequence

PATIENCE_S = 60.0  # a command's start on a busy machine


def talk(
    command: Sequence[str], answers: Sequence[tuple[str, str | Callable[[str], str]]]
) -> tuple[int, str]:
    """Run it, and give each answer once its question stands there. (exit status, all that was seen).

    answers: (what it asks, what is typed, or what makes that of all that was seen).
    """
    child, terminal = pty.fork()
    if child == 0:
        os.execvp(command[0], list(command))
    seen, waiting, read_to = "", list(answers), 0
    deadline = time.monotonic() + PATIENCE_S
    try:
        while time.monotonic() < deadline:
            if waiting and (found := seen.find(waiting[0][0], read_to)) >= 0:
                read_to = found + len(waiting[0][0])
                answer = waiting.pop(0)[1]
                os.write(terminal, ((answer if isinstance(answer, str) else answer(seen)) + "\n").encode())
            if select.select([terminal], [], [], 0.1)[0]:
                try:
                    seen += os.read(terminal, 65536).decode(errors="replace")
                except OSError:  # EIO: nobody has the other end any more
                    break
        else:
            os.kill(child, 9)
    finally:
        with contextlib.suppress(OSError):
            os.close(terminal)
        _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), seen
