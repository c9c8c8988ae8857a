"""A modem's strength, asked of ModemManager through its own tool, which only looks: nothing is set up.

The tool is another's program on the way to another's service: it has a few seconds, it is read up to a bound,
and whatever it prints is data. It runs without a shell, in a process group of its own, which ends with it.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import replace

from edge_agent.core import radio
from wire_contract.radio import Way

PROGRAM = "mmcli"
ASK_S = 6.0  # for all questions together; ModemManager answers from what it holds, in milliseconds
ANSWER_MOST_BYTES = 64 * 1024  # of a modem with every band there is: 6 KB
_PIECE_BYTES = 16 * 1024


def look(way: Way, program: str = PROGRAM, ask_s: float = ASK_S) -> Way:
    """`way`, with what ModemManager knows of the modem that it goes over; as it is where that is no modem's,
    where there is no ModemManager, and where its tool hangs, floods or is not understood."""
    deadline_s = time.monotonic() + ask_s

    def ask(*arguments: str) -> bytes:
        return answer((program, *arguments, "-J"), deadline_s)

    numbers = radio.modem_numbers(ask("-L"))
    modems = [radio.modem(number, ask("-m", number)) for number in numbers]
    found = radio.modem_of(way, [each for each in modems if each is not None])
    if found is None:
        return way
    power = radio.rsrp(ask("-m", found.number, "--signal-get")) if found.has_rsrp else None
    return replace(way, dbm=power, percent=found.percent, technology=found.technology)


def answer(command: tuple[str, ...], deadline_s: float) -> bytes:
    """What it wrote to its standard output; b"" where it failed, wrote too much or had not ended in time.

    deadline_s: of time.monotonic().
    """
    if time.monotonic() >= deadline_s:
        return b""
    try:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            start_new_session=True, env={**os.environ, "LC_ALL": "C"},
        )  # fmt: skip
    except OSError:  # there is none, or it cannot be started
        return b""
    try:
        told = _read(child, deadline_s)
        child.wait(max(deadline_s - time.monotonic(), 0.0))
        return told if child.returncode == 0 else b""
    except subprocess.TimeoutExpired:
        return b""
    finally:
        _end(child)


def _read(child: subprocess.Popen[bytes], deadline_s: float) -> bytes:
    """Up to its end. Raises subprocess.TimeoutExpired where that is not there in time, or in bounds."""
    assert child.stdout is not None  # it was asked for
    told = b""
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        while selector.select(max(deadline_s - time.monotonic(), 0.0)):
            piece = os.read(child.stdout.fileno(), _PIECE_BYTES)
            if not piece:
                return told
            told += piece
            if len(told) > ANSWER_MOST_BYTES:
                break
    raise subprocess.TimeoutExpired(child.args, deadline_s)


def _end(child: subprocess.Popen[bytes]) -> None:
    """It and what it started. One that cannot be killed now (a disk that hangs) is left to the system."""
    if child.returncode is None:  # nobody else can have its number yet
        with suppress(OSError):
            os.killpg(child.pid, signal.SIGKILL)
    if child.stdout is not None:
        child.stdout.close()
    with suppress(subprocess.TimeoutExpired):
        child.wait(1.0)
