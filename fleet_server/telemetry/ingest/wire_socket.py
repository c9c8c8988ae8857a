"""A TLS connection that one thread reads and any thread writes, never waiting for the other.

OpenSSL's connection object must not be used by two threads at once: the socket does not block, and a lock is
held for each single call only.
"""

from __future__ import annotations

import select
import socket as sockets
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

from fleet_server.config import BrokerConfig

RECORD_BYTES = 16_384  # TLS gives no more at once, and Mosquitto makes one record of each message
RECORDS_A_READ = 256  # then what came is handled, and writers get their turn
GATHER_S = 0.005  # for the next messages to come: to be woken for each costs more than to read it
MAX_UNSENT_BYTES = 32 * 1024 * 1024  # a broker that takes nothing for so long is as good as gone
DEAD_AFTER_KEEPALIVES = 1.5  # as the broker counts, MQTT 5 section 3.1.2.10


class ConnectionLost(Exception):
    """The other end is not there, or not any more; the text says why."""


class WireSocket:
    """Made by `connect`. keepalive_s: what the broker counts by, None before it accepted us."""

    keepalive_s: float | None = None

    def __init__(self, tls: ssl.SSLSocket) -> None:
        self._tls = tls
        self._tls.setblocking(False)
        self._lock = threading.Lock()  # guards every call of TLS, and what is not sent yet
        self._unsent = b""
        self._broken = ""
        self._wrote_s = self._pinged_s = time.monotonic()
        self._waker, self._woken = sockets.socketpair()
        self._waker.setblocking(False)

    @classmethod
    def connect(cls, config: BrokerConfig, timeout_s: float) -> WireSocket:
        """The certificate is read anew each time: it may have been renewed. Raises ConnectionLost."""
        try:
            context = ssl.create_default_context(cafile=str(config.ca_file))
            context.load_cert_chain(config.certificate_file, config.key_file)
            plain = _reach(config, timeout_s)
            try:
                return cls(context.wrap_socket(plain, server_hostname=config.host))
            except BaseException:
                plain.close()
                raise
        except (OSError, ValueError) as error:  # the latter: a name that is no host's
            raise ConnectionLost(f"no connection: {error}") from error

    def write(self, data: bytes) -> None:
        """Send now what the socket takes, the rest when it takes more. Never waits, never raises."""
        with self._lock:
            waited = bool(self._unsent)
            self._unsent += data
            if len(self._unsent) > MAX_UNSENT_BYTES:
                self._broken = "it takes nothing"
            elif not waited:
                self._flush()
            wake = bool(self._unsent or self._broken) and not waited
        if wake:
            self.wake()

    def wake(self) -> None:
        """Let `read` look again."""
        with suppress(OSError):  # full: it will look anyway; closed: nobody looks
            self._waker.send(b"!")

    def give_up(self) -> None:
        """Let `read` end, once what was written is handed to the socket."""
        with self._lock:
            self._broken = self._broken or "closed"
        self.wake()

    def read(self, opening_s: float, ping: bytes) -> Iterator[bytes]:
        """What comes, as it comes; sends what is left over, and pings. Ends by raising ConnectionLost.

        opening_s: how long the broker may take to accept us.
        """
        heard_s = time.monotonic()
        while True:
            records = self._take()
            if records:
                heard_s = time.monotonic()
            elif self._broken:
                raise ConnectionLost(self._broken)
            self._keep_alive(heard_s, opening_s, ping)
            if not records:
                self._wait((self.keepalive_s or opening_s) / 4)
                continue
            yield b"".join(records)
            if len(records) < RECORDS_A_READ:
                time.sleep(GATHER_S)

    def _keep_alive(self, heard_s: float, opening_s: float, ping: bytes) -> None:
        """Ping where either end was quiet: the broker counts what it hears, and we what we hear."""
        now_s = time.monotonic()
        if self.keepalive_s is None:
            if now_s - heard_s > opening_s:
                raise ConnectionLost("it does not answer")
            return
        if now_s - heard_s > DEAD_AFTER_KEEPALIVES * self.keepalive_s:
            raise ConnectionLost("it is silent")
        if now_s - max(min(self._wrote_s, heard_s), self._pinged_s) > self.keepalive_s / 2:
            self._pinged_s = now_s
            self.write(ping)

    def close(self) -> None:
        with self._lock:
            self._broken = self._broken or "closed"
            self._tls.close()
            self._waker.close()
            self._woken.close()

    def _take(self) -> list[bytes]:
        """What is there now, of several records; nothing where nothing is. Raises ConnectionLost."""
        records: list[bytes] = []
        with self._lock:
            if self._unsent:
                self._flush()
            if self._broken:
                raise ConnectionLost(self._broken)
            try:
                while len(records) < RECORDS_A_READ:
                    record = self._tls.recv(RECORD_BYTES)
                    if not record:
                        self._broken = "it hung up"
                        break
                    records.append(record)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                pass
            except OSError as error:
                self._broken = str(error) or "gone"
        return records

    def _flush(self) -> None:
        try:
            while self._unsent:
                sent = self._tls.send(self._unsent)
                self._unsent = self._unsent[sent:]
                self._wrote_s = time.monotonic()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        except (OSError, ValueError) as error:
            self._broken = str(error) or "gone"

    def _wait(self, timeout_s: float) -> None:
        poller = select.poll()
        poller.register(self._tls, select.POLLIN | (select.POLLOUT if self._unsent else 0))
        poller.register(self._woken, select.POLLIN)
        if any(handle == self._woken.fileno() for handle, _ in poller.poll(timeout_s * 1000)):
            self._woken.recv(4096)


def _reach(config: BrokerConfig, timeout_s: float) -> sockets.socket:
    """To our own broker's socket for the server's roles, where there is one; else as devices do."""
    if config.server_socket is None:
        plain = sockets.create_connection((config.host, config.port), timeout_s)
        plain.setsockopt(sockets.IPPROTO_TCP, sockets.TCP_NODELAY, 1)
        return plain
    plain = sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM)
    try:
        plain.settimeout(timeout_s)
        plain.connect(str(config.server_socket))
    except OSError:
        plain.close()
        raise
    return plain
