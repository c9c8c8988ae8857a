"""The embedded PostgreSQL as a child of this process: started, waited for, revived, stopped."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import psycopg

from fleet_server.embedded import running_pid, url_of
from fleet_server.errors import ConfigurationError, DatabaseUnreachable, HardwareError
from fleet_server.processes import child_environment

START_TIMEOUT_S = (
    60.0  # initdb takes a second, recovery after a kill as long as a checkpoint interval has written
)
STOP_TIMEOUT_S = 20.0  # a fast shutdown writes one checkpoint
POLL_S = 0.05
REFUSED = 2  # exit status of fleet_server.embedded when the folder cannot be used


def answers(url: str) -> bool:
    """Does a PostgreSQL at `url` take a connection now?"""
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


class EmbeddedServer:
    """One PostgreSQL on `directory`. Use as a context manager, or call `start` and `stop`.

    Not thread-safe; start it from a thread that lives as long as it should (processes.die_with_parent).
    """

    def __init__(
        self, directory: Path, settings: Mapping[str, str] | None = None, log: Path | None = None
    ) -> None:
        self.directory = directory.absolute()
        self._settings = dict(settings or {})
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The postmaster, or None where it does not run."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def url(self, database: str | None = None) -> str:
        return url_of(self.directory) if database is None else url_of(self.directory, database)

    def start(self) -> None:
        """Start it and wait until it answers; nothing where it runs already.

        Raises ConfigurationError (the folder cannot be used), HardwareError, DatabaseUnreachable (time-out).
        """
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            if self.pid is None:
                self._check_refusal()
                self._launch()
            if answers(self.url()):
                return
            if time.monotonic() > deadline:
                self.stop()
                raise DatabaseUnreachable(
                    f"PostgreSQL on {self.directory} did not start: {self._last_words()}"
                )
            time.sleep(POLL_S)

    def ensure_running(self) -> bool:
        """Start it again if it has died. True where that was needed."""
        if self.pid is not None:
            return False
        self.start()
        return True

    def stop(self) -> None:
        """Fast shutdown: clients are cut, a checkpoint is written. Killed if that takes too long."""
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGINT)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def __enter__(self) -> EmbeddedServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _launch(self) -> None:
        command = [sys.executable, "-m", "fleet_server.embedded", str(self.directory)]
        command += [f"{name}={value}" for name, value in self._settings.items()]
        self.directory.parent.mkdir(parents=True, exist_ok=True)
        log = self._log or self.directory.with_name(self.directory.name + ".log")
        with log.open("ab") as output:
            self._log = log
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=child_environment()
            )

    def _check_refusal(self) -> None:
        """Raise what the last launch was refused for; a start that crashed is tried again instead."""
        process, self._process = self._process, None
        if process is None or process.poll() != REFUSED:
            return
        if running_pid(self.directory):
            raise ConfigurationError(f"A PostgreSQL runs on {self.directory} already.")
        words = self._last_words()
        raise HardwareError(words) if "could not be set up" in words else ConfigurationError(words)

    def _last_words(self) -> str:
        if self._log is None or not self._log.exists():
            return "it said nothing"
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return lines[-1].removeprefix("lamppost: ") if lines else "it said nothing"
