"""Finding frames in a byte stream whose frames have a header and a length known from it (not SHDLC).

Resynchronisation: when a candidate turns out not to be a frame, only its first byte is dropped and the search
goes on in the rest, so a true frame that starts inside a damaged one is found. No candidate may be awaited
longer than the longest frame of its family: a false header in front of a true frame cannot hold it back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from firmware_bridge.codecs.frames import DamagedFrame, Refused, WrongHeader, WrongLength

T = TypeVar("T")
KEPT_RAW_BYTES = 64  # of junk, for a log line; the rest says no more


@dataclass(frozen=True)
class Layout(Generic[T]):
    """How a family's frames are found and checked.

    size(head): the length of the frame that starts with these `header` bytes; raises DamagedFrame.
    check(frame): raises DamagedFrame if its sum or tail is wrong.
    interpret(frame): what a sound frame means.
    """

    sync: int
    header: int
    size: Callable[[bytes], int]
    check: Callable[[bytes], None]
    interpret: Callable[[bytes], T]

    def whole(self, frame: bytes) -> T:
        """The meaning of bytes that are said to be exactly one frame. Raises DamagedFrame."""
        if frame and frame[0] != self.sync:
            raise WrongHeader(f"starts with 0x{frame[0]:02x}, not 0x{self.sync:02x}")
        if len(frame) < self.header:
            raise WrongLength(f"{len(frame)} bytes")
        size = self.size(frame[: self.header])
        if len(frame) != size:
            raise WrongLength(f"{len(frame)} bytes instead of {size}")
        self.check(frame)
        return self.interpret(frame)


class Scanner(Generic[T]):
    """Incremental search for a layout's frames. Holds less than one frame between calls, never raises."""

    def __init__(self, layout: Layout[T]) -> None:
        self._layout = layout
        self._buffer = bytearray()
        self._lost = False  # sync is lost and it has been told; one event a loss is enough

    def reset(self) -> None:
        self._buffer.clear()
        self._lost = False

    def feed(self, data: bytes) -> list[T | Refused]:
        buffer, layout = self._buffer, self._layout
        buffer += data
        found: list[T | Refused] = []
        while True:
            self._skip_to_sync(found)
            if len(buffer) < layout.header:
                return found
            frame = bytes(buffer[: layout.header])
            try:
                size = layout.size(frame)
                if len(buffer) < size:
                    return found
                frame = bytes(buffer[:size])
                layout.check(frame)
            except WrongHeader as error:
                self._lose(found, error, frame)
                del buffer[0]
            except DamagedFrame as error:
                found.append(Refused(error, frame))
                self._lost = True  # what remains of it is no second event
                del buffer[0]
            else:
                del buffer[:size]
                self._lost = False
                found.append(layout.interpret(frame))

    def _skip_to_sync(self, found: list[T | Refused]) -> None:
        at = self._buffer.find(self._layout.sync)
        junk = len(self._buffer) if at < 0 else at
        if junk:
            error = WrongHeader(f"{junk} bytes that start no frame")
            self._lose(found, error, bytes(self._buffer[: min(junk, KEPT_RAW_BYTES)]))
            del self._buffer[:junk]

    def _lose(self, found: list[T | Refused], error: WrongHeader, raw: bytes) -> None:
        if not self._lost:
            found.append(Refused(error, raw))
        self._lost = True
