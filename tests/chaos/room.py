"""A sealed room: namespaces of the runner's own, in which whatever it starts or mounts ends with it.

Processes, mounts, network devices and their queues live in namespaces that the kernel takes away when the
runner is gone, even by kill -9. Where the machine does not allow them the runner goes on outside, without the
faults that need them, and says why.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.chaos.faults import Need

SEALED_VARIABLE = "LAMPPOST_CHAOS_SEALED"
UNSHARE = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--")
PROBE_S = 20.0


@dataclass(frozen=True)
class Allowed:
    """What faults may need: those this machine allows, and of the others why not."""

    needs: frozenset[Need]
    refused: dict[Need, str]
    netem: str  # empty: the kernel has it; else why it is not used


def is_sealed() -> bool:
    return SEALED_VARIABLE in os.environ


def seal(command: Sequence[str]) -> int | str:
    """Run `command` in a sealed room of its own; its exit status, or why there is no such room here.

    A signal to this process is handed to the command; a kill -9 of this process ends all in the room.
    """
    refusal = _try([*UNSHARE, "ip", "link", "set", "lo", "up"])
    if refusal:
        return refusal
    with subprocess.Popen(
        [*UNSHARE, *command], env={**os.environ, SEALED_VARIABLE: "1"}, preexec_fn=_die_with_runner
    ) as outer:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda got, _frame: _hand_on(outer.pid, got))
        return outer.wait()


def move_in() -> None:
    """What a fresh room lacks: its loopback device is down."""
    run_quietly(["ip", "link", "set", "lo", "up"])


def _die_with_runner() -> None:
    import ctypes

    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def _hand_on(outer: int, number: int) -> None:
    """The command is the only child of `unshare`."""
    for pid in Path(f"/proc/{outer}/task/{outer}/children").read_text().split():
        os.kill(int(pid), number)


@cache
def look_around() -> Allowed:
    """Try each thing once; call it inside the room, if there is one."""
    refused: dict[Need, str] = {}
    netem = "there is no sealed room"
    if not is_sealed():
        why = "not in a sealed room"
        refused = {Need.SEALED: why, Need.PACKETS: why, Need.DISK: why}
    else:
        if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
            refused[Need.PACKETS] = "/dev/net/tun cannot be opened"
        if why := _try(["mount", "-t", "tmpfs", "-o", "size=1m", "lamppost-probe", "/mnt"]):
            refused[Need.DISK] = why
        else:
            _try(["umount", "/mnt"])
        netem = _try(["tc", "qdisc", "add", "dev", "lo", "root", "netem", "loss", "0%"])
        if not netem:
            _try(["tc", "qdisc", "del", "dev", "lo", "root"])
    return Allowed(frozenset(Need) - refused.keys(), refused, netem)


def _try(command: Sequence[str]) -> str:
    """Empty where it works, else its last words."""
    try:
        done = subprocess.run(list(command), capture_output=True, text=True, timeout=PROBE_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{command[0]}: {error}"
    if done.returncode == 0:
        return ""
    words = (done.stderr or done.stdout).strip().splitlines()
    return f"{command[0]}: {words[-1] if words else f'status {done.returncode}'}"


@dataclass
class Namespace:
    """A network namespace of its own, as long as a sleeping process holds it."""

    holder: subprocess.Popen[bytes]

    @classmethod
    def make(cls) -> Namespace:
        holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"], preexec_fn=_die_with_runner)
        own = Path("/proc/self/ns/net").readlink()
        deadline = time.monotonic() + PROBE_S
        while True:  # until unshare(1) has done its work
            try:
                if Path(f"/proc/{holder.pid}/ns/net").readlink() != own:
                    return cls(holder)
            except OSError:
                pass
            if holder.poll() is not None or time.monotonic() > deadline:
                raise OSError("a network namespace could not be made")
            time.sleep(0.01)

    @property
    def prefix(self) -> list[str]:
        """Before a command that is to run in it; becomes that command, pid and all."""
        return ["nsenter", f"--net=/proc/{self.holder.pid}/ns/net", "--"]

    def close(self) -> None:
        self.holder.kill()
        self.holder.wait()


def run_quietly(command: Sequence[str]) -> None:
    """Raises OSError with the command's last words."""
    if why := _try(command):
        raise OSError(why)


def here() -> list[str]:
    """The command that this process is, to be run again in the room."""
    return [sys.executable, "-m", "tests.chaos", *sys.argv[1:]]


__all__ = ["Allowed", "Namespace", "here", "is_sealed", "look_around", "move_in", "run_quietly", "seal"]
