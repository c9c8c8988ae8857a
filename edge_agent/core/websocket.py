"""The WebSocket protocol, a client's half of it (RFC 6455): handshake and frames. Pure.

Only what carries a stream of bytes: binary frames. No extensions, no text, no fragments of our own.
"""

from __future__ import annotations

import base64
import hashlib
import struct
from collections.abc import Iterator
from enum import IntEnum

PROTOCOL = "tls.lamppost"  # what our frames carry: TLS records, end to end, not MQTT packets
MAX_FRAME_BYTES = 1 << 20  # a server of ours sends 32 KiB at most
MAX_HEAD_BYTES = 16_384
_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3


class Opcode(IntEnum):
    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


class BadFrame(ValueError):
    """What came is no WebSocket, or one we do not speak; the text says what."""


def request(host: str, port: int, path: str, key: bytes) -> bytes:
    """The opening handshake. `key`: 16 random bytes."""
    named = f"[{host}]" if ":" in host else host
    where = named if port == 443 else f"{named}:{port}"
    return (
        f"GET {path} HTTP/1.1\r\nHost: {where}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {base64.b64encode(key).decode()}\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Protocol: {PROTOCOL}\r\n\r\n"
    ).encode("ascii")


def check_answer(head: bytes, key: bytes) -> None:
    """`head`: the answer up to its empty line. Raises BadFrame."""
    lines = head.decode("latin-1").split("\r\n")
    status = lines[0].split(" ", 2)
    if len(status) < 2 or not status[0].startswith("HTTP/1.1") or status[1] != "101":
        raise BadFrame(f"the answer is {lines[0][:80]!r}")
    fields = {name.strip().lower(): value.strip() for name, _, value in (x.partition(":") for x in lines[1:])}
    wanted = base64.b64encode(hashlib.sha1(base64.b64encode(key) + _MAGIC, usedforsecurity=False).digest())
    if fields.get("sec-websocket-accept") != wanted.decode():
        raise BadFrame("the answer does not belong to our question")
    if fields.get("sec-websocket-protocol") != PROTOCOL:
        raise BadFrame("it does not carry a lamppost's connection")


def frame(opcode: Opcode, payload: bytes, mask: bytes) -> bytes:
    """One whole frame. `mask`: 4 random bytes; a client masks what it sends (section 5.3)."""
    size = len(payload)
    if size < 126:
        head = bytes((0x80 | opcode, 0x80 | size))
    elif size < 65_536:
        head = bytes((0x80 | opcode, 0x80 | 126)) + struct.pack(">H", size)
    else:
        head = bytes((0x80 | opcode, 0x80 | 127)) + struct.pack(">Q", size)
    return head + mask + masked(payload, mask)


def masked(payload: bytes, mask: bytes) -> bytes:
    size = len(payload)
    key = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(size, "big")


class Frames:
    """Cuts what a server sends into frames, whatever pieces it comes in."""

    def __init__(self) -> None:
        self._data = b""

    def feed(self, data: bytes) -> Iterator[tuple[Opcode, bytes]]:
        """The frames that are whole now. Raises BadFrame."""
        self._data += data
        while (found := self._next()) is not None:
            yield found

    def _next(self) -> tuple[Opcode, bytes] | None:
        data = self._data
        if len(data) < 2:
            return None
        first, size = data[0], data[1] & 0x7F
        if first & 0x70:
            raise BadFrame("an extension that nobody agreed on")
        if data[1] & 0x80:
            raise BadFrame("a server does not mask")
        try:
            opcode = Opcode(first & 0x0F)
        except ValueError:
            raise BadFrame(f"opcode {first & 0x0F}") from None
        if opcode is Opcode.TEXT:
            raise BadFrame("text")
        start = 2
        if size >= 126:
            start = 4 if size == 126 else 10
            if len(data) < start:
                return None
            size = int.from_bytes(data[2:start], "big")
        if size > MAX_FRAME_BYTES or (opcode >= Opcode.CLOSE and size > 125):
            raise BadFrame(f"a frame of {size} bytes")
        if len(data) < start + size:
            return None
        self._data = data[start + size :]
        return opcode, data[start : start + size]
