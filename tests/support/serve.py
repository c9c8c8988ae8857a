"""A real `lamppost serve` for tests: on free ports, in a folder of its own, every process of it countable."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support.ports import free_port
from tests.support.waiting import wait_until

READY_S = 120.0  # two busy cores start a database, a broker and four Python programs
STOPPED_S = 60.0
PASSWORD = "correct horse battery"
MARK = "LAMPPOST_TEST_MARK"


def free_ports(count: int) -> list[int]:
    """Different ports that are free now and given to no other test."""
    return [free_port() for _ in range(count)]


def processes_with(mark: str) -> dict[int, str]:
    """pid -> command line of every living process whose environment carries `mark`."""
    found = {}
    wanted = f"{MARK}={mark}".encode()
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                if wanted in (folder / "environ").read_bytes().split(b"\0"):
                    found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
    return {pid: command for pid, command in found.items() if command}


class Serve:
    """`start()`, `wait_ready()`, then `state()`; `stop()` ends it, and fails if anything of it is left."""

    def __init__(self, folder: Path, *, database: str | None = None, more: str = "") -> None:
        self.folder = folder
        self.mark = secrets.token_hex(8)
        self.broker_port, self.api_port, self.device_port, self.ui_port = free_ports(4)
        self.file = folder / "server.toml"
        self.file.write_text(
            f'data_dir = "data"\n[broker]\nport = {self.broker_port}\n'
            "[ingest]\nworkers = 1\n"
            f'[api]\nlisten = "127.0.0.1:{self.api_port}"\ndevice_listen = "127.0.0.1:{self.device_port}"\n'
            f'[ui]\nlisten = "127.0.0.1:{self.ui_port}"\n'
            + (f'[database]\nurl = "{database}"\n' if database else "")
            + more
        )
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.api_port}"

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {MARK: self.mark, "LAMPPOST_ADMIN_PASSWORD": PASSWORD}

    def command(self, *options: str) -> list[str]:
        return [sys.executable, "-m", "lamppost", "serve", "--config", str(self.file), *options]

    def start(self, *options: str) -> None:
        with (self.folder / "serve.log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command(*options), stdout=log, stderr=log, env=self.environment, start_new_session=True
            )

    def run_once(self, *options: str, environment: Mapping[str, str] | None = None) -> tuple[int, str]:
        """Run it to its end. Returns status and everything it said."""
        done = subprocess.run(
            self.command(*options),
            capture_output=True,
            text=True,
            env=self.environment | dict(environment or {}),
            timeout=READY_S,
        )
        return done.returncode, done.stdout + done.stderr

    def said(self) -> str:
        return (self.folder / "serve.log").read_text(errors="replace")

    def state(self) -> dict[str, Any]:
        """serve.json; empty while there is none."""
        try:
            state: dict[str, Any] = json.loads((self.data / "serve.json").read_text())
        except FileNotFoundError:
            return {}
        return state

    def pid_of(self, role: str) -> int:
        pid: int = self.state()["roles"][role]["pid"]
        return pid

    def wait_ready(self) -> None:
        def ready() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, f"it ended with {self.process.returncode}:\n{self.said()}"
            return bool(self.state().get("ready"))

        try:
            wait_until(ready, READY_S, "lamppost serve to be ready")
        except AssertionError as late:
            raise AssertionError(f"{late}\n{self.state()}\n{self.said()[-3000:]}") from None

    def living(self) -> dict[int, str]:
        return processes_with(self.mark)

    def stop(self) -> int:
        """SIGTERM. Returns the exit status; fails when a process is left."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(STOPPED_S)
            wait_until(
                lambda: not self.living(), STOPPED_S, f"no process to be left, there are {self.living()}"
            )
        finally:
            self.kill_all()
        return status

    def kill_all(self) -> None:
        """For the end of a test that failed."""
        for pid in self.living():
            os.kill(pid, signal.SIGKILL)
        if self.process is not None:
            self.process.wait(STOPPED_S)
