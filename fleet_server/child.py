"""One role as a child of the supervisor: started, looked at, stopped; its whole process group with it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from fleet_server.config import ServerConfig
from fleet_server.processes import child_environment
from fleet_server.ready import INSTANCE_VARIABLE, READY_FILE_VARIABLE, refusal_file
from fleet_server.restarts import Restarts
from fleet_server.roles import SETUP, Role

FIRST_PASSWORD = "LAMPPOST_ADMIN_PASSWORD"  # noqa: S105 - the first administrator's; set-up alone needs it
LOG_KEPT_BYTES = 10 * 1024 * 1024  # a log file over this is put aside as .old at the next start of its role


class Child:
    """`name` is the role's, with a number from the second process of the same role on."""

    def __init__(self, role: Role, number: int, command: Sequence[str], run: Path, log: Path | None) -> None:
        self.role = role
        self.name = role.name if number == 1 else f"{role.name}-{number}"
        self.restarts = Restarts()
        self.ready = False
        self.ever_ready = False
        self.started_s = 0.0
        self._number = number
        self._command = list(command)
        self._ready_file = run / f"{self.name}.ready"
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process and self._process.returncode is None else None

    def start(self) -> None:
        """Call it from the supervisor's main thread only (processes.die_with_parent)."""
        self.ready = False
        self.started_s = time.monotonic()
        self._ready_file.parent.mkdir(parents=True, exist_ok=True)
        self._ready_file.unlink(missing_ok=True)
        refusal_file(self._ready_file).unlink(missing_ok=True)
        told = {READY_FILE_VARIABLE: str(self._ready_file), INSTANCE_VARIABLE: str(self._number)}
        environment = child_environment(**told)
        if self.role is not SETUP:
            environment.pop(FIRST_PASSWORD, None)
        output = None if self._log is None else _open_log(self._log)
        # a session of its own: Ctrl-C reaches the supervisor alone, which stops its children in order
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment,
            start_new_session=True,
        )
        if output is not None:
            os.close(output)

    def exit_status(self) -> int | None:
        """None while it runs, and before it was started. Negative: the signal that killed it."""
        return None if self._process is None else self._process.poll()

    def look(self, config: ServerConfig) -> bool:
        """Is it ready now? Asks the role's probe, or looks whether the role has said so."""
        if not self.ready and self.pid is not None:
            probe = self.role.probe
            self.ready = self._ready_file.exists() if probe is None else probe(config)
            self.ever_ready = self.ever_ready or self.ready
        return self.ready

    def signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)

    def reap(self, timeout_s: float) -> bool:
        """Wait for its end. True when it has ended."""
        if self._process is None:
            return True
        try:
            self._process.wait(max(timeout_s, 0.0))
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill_group(self) -> None:
        """What is left of it, and of what it started."""
        if self._process is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def last_words(self) -> str:
        """Why it refused to start, else the end of its log file, else where to look."""
        with suppress(OSError):
            return refusal_file(self._ready_file).read_text(errors="replace")
        if self._log is None or not self._log.exists():
            return "What it said stands above."  # its lines go where the supervisor's go
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return lines[-1].rpartition(f"{self.role.name}: ")[2] if lines else f"{self._log} is empty."


def _open_log(file: Path) -> int:
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.exists() and file.stat().st_size > LOG_KEPT_BYTES:
        file.replace(file.with_suffix(".old"))
    return os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
