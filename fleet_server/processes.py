"""How one process is bound to the life of another, and how many connections it may have."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import threading
import time

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
PARENT_LOOK_S = 1.0  # one system call a second; the signal has come long before
PARENT_VARIABLE = "LAMPPOST_PARENT_PID"


def die_with_parent(death_signal: signal.Signals = signal.SIGTERM) -> None:
    """Have the kernel send `death_signal` when the thread that started this process ends, however it ends.

    For a process whose starter used `child_environment`; a process that a person started is left alone.
    Lost by a change of user, so call it after one. Kept through exec. Where the parent is gone already the
    signal is raised here: the kernel would never send it. Only that check on systems without prctl.
    """
    parent = os.environ.get(PARENT_VARIABLE)
    if parent is None:
        return
    prctl = getattr(ctypes.CDLL(None, use_errno=True), "prctl", None)
    if prctl is not None:
        prctl(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
    if int(parent) != os.getppid():
        signal.raise_signal(death_signal)


def end_after_parent(patience_s: float) -> None:
    """As `die_with_parent` by SIGTERM, and without appeal `patience_s` later, for a program that may hang."""
    die_with_parent(signal.SIGTERM)
    parent = os.environ.get(PARENT_VARIABLE)
    if parent is None:
        return

    def watch() -> None:
        while os.getppid() == int(parent):
            time.sleep(PARENT_LOOK_S)
        time.sleep(patience_s)
        os._exit(1)

    threading.Thread(target=watch, name="end after parent", daemon=True).start()


def child_environment(**more: str) -> dict[str, str]:
    """The environment for a child that is to end with this process."""
    return os.environ | {PARENT_VARIABLE: str(os.getpid())} | more


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


def allow_connections() -> None:
    """As many open files as the system lets us: its usual 1024 let in a thousand lampposts, or one thief with
    a thousand connections, and then nobody."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
