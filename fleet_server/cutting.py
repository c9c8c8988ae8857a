"""Ends the connections of lampposts whose certificates were put on the revocation list, and nobody else's.

`python -m fleet_server.cutting [--config FILE] --data DIR`: a process of its own that the supervisor starts
after it has told the broker to read the new list (SIGHUP). On standard input, with NUL between them: the list
that the broker started with, the list as it was before, the list as it is. It says OUT on standard output
once all are out.

Whoever connects under a name that is connected ends that connection (MQTT 5, section 3.1.4). The server's own
socket lets a role choose its client id, and a lamppost's is its certificate's name. The broker, which has one
thread, has read the list when it answers our CONNECT; whoever is thrown out is refused when it tries again.
Who shook hands before and has not said CONNECT, or says it a byte a minute (Mosquitto 2.0 waits for hours),
could still come in: so the names of those who are shut out stay taken.

It ends with status 0 where no name has to be kept, else when the supervisor ends it. Any other status: they
are not out for certain, and the supervisor restarts the broker.
"""

from __future__ import annotations

import logging
import select
import signal
import socket
import ssl
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any

import psycopg

from fleet_server.config import BrokerConfig, ServerConfig
from fleet_server.cutting_rules import OUT, Cut, Issued, cut, good_names
from fleet_server.embedded import url_of  # not fleet_server.db: its libraries take as long as all the rest
from fleet_server.errors import BrokerUnreachable, LamppostError
from fleet_server.telemetry.ingest import mqtt5
from provisioning.authority_files import AuthorityFiles, read_lists
from provisioning.revocation import serials_on

log = logging.getLogger("lamppost.cutting")

OUT_WITHIN_S = 60  # all of them; else the kernel ends this process (SIGALRM)
ANSWER_S = 5.0  # a broker on this machine answers in milliseconds
BACK_WITHIN_S = 10.0  # a broker that has just died
KEEPALIVE_S = 1800
PING_EVERY_S = 600.0
COMES_BACK_MOST = 3  # within PING_EVERY_S: somebody keeps connections in store, a restart ends them all
NAMES_MOST = 500  # four milliseconds each; for more, a restart is as quick and as little trouble
NOT_CERTAIN = 3  # exit status
RECORD_BYTES = 16_384

_COLUMNS = "SELECT serial, tenant || '/' || device, not_after FROM certificate "
# Every certificate of each lamppost that has one among the serials.
_BESIDE = f"""
{_COLUMNS} WHERE (tenant, device) IN (SELECT tenant, device FROM certificate WHERE serial = ANY(%s))
"""  # noqa: S608 - made of the constant above
# Those that may have left the list since the broker started, as they ran out long ago.
_RAN_OUT = "SELECT serial FROM certificate WHERE revoked_at > %s AND not_after < now()"
_OF_ONE = _COLUMNS + "WHERE tenant = %s AND device = %s"


class StillThere(LamppostError):
    """Somebody comes back under a name that was shut out."""


class Taken:
    """A connection of ours under a lamppost's name; as long as it lasts nobody else has one."""

    def __init__(self, tls: ssl.SSLSocket, name: str) -> None:
        self.name = name
        self._tls = tls
        self._reader = mqtt5.Reader()

    def fileno(self) -> int:
        return self._tls.fileno()

    def open(self) -> None:
        """Say who we are, and wait until the broker agrees. Raises OSError, BrokerUnreachable."""
        self._tls.sendall(mqtt5.connect(self.name, KEEPALIVE_S, 0, 1, RECORD_BYTES, clean_start=True))
        packets: list[mqtt5.Packet] = []
        while not packets:
            packets = self._reader.feed(self._received())
        answer = mqtt5.parse_connack(packets[0]) if packets[0].kind == mqtt5.Kind.CONNACK else 0
        if isinstance(answer, int):
            raise BrokerUnreachable(f"The broker does not let {self.name} be taken: reason {answer:#x}.")
        self._tls.setblocking(False)

    def is_lost(self) -> bool:
        """Has somebody come in under this name since, or the broker died? Never waits."""
        try:
            packets = self._reader.feed(self._received())
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):  # TLS had something to say, and MQTT nothing
            return False
        except (OSError, BrokerUnreachable, mqtt5.BadPacket):  # Mosquitto 2.0 gives no reason
            return True
        return any(each.kind == mqtt5.Kind.DISCONNECT for each in packets)

    def ping(self) -> None:
        """Two bytes, which the socket takes; where it does not, `is_lost` will say so."""
        with suppress(OSError):
            self._tls.send(mqtt5.PINGREQ)

    def close(self) -> None:
        """In order: the session, which has no life after its connection, is gone with it."""
        with suppress(OSError):
            self._tls.settimeout(ANSWER_S)
            self._tls.sendall(mqtt5.DISCONNECT)
        self._tls.close()

    def _received(self) -> bytes:
        data = self._tls.recv(RECORD_BYTES)
        if not data:
            raise BrokerUnreachable("The broker hung up.")
        return data


class Door:
    """The server's own socket of the broker, and the certificate that opens it. Raises OSError."""

    def __init__(self, config: BrokerConfig) -> None:
        assert config.server_socket is not None, "a client id can be chosen there alone"
        self._path, self._host = str(config.server_socket), config.host
        self._tls = ssl.create_default_context(cafile=str(config.ca_file))
        self._tls.load_cert_chain(config.certificate_file, config.key_file)

    def take(self, name: str) -> Taken:
        """Connect under this name; whoever was connected is not any more. Raises BrokerUnreachable."""
        plain = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            plain.settimeout(ANSWER_S)
            plain.connect(self._path)
            taken = Taken(self._tls.wrap_socket(plain, server_hostname=self._host), name)
            taken.open()
        except (OSError, mqtt5.BadPacket) as lost:
            plain.close()
            raise BrokerUnreachable(f"The broker does not answer at {self._path}: {lost}.") from lost
        return taken


def end_connections(door: Door, told: Cut) -> list[Taken]:
    """End those of `told.names`; those who are shut out have their names taken. Raises BrokerUnreachable."""
    held = []
    for name in told.names:
        taken = _patiently(door, name)
        if name in told.shut:
            held.append(taken)
        else:
            taken.close()
    return held


def _patiently(door: Door, name: str) -> Taken:
    """A broker that has died is started again, and has read the list then. Raises BrokerUnreachable."""
    deadline = time.monotonic() + BACK_WITHIN_S
    while True:
        try:
            return door.take(name)
        except BrokerUnreachable:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def keep_taken(door: Door, held: Sequence[Taken], still_shut: Callable[[str], bool]) -> None:
    """Until this process is ended, or nothing is held. still_shut: asked when somebody comes in by a name,
    which may have a new certificate since. Raises BrokerUnreachable, StillThere."""
    poller = select.poll()
    at = {each.fileno(): each for each in held}
    came: Counter[str] = Counter()
    ping_s = time.monotonic() + PING_EVERY_S
    for number in at:
        poller.register(number, select.POLLIN)
    while at:
        if (left_s := ping_s - time.monotonic()) <= 0:
            ping_s += PING_EVERY_S
            came.clear()
            for each in at.values():
                each.ping()
            continue
        for number, _ in poller.poll(left_s * 1000):
            lost = at[number]
            if not lost.is_lost():
                continue
            poller.unregister(number)
            del at[number]
            lost.close()
            if not still_shut(lost.name):
                log.info("%s is let in again", lost.name)
                continue
            came[lost.name] += 1
            if came[lost.name] > COMES_BACK_MOST:
                raise StillThere(f"Somebody comes back as {lost.name}.")
            log.warning("%s: somebody came in by a connection from before, or the broker died", lost.name)
            again = _patiently(door, lost.name)
            at[again.fileno()] = again
            poller.register(again.fileno(), select.POLLIN)


def what_follows(config: ServerConfig, given: bytes, now: datetime) -> Cut:
    """`given`: the file of revocation lists as the broker started with it, as it was before, and as it is,
    with NUL between them. Raises OSError, ValueError, psycopg.Error."""
    started, before, listed = map(_serials, given.split(b"\0"))
    ran_out = _ran_out(config, given.partition(b"\0")[0])
    before, listed = before | ran_out, listed | ran_out
    fresh = listed - (started & before)
    if not fresh:
        return Cut()
    issued = _issued(config, _BESIDE, [f"{each:x}" for each in fresh])
    return cut(started, before, listed, issued, now)


def is_shut(config: ServerConfig, given: bytes, name: str) -> bool:
    """Has "tenant/device" no good certificate now? By the list as it is; by the last one of `given` where
    that cannot be read. Raises OSError, ValueError, psycopg.Error."""
    try:
        listed = serials_on(read_lists(AuthorityFiles(config.authority.directory).crl.read_bytes()))
    except (OSError, ValueError):
        listed = _serials(given.rpartition(b"\0")[2])
    tenant, _, device = name.partition("/")
    issued = _issued(config, _OF_ONE, tenant, device)
    return not good_names(listed, issued, datetime.now(UTC))


def _serials(content: bytes) -> frozenset[int]:
    return serials_on(read_lists(content)) if content else frozenset()


def _ran_out(config: ServerConfig, started: bytes) -> frozenset[int]:
    """Who was shut out since the list with which the broker started may hold a connection from before: its
    name stays taken, also when its certificate has left the list."""
    lists = read_lists(started) if started else ()
    if not lists:
        return frozenset()
    rows = _rows(config, _RAN_OUT, min(each.last_update_utc for each in lists))
    return frozenset(int(serial, 16) for (serial,) in rows)


def _issued(config: ServerConfig, question: str, *values: object) -> list[Issued]:
    return [Issued(int(serial, 16), name, until) for serial, name, until in _rows(config, question, *values)]


def _rows(config: ServerConfig, question: str, *values: object) -> list[tuple[Any, ...]]:
    directory = config.database.embedded_directory
    url = config.database.url if directory is None else url_of(directory)
    with psycopg.connect(url, connect_timeout=int(ANSWER_S)) as connection:
        return connection.execute(question.encode(), values).fetchall()


def main(arguments: list[str]) -> int:
    from fleet_server.arguments import configuration_of, parser
    from fleet_server.logs import set_up_logging
    from fleet_server.processes import die_with_parent

    die_with_parent()
    signal.alarm(OUT_WITHIN_S)
    config = configuration_of(parser().parse_args(arguments))
    set_up_logging("cutting", as_json=config.log.json)
    try:
        given = sys.stdin.buffer.read()
        told = what_follows(config, given, datetime.now(UTC))
        if told.strangers:
            serials = ", ".join(f"{each:x}" for each in sorted(told.strangers)[:10])
            log.error("revoked certificates that nobody here has issued: %s", serials)
            return NOT_CERTAIN
        if len(told.names) > NAMES_MOST:
            log.warning("%d lampposts are shut out at once", len(told.names))
            return NOT_CERTAIN
        if told.names:
            door = Door(config.broker)
            held = end_connections(door, told)
            log.info(
                "the connections of %d lampposts are ended, %d of them shut out", len(told.names), len(held)
            )
        sys.stdout.buffer.write(OUT)
        sys.stdout.buffer.flush()
        signal.alarm(0)
        if told.shut:
            keep_taken(door, held, partial(is_shut, config, given))
    except (LamppostError, OSError, ValueError, psycopg.Error) as failed:
        log.error("%s", failed)
        return NOT_CERTAIN
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
