"""One suite over the Broker adapters: paho with a real Mosquitto, plain and with TLS, and memory."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from edge_agent.errors import BrokerRefused, BrokerUnreachable, BrokerUntrusted, LinkLost, NotEnrolled
from edge_agent.io.paho_broker import BrokerAddress, PahoBroker
from edge_agent.ports import Broker, BrokerEvents, Session
from tests.edge_agent.making import ADDRESS
from tests.support.acking_server import AckingServer
from tests.support.deliveries import delivery_of
from tests.support.fakes_edge import MemoryBroker
from tests.support.mosquitto import IdentityFiles, MosquittoBroker, free_port, mosquitto_program
from tests.support.waiting import wait_until
from wire_contract.classes import Class
from wire_contract.envelope import decode, encode
from wire_contract.messages import Ack, CommandReply, Presence
from wire_contract.properties import Delivery
from wire_contract.topics import Down, Up, down_filter, down_topic, up_topic

EPOCH = b"e" * 16
WILL = encode(Presence(False, 7, 1, EPOCH, "1", True))
SESSION = Session(up_topic(ADDRESS, Up.PRESENCE), WILL, down_filter(ADDRESS))
REPLY = encode(CommandReply("c", True, "d", 1))


@dataclass
class Heard:
    """What a broker reported."""

    subscribed: list[bool] = field(default_factory=list)
    received: list[tuple[str, bytes]] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def events(self) -> BrokerEvents:
        def received(topic: str, payload: bytes, handled: Callable[[], None]) -> None:
            self.received.append((topic, payload))
            handled()

        return BrokerEvents(
            lambda: self.subscribed.append(True), received, self.lost.append, self.refused.append
        )


@dataclass
class World:
    """An adapter and the other end: what arrived there, a word to the device, an abrupt end."""

    broker: Broker
    arrived: Callable[[], list[tuple[bytes, Delivery]]]
    say: Callable[[Ack], None]
    cut: Callable[[], None]
    will_seen: Callable[[], bool]


def address_of(host: str, port: int, identity: IdentityFiles | None) -> BrokerAddress:
    nowhere = Path("/nonexistent")
    files = (identity.ca, identity.certificate, identity.key) if identity else (nowhere, nowhere, nowhere)
    return BrokerAddress(host, port, str(ADDRESS), *files, keepalive_s=5, plain=identity is None)


@pytest.fixture
def plain_port(tmp_path: Path) -> Iterator[int]:
    """A Mosquitto without TLS on the loopback interface."""
    port = free_port()
    config = tmp_path / "plain.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
    process = subprocess.Popen(
        [mosquitto_program(), "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    yield port
    process.terminate()
    process.wait(30)


@pytest.fixture(params=["tls", "plain", "memory"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    if request.param == "memory":
        kept: list[tuple[bytes, Delivery]] = []
        memory = MemoryBroker(lambda topic, payload, pairs: kept.append((payload, delivery_of(topic, pairs))))
        yield World(
            memory,
            lambda: kept,
            lambda ack: memory.say(down_topic(ADDRESS, Down.ACK), ack),
            memory.cut,
            lambda: memory.retained.get(SESSION.will_topic) == WILL,
        )
        return
    if request.param == "tls":
        mosquitto: MosquittoBroker = request.getfixturevalue("broker")
        port, identity = mosquitto.port, mosquitto.device_identity(ADDRESS)
        server = AckingServer.on(mosquitto, hold_acks=True).start()
    else:
        port, identity = request.getfixturevalue("plain_port"), None
        wait_until(lambda: _listens(port), 10, "Mosquitto")
        server = AckingServer("127.0.0.1", port, hold_acks=True).start()
    paho = PahoBroker(address_of("127.0.0.1", port, identity))

    def cut() -> None:
        assert paho._client is not None
        sock = paho._client.socket()
        assert isinstance(sock, socket.socket)
        sock.shutdown(2)  # the line is gone, nobody said goodbye

    server.address = ADDRESS
    yield World(
        paho,
        lambda: [(each.payload, each.delivery) for each in server.deliveries],
        lambda ack: server.send(Down.ACK, ack),
        cut,
        lambda: any(not each.online for each in server.presences),
    )
    paho.disconnect()
    server.stop()


def _listens(port: int) -> bool:
    import socket

    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def connected(world: World) -> Heard:
    heard = Heard()
    world.broker.connect(SESSION, heard.events())
    world.broker.subscribe()
    wait_until(lambda: heard.subscribed, 10, "the subscription")
    return heard


def test_what_is_published_arrives_with_its_properties(world: World) -> None:
    connected(world)
    delivery = Delivery(EPOCH, Class.REPLY, 1)
    world.broker.publish(up_topic(ADDRESS, Up.REPLY), REPLY, delivery.to_user_properties())
    wait_until(lambda: world.arrived() == [(REPLY, delivery)], 10, "the message")


def test_what_the_server_says_is_received(world: World) -> None:
    heard = connected(world)
    ack = Ack(EPOCH, 1, 5, ((7, 9),))
    world.say(ack)
    wait_until(lambda: heard.received, 10, "the ack")
    topic, payload = heard.received[0]
    assert topic == down_topic(ADDRESS, Down.ACK)
    assert decode(payload) == ack


def test_a_line_that_is_cut_is_told_and_the_will_speaks(world: World) -> None:
    heard = connected(world)
    world.cut()
    wait_until(lambda: heard.lost, 10, "the loss")
    wait_until(world.will_seen, 10, "the will")


def test_a_goodbye_is_no_loss_and_leaves_the_will_unsaid(world: World) -> None:
    heard = connected(world)
    world.broker.disconnect(1.0)
    world.broker.disconnect()
    assert heard.lost == []
    assert not world.will_seen()
    with pytest.raises(LinkLost):
        world.broker.publish(up_topic(ADDRESS, Up.REPLY), REPLY)


def test_it_connects_again_with_nothing_kept(world: World) -> None:
    connected(world)
    world.broker.disconnect()
    again = connected(world)
    assert again.received == []
    world.broker.publish(
        up_topic(ADDRESS, Up.REPLY), REPLY, Delivery(EPOCH, Class.REPLY, 2).to_user_properties()
    )
    wait_until(lambda: len(world.arrived()) == 1, 10, "the one message")


def test_before_a_connection_everything_is_a_lost_link(world: World) -> None:
    with pytest.raises(LinkLost):
        world.broker.subscribe()
    with pytest.raises(LinkLost):
        world.broker.publish("lp/1/a/b/up/ask", b"")


def test_paho_tells_apart_why_it_cannot_connect(tmp_path: Path, broker: MosquittoBroker) -> None:
    identity = broker.device_identity(ADDRESS)
    heard = Heard()
    with pytest.raises(BrokerUnreachable, match="nothing listens there"):
        PahoBroker(address_of("127.0.0.1", free_port(), identity)).connect(SESSION, heard.events())
    with pytest.raises(BrokerUnreachable, match="name is not known"):
        PahoBroker(address_of("no-such-host.invalid", 1, identity)).connect(SESSION, heard.events())
    missing = IdentityFiles(identity.ca, tmp_path / "none.pem", identity.key)
    with pytest.raises(NotEnrolled):
        PahoBroker(address_of("127.0.0.1", broker.port, missing)).connect(SESSION, heard.events())
    other = broker.device_identity(ADDRESS)
    mixed = IdentityFiles(identity.ca, identity.certificate, other.key)
    with pytest.raises(BrokerUntrusted, match="key"):
        PahoBroker(address_of("127.0.0.1", broker.port, mixed)).connect(SESSION, heard.events())
    expired = broker.expired_identity(ADDRESS)
    with pytest.raises((BrokerRefused, BrokerUntrusted)):
        PahoBroker(address_of("127.0.0.1", broker.port, expired)).connect(SESSION, heard.events())


def test_plain_tcp_is_for_this_machine_only() -> None:
    with pytest.raises(BrokerUntrusted, match="insecure_broker"):
        PahoBroker(address_of("192.0.2.1", 1883, None)).connect(SESSION, Heard().events())


def test_a_publish_that_the_broker_does_not_allow_is_told(broker: MosquittoBroker) -> None:
    paho = PahoBroker(address_of("127.0.0.1", broker.port, broker.device_identity(ADDRESS)))
    heard = Heard()
    paho.connect(SESSION, heard.events())
    paho.publish("lp/1/city/another-post/up/ask", REPLY)
    wait_until(lambda: heard.refused, 10, "the refusal")
    paho.disconnect()
