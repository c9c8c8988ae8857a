"""Sensirion's SHDLC frame layer: frames between 7E flags, with byte stuffing.

To the device: 7E | address | command | length | data | check | 7E; from it there is a state byte before the
length. check = complement of the low byte of the sum of all before it, computed before stuffing. 7E, 7D, 11
and 13 inside are sent as 7D and the byte with bit 5 flipped; the check byte too. Destuffing is one pass: in
7D 5D 31 the 31 is itself. Source: SPS30 data sheet 5.1 (SHDLC), sensirion-shdlc-driver.
"""

from __future__ import annotations

from dataclasses import dataclass

from firmware_bridge.codecs.frames import (
    DamagedFrame,
    Refused,
    WrongChecksum,
    WrongHeader,
    WrongLength,
    WrongTail,
)

FLAG, ESCAPE, FLIP = 0x7E, 0x7D, 0x20
STUFFED = frozenset({FLAG, ESCAPE, 0x11, 0x13})
LONGEST_STUFFED = 2 * (255 + 5)  # address, command, state, length and check around 255 bytes, all stuffed
KEPT_RAW_BYTES = 64  # of junk, for a log line


@dataclass(frozen=True)
class Request:
    """A frame to the device."""

    command: int
    data: bytes
    address: int = 0


@dataclass(frozen=True)
class Response:
    """A frame from the device; `state` as sent (bit 7: see the device's status register)."""

    command: int
    state: int
    data: bytes
    address: int = 0


def check_byte(body: bytes) -> int:
    return ~sum(body) & 0xFF


def stuff(body: bytes) -> bytes:
    out = bytearray()
    for byte in body:
        if byte in STUFFED:
            out += bytes((ESCAPE, byte ^ FLIP))
        else:
            out.append(byte)
    return bytes(out)


def destuff(chunk: bytes) -> bytes:
    """Undo `stuff`. Raises WrongLength if the chunk ends inside an escape."""
    if ESCAPE not in chunk:
        return chunk
    out = bytearray()
    bytes_left = iter(chunk)
    for byte in bytes_left:
        if byte == ESCAPE:
            stuffed = next(bytes_left, None)
            if stuffed is None:
                raise WrongLength("ends inside an escape")
            byte = stuffed ^ FLIP
        out.append(byte)
    return bytes(out)


def _framed(body: bytes) -> bytes:
    return bytes((FLAG,)) + stuff(body + bytes((check_byte(body),))) + bytes((FLAG,))


def encode_request(request: Request) -> bytes:
    return _framed(bytes((request.address, request.command, len(request.data))) + request.data)


def encode_response(response: Response) -> bytes:
    head = bytes((response.address, response.command, response.state, len(response.data)))
    return _framed(head + response.data)


def _verified(chunk: bytes, head: int) -> bytes:
    """The destuffed body without its check byte; `head` bytes precede the data, the last is the length."""
    body = destuff(chunk)
    if len(body) < head + 1:
        raise WrongLength(f"{len(body)} bytes between the flags")
    size = head + body[head - 1] + 1
    if len(body) > size and check_byte(body[: size - 1]) == body[size - 1]:
        raise WrongTail(f"{len(body) - size} bytes before the closing flag")
    if len(body) != size:
        raise WrongLength(f"{len(body) - head - 1} data bytes, {body[head - 1]} announced")
    computed = check_byte(body[:-1])
    if computed != body[-1]:
        raise WrongChecksum(computed, body[-1])
    return body[:-1]


def parse_response(chunk: bytes) -> Response:
    """From the bytes between two flags. Raises DamagedFrame."""
    body = _verified(chunk, head=4)
    return Response(body[1], body[2], body[4:], body[0])


def parse_request(chunk: bytes) -> Request:
    """From the bytes between two flags. Raises DamagedFrame."""
    body = _verified(chunk, head=3)
    return Request(body[1], body[3:], body[0])


def strip_flags(frame: bytes) -> bytes:
    """The bytes between the flags of one whole frame. Raises WrongHeader, WrongLength, WrongTail."""
    if frame and frame[0] != FLAG:
        raise WrongHeader(f"starts with 0x{frame[0]:02x}, not 0x7e")
    if len(frame) < 2:
        raise WrongLength(f"{len(frame)} bytes")
    if frame[-1] != FLAG:
        raise WrongTail(f"ends with 0x{frame[-1]:02x}, not 0x7e")
    if FLAG in frame[1:-1]:
        raise WrongLength("more than one frame")
    return frame[1:-1]


class Deframer:
    """Cuts a byte stream at its flags. Every flag ends one chunk and may start the next, so that a lost or a
    false flag costs the frames on its two sides at most. Never raises."""

    def __init__(self) -> None:
        self._chunk = bytearray()
        self._opened = False  # a flag has been seen, so the chunk may be a frame
        self._overlong = False

    def reset(self) -> None:
        self._chunk.clear()
        self._opened = self._overlong = False

    def feed(self, data: bytes) -> list[bytes | Refused]:
        """Chunks between flags, never empty, and what was refused."""
        found: list[bytes | Refused] = []
        *ended, rest = data.split(b"\x7e")
        for part in ended:
            self._append(part)
            self._close(found)
        self._append(rest)
        return found

    def _append(self, part: bytes) -> None:
        room = LONGEST_STUFFED - len(self._chunk)
        self._overlong = self._overlong or len(part) > room
        self._chunk += part[:room]

    def _close(self, found: list[bytes | Refused]) -> None:
        chunk = bytes(self._chunk)
        error: DamagedFrame | None = None
        if self._overlong:
            error = WrongLength(f"more than {LONGEST_STUFFED} bytes between flags")
        elif chunk and not self._opened:
            error = WrongHeader(f"{len(chunk)} bytes before the first flag")
        if error is not None:
            found.append(Refused(error, chunk[:KEPT_RAW_BYTES]))
        elif chunk:
            found.append(chunk)
        self._chunk.clear()
        self._opened, self._overlong = True, False
