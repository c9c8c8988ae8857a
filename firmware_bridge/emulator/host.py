"""Many emulated units on pseudo-terminals, in one process and one loop."""

from __future__ import annotations

import contextlib
import fcntl
import os
import selectors
import struct
import termios
import threading
import time
import tty
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

from firmware_bridge.emulator.air import BadPlan
from firmware_bridge.emulator.unit import Unit
from firmware_bridge.kinds import SPECS

CHUNK_BYTES = 4096
SHORTEST_PAUSE_S = 0.05  # between unasked frames: a client that reads nothing must not keep us busy
_SPEEDS = {9600: termios.B9600, 115200: termios.B115200}
_OUTPUT_SPEED = 5  # index in what tcgetattr returns


@dataclass
class Terminal:
    """One pseudo-terminal. Our side keeps both ends open, so that clients may come and go."""

    master: int
    slave: int

    @classmethod
    def open(cls, baud: int) -> Terminal:
        master, slave = os.openpty()
        os.set_blocking(master, False)
        tty.setraw(slave)
        attributes = termios.tcgetattr(slave)
        attributes[4] = attributes[_OUTPUT_SPEED] = _SPEEDS[baud]
        termios.tcsetattr(slave, termios.TCSANOW, attributes)
        return cls(master, slave)

    @property
    def path(self) -> str:
        return os.ttyname(self.slave)

    def at_speed(self, baud: int) -> bool:
        """Whether the client listens at the device's speed; at any other both hear nonsense."""
        return bool(termios.tcgetattr(self.slave)[_OUTPUT_SPEED] == _SPEEDS[baud])

    def unread(self) -> int:
        """Bytes that the client has not read yet."""
        return int(struct.unpack("i", fcntl.ioctl(self.slave, termios.FIONREAD, b"\0\0\0\0"))[0])

    def close(self) -> None:
        os.close(self.master)
        os.close(self.slave)


@dataclass
class Port:
    """A unit and where it can be reached."""

    unit: Unit
    link: Path | None
    terminal: Terminal | None = None
    replug_at_s: float | None = None  # monotonic


class EmulatorHost:
    """`start()`, then `run()` until `stop()`; the other methods may be called from any thread meanwhile."""

    def __init__(self, units: Mapping[str, tuple[Unit, Path | None]]) -> None:
        self._ports = {name: Port(unit, link) for name, (unit, link) in units.items()}
        self._selector = selectors.DefaultSelector()
        self._jobs: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_write, False)
        self._selector.register(self._wake_read, selectors.EVENT_READ, None)
        self._waking = threading.Lock()  # a number of a closed file may be another file's already
        self._closed = False
        self._running = True

    def start(self) -> dict[str, str]:
        """Make every terminal and link. Returns name -> the path to open. Raises BadPlan."""
        for port in self._ports.values():
            self._plug(port)
        return {name: self.path(name) for name in self._ports}

    def path(self, name: str) -> str:
        """The path at which a unit is opened."""
        port = self._ports[name]
        if port.link is not None:
            return str(port.link)
        return port.terminal.path if port.terminal is not None else ""

    def run(self) -> None:
        """Serve until `stop()`; then take terminals and links away."""
        try:
            while self._running:
                for key, _ in self._selector.select(self._pause_s()):
                    if key.data is None:
                        os.read(self._wake_read, CHUNK_BYTES)
                    else:
                        self._answer(key.data)
                while not self._jobs.empty():
                    self._jobs.get()()
                self._stream_and_replug()
        finally:
            self._close()

    def stop(self) -> None:
        self._running = False
        self._wake()

    def unplug(self, name: str) -> None:
        """The port disappears: an open client meets an error, the link is gone."""
        self._later(lambda: self._unplug(self._ports[name]))

    def replug(self, name: str) -> None:
        """It is back, and has been without power: another terminal behind the same link."""
        self._later(lambda: self._replug(self._ports[name]))

    def power_cycle(self, name: str) -> None:
        """The sensor alone loses power for a moment; the port stays."""
        self._later(lambda: self._ports[name].unit.power_cycle(_wall_ms()))

    def _later(self, job: Callable[[], None]) -> None:
        self._jobs.put(job)
        self._wake()

    def _wake(self) -> None:
        with self._waking, contextlib.suppress(BlockingIOError):  # the pipe is full of wake-ups already
            if not self._closed:
                os.write(self._wake_write, b"!")

    def _answer(self, port: Port) -> None:
        terminal = port.terminal
        if terminal is None:
            return
        data = os.read(terminal.master, CHUNK_BYTES)
        if terminal.at_speed(SPECS[port.unit.kind].baud):
            _send(terminal, port.unit.receive(data, _wall_ms()))
        seconds = port.unit.unplug_s()
        if seconds is not None:
            self._unplug(port)
            port.replug_at_s = time.monotonic() + seconds

    def _pause_s(self) -> float | None:
        wall_ms, now_s = _wall_ms(), time.monotonic()
        pauses = [p.replug_at_s - now_s for p in self._ports.values() if p.replug_at_s is not None]
        for port in self._ports.values():
            pause_s = port.unit.stream_in_s(wall_ms) if port.terminal is not None else None
            if pause_s is not None:
                pauses.append(max(pause_s, SHORTEST_PAUSE_S))
        return max(0.0, min(pauses)) if pauses else None

    def _stream_and_replug(self) -> None:
        wall_ms, now_s = _wall_ms(), time.monotonic()
        for port in self._ports.values():
            terminal = port.terminal
            if terminal is None:
                if port.replug_at_s is not None and now_s >= port.replug_at_s:
                    self._replug(port)
                continue
            pause_s = port.unit.stream_in_s(wall_ms)
            # a frame that the client has not read yet is not followed by another: no ledger line for nobody
            if pause_s is not None and pause_s <= 0 and not terminal.unread():
                data = port.unit.stream(wall_ms)
                if terminal.at_speed(SPECS[port.unit.kind].baud):
                    _send(terminal, data)

    def _plug(self, port: Port) -> None:
        terminal = Terminal.open(SPECS[port.unit.kind].baud)
        if port.link is not None:
            _point(port.link, terminal.path)
        port.terminal, port.replug_at_s = terminal, None
        self._selector.register(terminal.master, selectors.EVENT_READ, port)

    def _unplug(self, port: Port) -> None:
        terminal, port.terminal = port.terminal, None
        if terminal is None:
            return
        if port.link is not None:
            port.link.unlink(missing_ok=True)
        self._selector.unregister(terminal.master)
        terminal.close()

    def _replug(self, port: Port) -> None:
        if port.terminal is None:
            self._plug(port)
            port.unit.power_cycle(_wall_ms())

    def _close(self) -> None:
        for port in self._ports.values():
            self._unplug(port)
            port.unit.close()
        self._selector.close()
        with self._waking:
            self._closed = True
            os.close(self._wake_read)
            os.close(self._wake_write)


def _send(terminal: Terminal, data: bytes) -> None:
    with contextlib.suppress(BlockingIOError):  # nobody reads: lost, as on a wire
        if data:
            os.write(terminal.master, data)


def _wall_ms() -> float:
    return time.time() * 1000


def _point(link: Path, target: str) -> None:
    """Make `link` a symbolic link to the terminal, whatever link was there. Raises BadPlan."""
    if link.exists() and not link.is_symlink():
        raise BadPlan(f"link {link}: something that is no symbolic link is there already")
    try:
        link.parent.mkdir(parents=True, exist_ok=True)
        fresh = link.with_name(f".{link.name}.{os.getpid()}")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(target)
        fresh.replace(link)
    except OSError as error:
        raise BadPlan(f"link {link}: cannot be made ({error.strerror})") from error
