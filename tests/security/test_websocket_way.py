"""Where a site lets out nothing but the web: the agent's link by the device listener to a real broker."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus

from edge_agent.errors import BrokerUnreachable, LinkError
from edge_agent.io.paho_broker import BrokerAddress, PahoBroker
from edge_agent.ports import BrokerEvents, Session
from fleet_server import api_role
from fleet_server.api import create_device_app
from fleet_server.config import Listen, load_config
from fleet_server.context import Context
from fleet_server.listening import listening
from fleet_server.tunnel import PROTOCOL, Places, house_of
from tests.security.raw_mqtt import heard, publish, subscribe, tls
from tests.support.mosquitto import IdentityFiles, MosquittoBroker
from tests.support.ports import free_port
from tests.support.waiting import wait_until
from tests.support.wss import Tunnel, tunnel
from wire_contract.topics import Address, Down, Up, down_filter, down_topic, up_topic

ONE = Address("city", "lamp-01")
LARGE = bytes(range(256)) * 1000  # 256,000 bytes: in many frames and TLS records


@contextmanager
def door(broker: MosquittoBroker, folder: Path, tunnels: int = 200) -> Iterator[int]:
    """The device listener as the API role makes it, on a port of its own. `tunnels`: of one address."""
    made = load_config(None, data_dir=folder)
    config = replace(
        made,
        broker=replace(made.broker, host=broker.host, port=broker.port),
        limits=replace(made.limits, tunnels_per_address=tunnels),
    )
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(broker.settings.certificate_file, broker.settings.key_file)
    server = api_role._server(create_device_app(Context.of(config)), tls)
    listener = listening("api.device_listen", Listen("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    wait_until(lambda: server.started, 10, "the device listener")
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(30)


def address(broker: MosquittoBroker, files: IdentityFiles, door_port: int, transport: str) -> BrokerAddress:
    """Its MQTT port is one that nobody listens on."""
    keys = (files.ca, files.certificate, files.key)
    return BrokerAddress("localhost", free_port(), "", *keys, 30, False, transport, door_port)


class Ear:
    """What a broker reports."""

    def __init__(self) -> None:
        self.subscribed, self.gone = threading.Event(), threading.Event()
        self.came: list[tuple[str, bytes]] = []
        self.events = BrokerEvents(
            self.subscribed.set, self._hear, lambda _why: self.gone.set(), lambda _why: None
        )

    def _hear(self, topic: str, payload: bytes, handled: object) -> None:
        self.came.append((topic, payload))
        assert callable(handled)
        handled()


SESSION = Session(up_topic(ONE, Up.PRESENCE), b"will", down_filter(ONE))


def test_the_way_around(broker: MosquittoBroker, tmp_path: Path) -> None:
    """Found by itself after two failures; large messages both ways; another authority's, a revoked one, and
    whoever speaks something else stay out; when the broker goes, the link knows."""
    files, ear = broker.device_identity(ONE), Ear()
    with door(broker, tmp_path) as port, tls(broker, broker.server_identity()) as server:
        assert server.opened("server") == 0
        server.send(subscribe("lp/1/+/+/up/#"))
        device = PahoBroker(address(broker, files, port, "auto"))
        for _ in range(2):
            with pytest.raises(BrokerUnreachable, match="nothing listens"):
                device.connect(SESSION, ear.events)
        device.connect(SESSION, ear.events)
        device.subscribe()
        assert ear.subscribed.wait(30)
        device.publish(up_topic(ONE, Up.HISTORY), LARGE)
        said = wait_until(lambda: heard(server.answers()), 10, "the batch at the server")
        assert said == [(up_topic(ONE, Up.HISTORY), LARGE)]
        for number in range(1, 6):
            server.send(publish(down_topic(ONE, Down.COMMAND), LARGE, number))
        server.answers()
        wait_until(lambda: len(ear.came) == 5, 10, "what the server says")
        assert set(ear.came) == {(down_topic(ONE, Down.COMMAND), LARGE)}

        other = PahoBroker(address(broker, broker.expired_identity(ONE), port, "websocket"))
        with pytest.raises(LinkError):
            other.connect(SESSION, Ear().events)
        lost = broker.device_identity(Address("city", "lamp-09"))
        broker.authority.revoke(lost.serial)
        broker.restart()  # where the broker's own WebSockets let it in
        assert ear.gone.wait(30)
        with pytest.raises(LinkError):
            PahoBroker(address(broker, lost, port, "websocket")).connect(SESSION, Ear().events)
        device.connect(SESSION, ear.events)
        device.disconnect()
        _refuses_what_is_no_tunnel(broker, port)
        broker.kill()
        with pytest.raises(LinkError):
            device.connect(SESSION, ear.events)


def _refuses_what_is_no_tunnel(broker: MosquittoBroker, port: int) -> None:
    context = ssl.create_default_context(cafile=str(broker.authority.files.trust))
    url = f"wss://localhost:{port}/mqtt"
    for wrong in ([], ["mqtt"]):
        with pytest.raises(InvalidStatus), tunnel(url, context, *wrong):
            pass
    for sent, code in (("text", 1003), (b"no TLS at all" * 100, 1001), (bytes(2 << 20), 1009)):
        with tunnel(url, context, PROTOCOL) as made:
            made.send(sent)  # to which the broker answers with an alert
            assert made.closed_with() == code
    with tunnel(url, context, PROTOCOL) as made:
        made.send_raw(b"\x82\xff" + (8 << 20).to_bytes(8, "big") + bytes(4))
        assert made.closed_with() == 1009  # eight megabytes are announced: nobody waits for them


def test_who_never_asks_is_cut_off_and_who_is_connected_is_not(
    broker: MosquittoBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_role, "CONNECTION_LIFE_S", 2.0)
    context = ssl.create_default_context(cafile=str(broker.authority.files.trust))
    with door(broker, tmp_path) as port:
        url = f"wss://localhost:{port}/mqtt"
        with tunnel(url, context, PROTOCOL) as connected:
            plain = socket.create_connection(("localhost", port), 20)
            with context.wrap_socket(plain, server_hostname="localhost") as slow:
                slow.sendall(b"GET /")
                with suppress(ConnectionResetError, ssl.SSLEOFError):
                    assert slow.recv(1) == b""
            connected.ping()


def test_nobody_takes_every_place(
    broker: MosquittoBroker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Who has its share is told when to come again; one that ends makes room; the log has a line."""
    context = ssl.create_default_context(cafile=str(broker.authority.files.trust))
    with door(broker, tmp_path, tunnels=2) as port, ExitStack() as open_ones:

        def another() -> AbstractContextManager[Tunnel]:
            return tunnel(f"wss://localhost:{port}/mqtt", context, PROTOCOL)

        first = open_ones.enter_context(another())
        open_ones.enter_context(another())
        for _ in range(3):
            with pytest.raises(InvalidStatus) as refused, another():
                pass
            answer = refused.value.response
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")
        first.close()

        def let_in() -> bool:
            with suppress(InvalidStatus), another():
                return True
            return False

        wait_until(let_in, 10, "the place that is free again")
    lines = [each.message for each in caplog.records if "no more tunnels" in each.message]
    assert (
        lines[0]
        == "no more tunnels for 127.0.0.1: 2 are open (limits.tunnels_per_address = 2, of 2000 in all)"
    )
    assert len(lines) <= 2, "once until one ends"


def test_places_are_bounded_in_all_and_by_house() -> None:
    places = Places(each=2, most=3)
    assert [places.take("a") for _ in range(3)] == [True, True, False]
    assert [places.take(each) for each in "bc"] == [True, False]
    places.leave("a")
    assert places.take("c")
    for each in "abc":
        places.leave(each)
    assert [places.take("b") for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize(
    ("address", "house"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("testclient", "testclient"),
        ("", ""),
    ],
)
def test_who_shares_places(address: str, house: str) -> None:
    assert house_of(address) == house
