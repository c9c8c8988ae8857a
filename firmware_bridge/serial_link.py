"""A serial port as bytes: opened for us alone, waited on without polling, its failures named.

pyserial opens and configures the port; reading goes straight to its file descriptor, because a reading is
one wait and one read then, whatever the frame's length (the agent's bar is 1 % of a core for three sensors).
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import time
from pathlib import Path

import serial

from firmware_bridge.errors import SensorAbsent, SensorBusy, SensorError, SensorForbidden, SensorGone

CHUNK_BYTES = 4096  # a terminal's whole input queue on Linux
WRITE_TIMEOUT_S = 1.0  # a command is at most 19 bytes, 20 ms at 9600 baud
_FORBIDDEN = (errno.EACCES, errno.EPERM)
_BUSY = (errno.EBUSY, errno.EAGAIN)
_ABSENT = (errno.ENOENT, errno.ENXIO, errno.ENODEV, errno.EIO)


def existing_ports() -> list[str]:
    """The serial ports of this machine, those with a lasting name (by-id) under that name."""
    from serial.tools import list_ports

    lasting = {}
    for link in sorted(Path("/dev/serial/by-id").glob("*")):
        lasting[str(link.resolve())] = str(link)
    return sorted(
        lasting.get(str(Path(port.device).resolve()), port.device) for port in list_ports.comports()
    )


class SerialLink:
    """One port. Errors: SensorAbsent, SensorForbidden, SensorBusy on open; SensorGone afterwards."""

    def __init__(self, port: str, baud: int) -> None:
        self.port = port
        self._baud = baud
        self._serial: serial.Serial | None = None
        self._fd = -1
        self._poll: select.poll | None = None

    def open(self) -> None:
        self.close()
        try:
            self._serial = serial.Serial(self.port, self._baud, timeout=0, exclusive=True)
        except (serial.SerialException, OSError, ValueError) as error:
            raise self._open_error(error) from error
        self._fd = self._serial.fileno()
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLIN)

    def close(self) -> None:
        link, self._serial, self._fd, self._poll = self._serial, None, -1, None
        if link is not None:
            # an unplugged port may refuse even this, and is closed all the same
            with contextlib.suppress(serial.SerialException, OSError):
                link.close()

    def write(self, data: bytes) -> None:
        """Send all of it. Raises SensorGone."""
        deadline = time.monotonic() + WRITE_TIMEOUT_S
        left = memoryview(data)
        while left:
            try:
                left = left[os.write(self._open_fd(), left) :]
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise SensorGone(self.port, "takes no bytes any more") from None
                select.select([], [self._fd], [], WRITE_TIMEOUT_S)
            except OSError as error:
                raise self._gone(error) from error

    def wait(self, timeout_s: float) -> bytes:
        """The first bytes that arrive within the time, or none. Raises SensorGone."""
        poll = self._poll
        if poll is None:
            raise SensorGone(self.port, "is not open")
        if not poll.poll(max(0.0, timeout_s) * 1000):
            return b""
        try:
            data = os.read(self._fd, CHUNK_BYTES)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise self._gone(error) from error
        if not data:  # ready to read, and nothing there: the other end is gone
            raise SensorGone(self.port, "unplugged")
        return data

    def drain(self) -> bytes:
        """What has arrived until now, without waiting. Raises SensorGone."""
        waiting = b""
        while data := self.wait(0):
            waiting += data
            if len(waiting) >= CHUNK_BYTES:  # it talks without pause: enough to know what it says
                break
        return waiting

    def _open_fd(self) -> int:
        if self._fd < 0:
            raise SensorGone(self.port, "is not open")
        return self._fd

    def _gone(self, error: OSError) -> SensorGone:
        return SensorGone(self.port, f"unplugged ({os.strerror(error.errno) if error.errno else error})")

    def _open_error(self, error: Exception) -> SensorError:
        code = getattr(error, "errno", None)
        if code in _FORBIDDEN:
            return forbidden(self.port)
        if code in _BUSY:
            return SensorBusy(self.port, "in use by another program")
        there = "Ports here: " + (", ".join(existing_ports()) or "none") + "."
        remedy = f"{SensorAbsent.default_remedy} {there}"
        if code in _ABSENT:
            return SensorAbsent(self.port, "there is no such port", remedy)
        return SensorAbsent(self.port, f"is no serial port ({error})", remedy)


def forbidden(port: str) -> SensorForbidden:
    """The error that names the group to join."""
    import grp

    try:
        group = grp.getgrgid(Path(port).stat().st_gid).gr_name
    except (OSError, KeyError):
        group = "dialout"
    return SensorForbidden(
        port,
        f"this user may not open it (it belongs to the group {group})",
        SensorForbidden.default_remedy.replace("dialout", "dialout" if group == "root" else group),
    )
