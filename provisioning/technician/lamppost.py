"""The lamppost's own computer: commands run there, over the system's ssh or on this very machine.

One connection is shared by all commands of a run (OpenSSH, ssh_config(5) ControlMaster), so that a password
is asked for once and a time is not measured with a handshake in it. A host key that is unknown, or another
one, is for ssh and its user to judge: nothing here makes it less strict.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from provisioning.technician.errors import LamppostUnreachable, WrongInput
from provisioning.technician.rules import host_problem, reason, ssh_problem

COMMAND_S = 90.0  # `doctor` reads every sensor, ten of them at five seconds each
CONNECT_S = 15
ALIVE_S, ALIVE_TIMES = 10, 3  # a link that is silent for half a minute is given up
SOCKET_MOST = 60  # characters of a folder for a socket: a path of one has at most 104 (unix(7)), ssh adds 20
SSH_FAILED = 255  # ssh(1): its own status, where the command's could not be had
NOT_FOUND = 127


class Lamppost:
    """A context manager. host "": this machine. program: how `lamppost` is called there.

    sudo: through sudo, as the agent's files need where one is not root.
    """

    def __init__(self, host: str = "", *, program: Sequence[str] = ("lamppost",), sudo: bool = False) -> None:
        problem = host_problem(host) if host else None
        if problem is not None:
            raise WrongInput(f"--ssh {host!r:.80}: {problem}")
        self.host = host
        self._program = [*(("sudo",) if sudo else ()), *program]
        self._sudo = sudo
        folder = tempfile.gettempdir() if len(tempfile.gettempdir()) < SOCKET_MOST else "/tmp"  # noqa: S108
        self._sockets = tempfile.TemporaryDirectory(prefix="lp-ssh-", dir=folder)

    def __enter__(self) -> Lamppost:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.host:
            with_socket = [*self._ssh(), "-O", "exit", self.host]
            subprocess.run(with_socket, capture_output=True, check=False)
        self._sockets.cleanup()

    def run(
        self, command: Sequence[str], given: bytes = b"", *, more_s: float = 0.0
    ) -> subprocess.CompletedProcess[bytes]:
        """Run it there, whatever its status; more_s: what `given` takes on a slow link. Raises
        LamppostUnreachable."""
        line = [*self._ssh(), "--", self.host, shlex.join(command)] if self.host else list(command)
        limit_s = COMMAND_S + more_s
        try:
            done = subprocess.run(line, input=given, capture_output=True, check=False, timeout=limit_s)
        except FileNotFoundError as missing:
            raise LamppostUnreachable(f"{line[0]}: there is no such program here") from missing
        except subprocess.TimeoutExpired as late:
            raise LamppostUnreachable(f"{command[0]} gave no answer within {limit_s:.0f} s") from late
        if self.host and done.returncode == SSH_FAILED:
            raise LamppostUnreachable(*ssh_problem(done.stderr.decode(errors="replace"), self.host))
        return done

    def script(
        self, text: str, given: bytes = b"", *, more_s: float = 0.0
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a shell's script there. Raises LamppostUnreachable."""
        return self.run(["sh", "-c", text], given, more_s=more_s)

    def agent(self, *arguments: str) -> Any:
        """What `lamppost agent ARGUMENTS --json` answers; a status of 1 is an answer too.

        Raises LamppostUnreachable.
        """
        done = self.run([*self._program, "agent", *arguments, "--json"])
        if done.returncode == NOT_FOUND:
            raise LamppostUnreachable("lamppost is not installed there", "Run the bundle's install.sh first")
        try:
            return json.loads(done.stdout)
        except ValueError as garbled:
            told = reason((done.stderr or done.stdout).decode(errors="replace"))
            raise LamppostUnreachable(
                f"`lamppost agent {arguments[0]}` answered {told!r}",
                "" if self._sudo else "Give --sudo where the agent's files are root's",
            ) from garbled

    def clock(self) -> tuple[float, float]:
        """(seconds that it is ahead of this machine's clock, how wrong that may be). Raises as `run`."""
        before = time.time()
        done = self.run(["date", "+%s.%N"])
        after = time.time()
        try:
            there = float(done.stdout)
        except ValueError as garbled:
            raise LamppostUnreachable("its `date` gave no time") from garbled
        return there - (before + after) / 2, (after - before) / 2

    def _ssh(self) -> list[str]:
        socket = str(Path(self._sockets.name) / "c").replace("%", "%%")
        return [
            "ssh",
            "-o", f"ConnectTimeout={CONNECT_S}",
            "-o", "ControlMaster=auto",
            "-o", f"ServerAliveInterval={ALIVE_S}",
            "-o", f"ServerAliveCountMax={ALIVE_TIMES}",
            "-o", f'ControlPath="{socket}"',
            "-o", "ControlPersist=60",
        ]  # fmt: skip
