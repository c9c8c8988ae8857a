"""A stream to the broker through a WebSocket, for sites that let nothing out but the web.

What goes through is our TLS with the broker, whole: whoever carries it, the server's own door or a site's
proxy that looks into everything, sees nothing of what we say, and cannot say it in our name. One thread moves
bytes between one end of a socket pair and the WebSocket; the other end is what the MQTT client works with.
"""

from __future__ import annotations

import os
import select
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from edge_agent.core.websocket import MAX_HEAD_BYTES, BadFrame, Frames, Opcode, check_answer, frame, request
from edge_agent.io.wire_meter import WireMeter

PIECE_BYTES = 16_384
MOST_WAITING_BYTES = 262_144  # towards either side; then the other is not read


def open_tunnel(
    host: str, port: int, path: str, ca_file: Path, timeout_s: float, meter: WireMeter
) -> socket.socket:
    """The near end. Raises OSError (ssl.SSLError, too) and BadFrame."""
    outer = _connected(host, port, ca_file, timeout_s)
    meter.opened(outer)
    try:
        key = os.urandom(16)
        outer.sendall(request(host, port, path, key))
        rest = _answered(outer, key)
    except BaseException:
        meter.closing(outer)
        outer.close()
        raise
    near, far = socket.socketpair()
    threading.Thread(target=_carry, args=(outer, far, rest, meter), name="tunnel", daemon=True).start()
    return near


def _connected(host: str, port: int, ca_file: Path, timeout_s: float) -> ssl.SSLSocket:
    """The city's authority, or one that this computer trusts: a public proxy's, a site's own."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(ca_file)
    context.set_alpn_protocols(["http/1.1"])
    plain = socket.create_connection((host, port), timeout_s)
    try:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return context.wrap_socket(plain, server_hostname=host)
    except BaseException:
        plain.close()
        raise


def _answered(outer: ssl.SSLSocket, key: bytes) -> bytes:
    """Read the answer's head; returns what came behind it."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = outer.recv(PIECE_BYTES)
        if not piece or len(data) > MAX_HEAD_BYTES:
            raise BadFrame("no answer to the handshake")
        data += piece
    head, _, rest = data.partition(b"\r\n\r\n")
    check_answer(head, key)
    return rest


def _carry(outer: ssl.SSLSocket, inner: socket.socket, rest: bytes, meter: WireMeter) -> None:
    """Until either side ends; then both do."""
    with outer, inner, suppress(OSError, BadFrame, _Ended), _counted(outer, meter):
        outer.setblocking(False)
        inner.setblocking(False)
        pump = _Pump(outer, inner)
        pump.came(rest)
        while True:
            pump.turn()


@contextmanager
def _counted(outer: ssl.SSLSocket, meter: WireMeter) -> Iterator[None]:
    try:
        yield
    finally:
        meter.closing(outer)


class _Ended(Exception):
    pass


class _Pump:
    def __init__(self, outer: ssl.SSLSocket, inner: socket.socket) -> None:
        self._outer, self._inner = outer, inner
        self._out, self._in = b"", b""  # towards the server, towards us
        self._frames = Frames()

    def came(self, data: bytes) -> None:
        """From the server. Raises BadFrame, _Ended."""
        for opcode, payload in self._frames.feed(data):
            if opcode in (Opcode.BINARY, Opcode.CONTINUATION):
                self._in += payload
            elif opcode is Opcode.PING:
                self._out += frame(Opcode.PONG, payload, os.urandom(4))
            elif opcode is Opcode.CLOSE:
                raise _Ended

    def turn(self) -> None:
        read = [self._outer] if len(self._in) < MOST_WAITING_BYTES else []
        near = [self._inner] if len(self._out) < MOST_WAITING_BYTES else []
        write = [*([self._outer] if self._out else []), *([self._inner] if self._in else [])]
        readable, writable, _ = select.select([*read, *near], write, [])
        if self._outer in readable or (read and self._outer.pending()):
            self._read_outer()
        if self._inner in readable:
            piece = self._inner.recv(PIECE_BYTES)
            if not piece:
                raise _Ended
            self._out += frame(Opcode.BINARY, piece, os.urandom(4))
        if self._in:
            with suppress(BlockingIOError):
                self._in = self._in[self._inner.send(self._in) :]
        if self._out and (writable or readable):
            with suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
                self._out = self._out[self._outer.send(self._out) :]

    def _read_outer(self) -> None:
        """All that TLS has decrypted: for the rest the socket would not become readable again."""
        with suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
            while True:
                piece = self._outer.recv(PIECE_BYTES)
                if not piece:
                    raise _Ended
                self.came(piece)
