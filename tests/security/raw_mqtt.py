"""MQTT 5 by hand, over raw sockets: what no client library would send."""

from __future__ import annotations

import socket
import ssl
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.mosquitto import IdentityFiles, MosquittoBroker

ANSWER_S = 30.0
PATIENCE_S = 30.0

CONNACK, PUBLISH, PUBACK, PUBREC, SUBACK, PINGRESP, DISCONNECT = 2, 3, 4, 5, 9, 13, 14
NOT_AUTHORIZED, QUOTA_EXCEEDED = 0x87, 0x97  # MQTT 5, section 2.4


class Closed(Exception):
    """The broker ended the connection."""


def text(value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack(">H", len(raw)) + raw


def packet(first: int, body: bytes) -> bytes:
    """`first`: type and flags."""
    length, size = b"", len(body)
    while True:
        size, low = divmod(size, 128)
        length += bytes((low | (0x80 if size else 0),))
        if not size:
            return bytes((first,)) + length + body


def connect(client_id: str, will: tuple[str, bytes] | None = None) -> bytes:
    flags = 0x02 | (0x2C if will else 0)  # clean start; a will is retained, at QoS 1
    said = b"" if will is None else b"\x00" + text(will[0]) + text(will[1])
    return packet(
        0x10, text("MQTT") + bytes((5, flags)) + struct.pack(">H", 60) + b"\x00" + text(client_id) + said
    )


def publish(
    topic: str | bytes,
    payload: bytes,
    mid: int = 1,
    qos: int = 1,
    retain: bool = False,
    alias: int | None = None,
) -> bytes:
    named = struct.pack(">H", mid) if qos else b""
    properties = b"\x00" if alias is None else b"\x03\x23" + struct.pack(">H", alias)
    return packet(0x30 | qos << 1 | retain, text(topic) + named + properties + payload)


def subscribe(*filters: str, mid: int = 1) -> bytes:
    asked = b"".join(text(each) + b"\x01" for each in filters)
    return packet(0x82, struct.pack(">H", mid) + b"\x00" + asked)


class Raw:
    """One TLS connection. `answers()` reads until the broker has answered a ping of ours."""

    def __init__(self, made: ssl.SSLSocket) -> None:
        self.socket = made
        self.socket.settimeout(ANSWER_S)
        self._unread = b""

    def send(self, data: bytes) -> None:
        try:
            self.socket.sendall(data)
        except OSError as error:
            raise Closed(str(error)) from error

    def read(self) -> tuple[int, bytes]:
        """Type and body of the next packet. Raises Closed."""
        head = self._take(1)[0]
        size = shift = 0
        while True:
            byte = self._take(1)[0]
            size |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return head >> 4, self._take(size)

    def opened(self, client_id: str = "", will: tuple[str, bytes] | None = None) -> int:
        """Send CONNECT; the reason code of the answer."""
        self.send(connect(client_id, will))
        kind, body = self.read()
        assert kind in (CONNACK, DISCONNECT)
        return body[1] if kind == CONNACK else body[0]

    def answers(self) -> list[tuple[int, bytes]]:
        """All that came before the answer to a ping. Raises Closed."""
        self.send(b"\xc0\x00")
        found: list[tuple[int, bytes]] = []
        while True:
            kind, body = self.read()
            if kind == PINGRESP:
                return found
            found.append((kind, body))

    def is_closed(self) -> bool:
        """Does it end within PATIENCE_S, whatever else comes before?"""
        deadline = time.monotonic() + PATIENCE_S
        try:
            while time.monotonic() < deadline:
                self.answers()
        except Closed:
            return True
        return False

    def published(self, *args: object, **more: object) -> int:
        """Publish at QoS 1 and return the reason code."""
        self.send(publish(*args, **more))  # type: ignore[arg-type]
        codes = [body[2] if len(body) > 2 else 0 for kind, body in self.answers() if kind == PUBACK]
        assert len(codes) == 1
        return codes[0]

    def _take(self, size: int) -> bytes:
        while len(self._unread) < size:
            try:
                data = self.socket.recv(65536)
            except TimeoutError as error:
                raise AssertionError(f"the broker said nothing for {ANSWER_S} s") from error
            except OSError as error:
                raise Closed(str(error)) from error
            if not data:
                raise Closed("end")
            self._unread += data
        taken, self._unread = self._unread[:size], self._unread[size:]
        return taken


def heard(answers: list[tuple[int, bytes]]) -> list[tuple[str, bytes]]:
    """Topic and payload of the messages among them (QoS 1, no properties)."""
    found = []
    for kind, body in answers:
        if kind == PUBLISH:
            size = struct.unpack(">H", body[:2])[0]
            found.append((body[2 : 2 + size].decode(), body[2 + size + 3 :]))
    return found


@contextmanager
def tls(broker: MosquittoBroker, identity: IdentityFiles | None, own: Path | None = None) -> Iterator[Raw]:
    """A TLS connection, by the server's own socket where `own` names it. Raises OSError where refused."""
    context = ssl.create_default_context(cafile=str(broker.authority.files.trust))
    if identity is not None:
        context.load_cert_chain(identity.certificate, identity.key)
    plain = socket.socket(socket.AF_INET if own is None else socket.AF_UNIX, socket.SOCK_STREAM)
    plain.settimeout(ANSWER_S)
    try:
        plain.connect((broker.host, broker.port) if own is None else str(own))
        with context.wrap_socket(plain, server_hostname=broker.host) as made:
            yield Raw(made)
    finally:
        plain.close()


def may_connect(broker: MosquittoBroker, identity: IdentityFiles | None, client_id: str = "") -> bool:
    try:
        with tls(broker, identity) as raw:
            return raw.opened(client_id) == 0
    except (OSError, Closed):
        return False
