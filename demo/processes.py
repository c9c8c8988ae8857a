"""Child processes that cannot outlive the demo, and a keeper that restarts them as systemd would."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

PR_SET_PDEATHSIG = 1  # linux/prctl.h: the kernel signals the child when its parent dies, kill -9 included
RESTART_AFTER_S = 1.0  # systemd's RestartSec in the shipped unit
_LIBC = ctypes.CDLL(None, use_errno=True)


def lamppost(*args: str) -> list[str]:
    """The command line of `lamppost ARGS` in this very environment."""
    return [sys.executable, "-m", "lamppost", *args]


def die_with_parent() -> None:
    """Runs in the child between fork and exec."""
    _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


@dataclass
class Child:
    """One real process with its log file. `keep` restarts it whenever it ends unasked."""

    name: str
    command: Sequence[str]
    log: Path
    keep: bool = False
    environment: dict[str, str] = field(default_factory=dict)
    restarts: int = 0
    _process: subprocess.Popen[bytes] | None = None
    _keeper: threading.Thread | None = None
    _stopping: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        """Start the process, and its keeper where it has one."""
        self._stopping.clear()
        self._spawn()
        if self.keep:
            self._keeper = threading.Thread(target=self._keep_alive, name=f"keep {self.name}", daemon=True)
            self._keeper.start()

    def _spawn(self) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            # A session of its own: Ctrl-C reaches the demo alone, which then stops its children in order.
            self._process = subprocess.Popen(
                list(self.command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.environment},
                preexec_fn=die_with_parent,
                start_new_session=True,
            )

    def _keep_alive(self) -> None:
        while not self._stopping.is_set():
            assert self._process is not None
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=0.5)
                if self._stopping.wait(RESTART_AFTER_S):
                    return
                self.restarts += 1
                self._spawn()

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} was not started"
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def status(self) -> int | None:
        """The exit status, or None while it runs."""
        return None if self._process is None else self._process.poll()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, kill -9 included; a process that is already gone is no error."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    def wait(self, timeout_s: float) -> int:
        """The exit status; raises subprocess.TimeoutExpired."""
        assert self._process is not None
        return self._process.wait(timeout_s)

    def stop(self, patience_s: float = 10.0) -> None:
        """SIGTERM, then SIGKILL to its whole session when it does not listen."""
        self._stopping.set()
        if self._keeper is not None:
            self._keeper.join(timeout=RESTART_AFTER_S + 1)
        if self._process is None:
            return
        self.signal(signal.SIGTERM)
        try:
            self._process.wait(patience_s)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def tail(self, lines: int = 15) -> str:
        """The end of its log, for an error message."""
        if not self.log.exists():
            return "(it wrote nothing)"
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


def run_all(children: Sequence[Child], together: int, timeout_s: float) -> list[Child]:
    """Run one-shot children, `together` at a time; returns those that failed or were still running."""
    deadline = time.monotonic() + timeout_s
    waiting, running, failed = list(children), [], []  # type: list[Child], list[Child], list[Child]
    while waiting or running:
        while waiting and len(running) < together:
            running.append(waiting.pop(0))
            running[-1].start()
        for child in [c for c in running if c.status is not None]:
            running.remove(child)
            if child.status != 0:
                failed.append(child)
        if time.monotonic() > deadline:
            for child in running:
                child.stop(1.0)
            return [*failed, *running, *waiting]
        time.sleep(0.02)
    return failed
