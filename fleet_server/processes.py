"""How one process is bound to the life of another."""

from __future__ import annotations

import ctypes
import os
import signal

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
PARENT_VARIABLE = "LAMPPOST_PARENT_PID"


def die_with_parent(death_signal: signal.Signals = signal.SIGTERM) -> None:
    """Have the kernel send `death_signal` when the thread that started this process ends, however it ends.

    Lost by a change of user, so call it after one. Kept through exec. Where the parent named itself in
    LAMPPOST_PARENT_PID and is gone already, the signal is raised here: the kernel would never send it.
    Does nothing but that check on systems without prctl.
    """
    prctl = getattr(ctypes.CDLL(None, use_errno=True), "prctl", None)
    if prctl is not None:
        prctl(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
    expected = os.environ.get(PARENT_VARIABLE)
    if expected is not None and int(expected) != os.getppid():
        signal.raise_signal(death_signal)


def child_environment() -> dict[str, str]:
    """The environment for a child that will call `die_with_parent`."""
    return os.environ | {PARENT_VARIABLE: str(os.getpid())}


def is_alive(pid: int) -> bool:
    """Is there a process `pid` that is not a zombie? Another user's counts as well."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return _state(pid) != "Z"


def _state(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:  # noqa: PTH123
            return stat.read().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return ""


def command_of(pid: int) -> list[str]:
    """The command line of `pid`, empty where it is gone or not told."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as line:  # noqa: PTH123
            return [part.decode(errors="replace") for part in line.read().split(b"\0") if part]
    except OSError:
        return []
