"""The agent's Broker port on asyncio: paho with its external loop, TLS handshakes that block nobody.

`connect` returns at once: the handshake, CONNECT and CONNACK follow on the event loop, and `subscribe` waits
for them. What goes wrong meanwhile is a lost connection, as any other.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edge_agent.errors import BrokerUnreachable, IdentityError, LinkError, LinkLost
from edge_agent.io.paho_broker import BrokerAddress, tls_context
from edge_agent.io.paho_connection import PahoConnection
from edge_agent.ports import BrokerEvents, Session
from simulator.tally import Tally

MISC_SHARE = 0.25  # of the keepalive: how often paho looks whether a ping is due


@dataclass
class Line:
    """The road between all lampposts of this process and the broker. `cut`: nothing passes."""

    family: int
    address: Any  # as socket.connect takes it
    cut: bool = False


def resolve(host: str, port: int) -> Line:
    """Look the broker's name up once. Raises BrokerUnreachable."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise BrokerUnreachable(f"{host}: {error.strerror}") from error
    return Line(family, address)


def share_tables() -> None:
    """Have paho build its table of property names once: it builds one for each packet, in and out, which is a
    tenth of what a simulated lamppost costs. The tables are only read."""
    made = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    tables = {name: getattr(made, name) for name in ("types", "names", "properties")}

    def begin(self: Properties, packetType: int) -> None:  # noqa: N803 paho's own name
        self.__dict__.update(tables, packetType=packetType)

    Properties.__init__ = begin  # type: ignore[method-assign]


class _OnSocket(PahoConnection):
    """On a socket that is connected and encrypted already: paho itself would wait for the handshake."""

    made: ssl.SSLSocket

    def _create_socket(self) -> ssl.SSLSocket:
        return self.made


class LoopBroker:
    """See `edge_agent.ports.Broker`. Used on the event loop's thread alone."""

    def __init__(self, address: BrokerAddress, line: Line, tally: Tally) -> None:
        self._address, self._line, self._tally = address, line, tally
        self._connection: _Connection | None = None

    def connect(self, session: Session, events: BrokerEvents) -> None:
        self.disconnect()
        if self._line.cut:
            self._tally.failed_connects += 1
            raise BrokerUnreachable("the line is cut (--outage)")
        self._connection = _Connection(self._address, self._line, session, events, self._tally)

    def subscribe(self) -> None:
        """Nothing to do yet: it is sent when the broker has accepted us."""

    def publish(
        self, topic: str, payload: bytes, properties: Sequence[tuple[str, str]] = (), retain: bool = False
    ) -> None:
        if self._connection is None:
            raise LinkLost("not connected")
        self._connection.publish(topic, payload, properties, retain)

    def disconnect(self, timeout_s: float = 0.0) -> None:  # noqa: ARG002 what the kernel takes leaves at once
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def cut(self) -> None:
        """The line is cut under the connection, if there is one."""
        if self._connection is not None:
            self._connection.fail("the line was cut (--outage)")


class _Connection:
    """One connection from its first packet to its end."""

    def __init__(
        self, address: BrokerAddress, line: Line, session: Session, events: BrokerEvents, tally: Tally
    ) -> None:
        self._address, self._line, self._session = address, line, session
        self._events, self._tally = events, tally
        self._loop = asyncio.get_running_loop()
        self._client: _OnSocket | None = None
        self._misc: asyncio.TimerHandle | None = None
        self._over = False
        self._writing: asyncio.Handle | None = None
        self._blocked = False
        self._task = self._loop.create_task(self._begin())

    # -- beginning ---------------------------------------------------------------------------------------

    async def _begin(self) -> None:
        try:
            made = await self._encrypted()
        except (OSError, LinkError, IdentityError) as error:  # ssl.SSLError is an OSError
            self._tally.failed_connects += 1
            self.fail(f"no connection: {error}")
            return
        self._tally.handshakes[int(time.time())] += 1
        self._client = client = self._new_client(made)
        client.connect(self._address.host, self._address.port, self._address.keepalive_s, clean_start=True)
        self._keep_alive()

    async def _encrypted(self) -> ssl.SSLSocket:
        """A socket through TCP and TLS. Raises OSError, BrokerUntrusted, NotEnrolled."""
        plain = socket.socket(self._line.family, socket.SOCK_STREAM)
        made: socket.socket = plain
        try:
            plain.setblocking(False)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await self._loop.sock_connect(plain, self._line.address)
            context = tls_context(self._address)
            wrapped = made = context.wrap_socket(
                plain, server_hostname=self._address.host, do_handshake_on_connect=False
            )
            await self._shake_hands(wrapped)
        except BaseException:
            made.close()
            raise
        return wrapped

    async def _shake_hands(self, wrapped: ssl.SSLSocket) -> None:
        while True:
            try:
                wrapped.do_handshake()
                return
            except ssl.SSLWantReadError:
                await self._until(wrapped, self._loop.add_reader, self._loop.remove_reader)
            except ssl.SSLWantWriteError:
                await self._until(wrapped, self._loop.add_writer, self._loop.remove_writer)

    async def _until(
        self, wrapped: ssl.SSLSocket, add: Callable[..., None], remove: Callable[..., object]
    ) -> None:
        ready: asyncio.Future[None] = self._loop.create_future()
        add(wrapped, _settle, ready)
        try:
            await ready
        finally:
            remove(wrapped)

    def _new_client(self, made: ssl.SSLSocket) -> _OnSocket:
        client = _OnSocket(self._address.client_id)
        client.made = made
        client.will_set(self._session.will_topic, self._session.will_payload, qos=1, retain=True)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        client.on_socket_open = self._on_socket_open
        client.on_socket_close = self._on_socket_close
        client.on_socket_register_write = self._on_socket_full
        client.on_socket_unregister_write = self._on_socket_empty
        return client

    def _on_socket_open(self, _c: Client, _u: Any, sock: Any) -> None:
        self._loop.add_reader(sock, self._readable)

    def _on_socket_close(self, _c: Client, _u: Any, sock: Any) -> None:
        self._loop.remove_reader(sock)

    def _on_socket_full(self, _c: Client, _u: Any, _s: Any) -> None:
        """paho has something to write: with what else comes in this turn of the loop, in one go."""
        if self._writing is None:
            self._writing = self._loop.call_soon(self._write)

    def _on_socket_empty(self, _c: Client, _u: Any, sock: Any) -> None:
        if self._blocked:
            self._blocked = False
            self._loop.remove_writer(sock)

    def _write(self) -> None:
        self._writing = None
        client = self._client
        if client is None:
            return
        client.loop_write()
        still = client.socket()
        if client.want_write() and still is not None and not self._blocked:
            self._blocked = True  # the kernel takes no more: go on when it does
            self._loop.add_writer(still, self._write)

    def _keep_alive(self) -> None:
        if self._client is not None and not self._over:
            self._client.loop_misc()
            self._misc = self._loop.call_later(self._address.keepalive_s * MISC_SHARE, self._keep_alive)

    def _readable(self) -> None:
        """Read on while TLS holds decrypted bytes: for those the socket does not become readable again."""
        client = self._client
        while client is not None:
            client.loop_read()
            open_still = client.socket()
            if not isinstance(open_still, ssl.SSLSocket) or not open_still.pending():
                return

    # -- what comes --------------------------------------------------------------------------------------

    def _on_connect(
        self, client: Client, _u: Any, _f: ConnectFlags, reason: ReasonCode, told: Properties | None
    ) -> None:
        if reason.is_failure:
            self.fail(f"the broker refused the connection: {reason}")
            return
        if self._client is not None:
            self._client.accepted(told)
        code, _ = client.subscribe(self._session.subscribe_filter, qos=1)
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS:
            self.fail(f"cannot subscribe: {code.name}")

    def _on_disconnect(self, _c: Client, _u: Any, _f: DisconnectFlags, reason: ReasonCode, _p: Any) -> None:
        self.fail(f"the connection ended: {reason}")

    def _on_subscribe(self, _c: Client, _u: Any, _m: int, reasons: list[ReasonCode], _p: Any) -> None:
        if any(reason.is_failure for reason in reasons):
            self.fail(f"the broker refused the subscription: {reasons[0]}")
        elif not self._over:
            self._events.subscribed()

    def _on_message(self, client: Client, _u: Any, message: MQTTMessage) -> None:
        def handled() -> None:
            client.ack(message.mid, message.qos)

        if not self._over:
            self._events.received(message.topic, bytes(message.payload), handled)

    def _on_publish(self, _c: Client, _u: Any, _m: int, reason: ReasonCode, _p: Any) -> None:
        if reason.is_failure and not self._over:
            self._events.publish_refused(f"the broker refused a message of ours: {reason}")

    # -- what goes ---------------------------------------------------------------------------------------

    def publish(
        self, topic: str, payload: bytes, properties: Sequence[tuple[str, str]], retain: bool
    ) -> None:
        if self._client is None or self._over:
            raise LinkLost("not connected")
        self._client.speak(topic, payload, properties, retain)

    # -- the end -----------------------------------------------------------------------------------------

    def fail(self, detail: str) -> None:
        """It is over, and nobody of ours wanted that."""
        if not self._over:
            self._tally.lost_connections += 1
            self._end(in_order=False)
            self._events.lost(detail)

    def close(self) -> None:
        """It is over because we say so: the broker is told, and leaves the will unsaid."""
        self._end(in_order=True)

    def _end(self, in_order: bool) -> None:
        if self._over:
            return
        self._over = True
        if self._misc is not None:
            self._misc.cancel()
        if self._task is not asyncio.current_task(self._loop):
            self._task.cancel()
        client, self._client = self._client, None
        if client is None:
            return
        client.on_disconnect = client.on_connect = client.on_subscribe = None
        if in_order and client.socket() is not None:
            client.disconnect()
            client.loop_write()  # what waits and the farewell, as far as the kernel takes them
        if client.socket() is not None:  # else paho has closed it
            self._loop.remove_reader(client.made)
            self._loop.remove_writer(client.made)
            with suppress(OSError):
                client.made.close()
        _let_go(client)


def _settle(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


def _let_go(client: Client) -> None:
    """No callback leads back to us: the collector, which passes over what is old, is not needed for it."""
    client.on_message = client.on_publish = None
    client.on_socket_open = client.on_socket_close = None
    client.on_socket_register_write = client.on_socket_unregister_write = None
