"""The Broker port on paho-mqtt: MQTT 5 with mutual TLS, a fresh client for each connection.

A fresh client has no queue of its own, so nothing is ever published but what the window allows. paho's
network thread calls back; the callbacks only hand on.
"""

from __future__ import annotations

import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edge_agent.core.ways import Outcome, Way, begin, step
from edge_agent.errors import (
    BrokerRefused,
    BrokerUnreachable,
    BrokerUntrusted,
    ClockUnknown,
    LinkLost,
    NotEnrolled,
)
from edge_agent.io.city_tls import city_context
from edge_agent.io.first_time import FirstTime
from edge_agent.io.paho_connection import PahoConnection
from edge_agent.io.websocket_tunnel import open_tunnel
from edge_agent.io.wire_meter import WireMeter
from edge_agent.ports import BrokerEvents, Session

log = logging.getLogger("lamppost")

# TCP and TLS over a poor mobile line take seconds; a broker that the whole city calls at once, after it was
# away, takes tens of them.
CONNECT_TIMEOUT_S = 20.0
CONNACK_TIMEOUT_S = 20.0
TUNNEL_PATH = "/mqtt"  # on the server's device listener
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True)
class BrokerAddress:
    """Where the broker is, how to get there, who we are to it. `plain`: without TLS, to this machine only."""

    host: str
    port: int
    client_id: str
    ca_file: Path
    certificate_file: Path
    key_file: Path
    keepalive_s: int
    plain: bool = False
    transport: str = "tls"  # or "websocket", or "auto": core/ways.py decides
    websocket_port: int = 443
    first_time: FirstTime | None = None  # the time for TLS where the clock is not set


def tls_context(address: BrokerAddress) -> ssl.SSLContext:
    """Mutual TLS, 1.2 or newer. Raises NotEnrolled, BrokerUntrusted."""
    for path in (address.ca_file, address.certificate_file, address.key_file):
        try:
            path.stat()
        except PermissionError as error:
            remedy = f"Give it to the agent's user: sudo chown -R lamppost {path.parent}"
            raise BrokerUntrusted(f"{path}: this user may not read it", remedy) from error
        except OSError as error:
            raise NotEnrolled(f"{path} is not there: this device has no certificate yet") from error
    try:
        context = city_context(address.ca_file)
        context.load_cert_chain(address.certificate_file, address.key_file)
        if address.first_time is not None:
            address.first_time.relax(context)
    except PermissionError as error:
        folder = address.key_file.parent
        remedy = f"Give them to the agent's user: sudo chown -R lamppost {folder}"
        raise BrokerUntrusted(f"{folder}: this user may not read key or certificate", remedy) from error
    except (ssl.SSLError, OSError) as error:
        remedy = "Key and certificate must belong together and be readable; else enrol again."
        raise BrokerUntrusted(f"{address.certificate_file}: {error}", remedy) from error
    return context


class _Client(PahoConnection):
    """By way of a WebSocket where there is one to go through (paho's own would carry MQTT itself, and
    the broker would see the door's certificate instead of ours)."""

    tunnel: Callable[[], socket.socket] | None = None

    def _create_socket_connection(self) -> socket.socket:
        return super()._create_socket_connection() if self.tunnel is None else self.tunnel()


class PahoBroker:
    """See `edge_agent.ports.Broker`."""

    def __init__(self, address: BrokerAddress, meter: WireMeter | None = None) -> None:
        self._address, self._meter = address, meter or WireMeter()
        self._ways = begin(address.transport)
        self._client: _Client | None = None
        self._session = Session("", b"", "")

    def connect(self, session: Session, events: BrokerEvents) -> None:
        tried, outcome = self._ways.way, Outcome.REACHED
        try:
            self._connect(session, events)
        except (BrokerUnreachable, BrokerUntrusted, ClockUnknown):
            outcome = Outcome.BLOCKED
            raise
        finally:
            self._ways = step(self._ways, outcome)
            if self._ways.way is not tried:
                log.info("the next attempt goes by %s", self._ways.way.value)

    def _connect(self, session: Session, events: BrokerEvents) -> None:
        self.disconnect()
        self._session = session
        client = self._new_client(session)
        answer = _Answer()
        _wire(client, events, answer)
        try:
            client.connect(
                self._address.host, self._address.port, self._address.keepalive_s, clean_start=True
            )
        except ssl.SSLCertVerificationError as error:
            raise BrokerUntrusted(
                f"the broker's certificate was not accepted: {error.verify_message}",
                "Check the clock, server.host (as in the broker's certificate) and server.ca_file.",
            ) from error
        except ssl.SSLError as error:
            raise BrokerUntrusted(f"TLS with the broker failed: {error.reason or error}") from error
        except (OSError, ValueError) as error:  # BadFrame is one
            raise BrokerUnreachable(f"no broker at {self.where}: {_plainly(error)}") from error
        opened = client.socket()
        if self._address.first_time is not None and isinstance(opened, ssl.SSLSocket):
            self._address.first_time.check(opened.getpeercert())
        # a small message must not wait until the one before it is acknowledged
        if isinstance(opened, socket.socket) and opened.family != socket.AF_UNIX:
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.loop_start()
        self._client = client
        self._await_connack(answer)
        client.accepted(answer.told)

    def _await_connack(self, answer: _Answer) -> None:
        if answer.arrived.wait(CONNACK_TIMEOUT_S) and not answer.refusal:
            return
        self.disconnect()
        if not answer.refusal:
            raise BrokerUnreachable(f"the broker did not answer within {CONNACK_TIMEOUT_S:.0f} s")
        raise BrokerRefused(answer.refusal)

    @property
    def where(self) -> str:
        """Where the next attempt goes."""
        if self._ways.way is Way.WEBSOCKET:
            return f"wss://{self._address.host}:{self._address.websocket_port}{TUNNEL_PATH}"
        return f"{self._address.host}:{self._address.port}"

    def _open_tunnel(self) -> socket.socket:
        host, port = self._address.host, self._address.websocket_port
        return open_tunnel(host, port, TUNNEL_PATH, self._address.ca_file, CONNECT_TIMEOUT_S, self._meter)

    def _new_client(self, session: Session) -> _Client:
        client = _Client(self._address.client_id)
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.on_socket_open = lambda _c, _u, made: _if_socket(made, self._meter.opened)
        client.on_socket_close = lambda _c, _u, made: _if_socket(made, self._meter.closing)
        client.tunnel = self._open_tunnel if self._ways.way is Way.WEBSOCKET else None
        if session.will_topic:
            client.will_set(session.will_topic, session.will_payload, qos=1, retain=True)
        if not self._address.plain:
            client.tls_set_context(tls_context(self._address))
        elif self._address.host not in LOOPBACK:
            raise BrokerUntrusted(
                f"bench.insecure_broker is set, but {self._address.host} is not this machine",
                "Remove bench.insecure_broker: a lamppost speaks TLS.",
            )
        return client

    def subscribe(self) -> None:
        if self._client is None or not self._session.subscribe_filter:
            raise LinkLost("not connected")
        code, _ = self._client.subscribe(self._session.subscribe_filter, qos=1)
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise LinkLost(f"cannot subscribe: {code.name}")

    def publish(
        self, topic: str, payload: bytes, properties: Sequence[tuple[str, str]] = (), retain: bool = False
    ) -> None:
        if self._client is None:
            raise LinkLost("not connected")
        self._client.speak(topic, payload, properties, retain)

    def disconnect(self, timeout_s: float = 0.0) -> None:
        client, self._client = self._client, None
        if client is None:
            return
        deadline = time.monotonic() + timeout_s
        while client.want_write() and time.monotonic() < deadline:
            time.sleep(0.02)  # paho's thread writes; it offers nothing to wait on
        client.on_disconnect = None
        client.disconnect()
        client.loop_stop()


def _if_socket(made: object, tell: Callable[[socket.socket], None]) -> None:
    if isinstance(made, socket.socket):
        tell(made)


class _Answer:
    """The broker's word on our CONNECT; `refusal` is empty when it accepted."""

    def __init__(self) -> None:
        self.arrived = threading.Event()
        self.refusal = ""
        self.told: Properties | None = None


def _wire(client: Client, events: BrokerEvents, answer: _Answer) -> None:
    """Hand paho's callbacks on to `events`."""

    def on_connect(
        _c: Client, _u: Any, _f: ConnectFlags, reason: ReasonCode, told: Properties | None
    ) -> None:
        if reason.is_failure:
            answer.refusal = f"the broker refused the connection: {reason}"
        answer.told = told
        answer.arrived.set()

    def on_disconnect(_c: Client, _u: Any, _f: DisconnectFlags, reason: ReasonCode, _p: Any) -> None:
        if not answer.arrived.is_set():
            answer.refusal = f"the broker closed the connection instead of accepting it ({reason})"
            answer.arrived.set()
        elif not answer.refusal:
            events.lost(f"the connection ended: {reason}")

    def on_subscribe(_c: Client, _u: Any, _m: int, reasons: list[ReasonCode], _p: Any) -> None:
        if any(reason.is_failure for reason in reasons):
            events.lost(f"the broker refused the subscription: {reasons[0]}")
        else:
            events.subscribed()

    def on_message(c: Client, _u: Any, message: MQTTMessage) -> None:
        def handled() -> None:
            c.ack(message.mid, message.qos)

        events.received(message.topic, bytes(message.payload), handled)

    def on_publish(_c: Client, _u: Any, _m: int, reason: ReasonCode, _p: Any) -> None:
        if reason.is_failure:
            events.publish_refused(f"the broker refused a message of ours: {reason}")

    client.on_connect = on_connect
    client.on_disconnect = on_disconnect
    client.on_subscribe = on_subscribe
    client.on_message = on_message
    client.on_publish = on_publish


def _plainly(error: Exception) -> str:
    if isinstance(error, socket.gaierror):
        return "the name is not known"
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(error)
