"""The ingest's link to a broker that misbehaves: scripted here, because Mosquitto does not."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from fleet_server.config import BrokerConfig
from fleet_server.telemetry.ingest import broker_link, mqtt5
from fleet_server.telemetry.ingest.broker_link import BrokerLink
from fleet_server.telemetry.ingest.intake import Incoming
from fleet_server.telemetry.ingest.mailbox import Mailbox
from tests.fleet_server.telemetry.support import Post
from tests.fleet_server.telemetry.test_ingest_role import Street
from tests.support.mosquitto import MosquittoBroker
from tests.support.waiting import wait_until
from wire_contract.classes import Class

WITHIN_S = 6.0
FILTERS = len(broker_link.subscriptions("any"))


def connack(*properties: bytes, reason: int = 0, present: bool = False) -> bytes:
    told = b"".join(properties)
    body = bytes((present, reason, len(told))) + told
    return bytes((0x20, len(body))) + body


def suback(*codes: int) -> bytes:
    body = b"\xff\xff\x00" + bytes(codes or [1] * FILTERS)
    return bytes((0x90, len(body))) + body


class Peer:
    """The broker's end of one connection."""

    def __init__(self, tls: ssl.SSLSocket, answers: dict[int, bytes]) -> None:
        self.tls = tls
        self.got: list[mqtt5.Packet] = []
        self.gone = False
        self.answers = answers
        self._writing = threading.Lock()

    def run(self) -> None:
        reader = mqtt5.Reader()
        with suppress(OSError):
            while data := self.tls.recv(65536):
                for packet in reader.feed(data):
                    if packet.kind in self.answers:
                        self.send(self.answers[packet.kind])
                    self.got.append(packet)  # last: whoever waits for it may write then, behind the answer
        self.gone = True

    def send(self, data: bytes) -> None:
        with suppress(OSError), self._writing:
            self.tls.sendall(data)

    def count(self, kind: int) -> int:
        return sum(packet.kind == kind for packet in list(self.got))


class FakeBroker:
    """Answers each kind of packet with the given bytes: as a broker should, until they are changed."""

    def __init__(self, made: MosquittoBroker) -> None:
        self.answers = {1: connack(), 8: suback(), 12: b"\xd0\x00"}
        self.peers: list[Peer] = []
        own = made.settings
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(own.certificate_file, own.key_file)
        self._listening = socket.create_server(("127.0.0.1", 0))
        files = made.server_identity()
        port = self._listening.getsockname()[1]
        self.config = BrokerConfig("127.0.0.1", port, False, "", files.ca, files.certificate, files.key)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                plain, _ = self._listening.accept()
                with suppress(OSError):
                    tls = self._context.wrap_socket(plain, server_side=True)
                    self.peers.append(Peer(tls, self.answers))
                    threading.Thread(target=self.peers[-1].run, daemon=True).start()

    def close(self) -> None:
        self._listening.close()
        for peer in self.peers:
            with suppress(OSError):
                peer.tls.shutdown(socket.SHUT_RDWR)

    def peer(self, number: int = 1, kind: int = 1) -> Peer:
        """The connection of this number, once it sent a packet of this kind."""
        wait_until(
            lambda: len(self.peers) >= number and self.peers[number - 1].count(kind),
            WITHIN_S,
            f"packet {kind} of connection {number}",
        )
        return self.peers[number - 1]


class Client:
    def __init__(self, config: BrokerConfig) -> None:
        self.taken: list[Incoming] = []
        self.ready = threading.Event()
        self.link = BrokerLink(config, "tested", self.taken.extend, self.ready.set)


@pytest.fixture(scope="module")
def identities(tmp_path_factory: pytest.TempPathFactory) -> MosquittoBroker:
    """Not started: its certificates only."""
    return MosquittoBroker(tmp_path_factory.mktemp("identities"))


@pytest.fixture
def fake(identities: MosquittoBroker, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeBroker]:
    monkeypatch.setattr(broker_link, "RECONNECT_FROM_S", 0.05)
    made = FakeBroker(identities)
    yield made
    made.close()


@pytest.fixture
def start(fake: FakeBroker) -> Iterator[Callable[[], Client]]:
    made: list[Client] = []

    def begin() -> Client:
        made.append(Client(fake.config))
        made[-1].link.start()
        return made[-1]

    yield begin
    for each in made:
        each.link.stop()


def live(n: int, mid: int) -> bytes:
    incoming = Post().publish(Class.LIVE, b"%d" % n)
    return mqtt5.publish(incoming.topic, incoming.payload, mid=mid, properties=incoming.properties)


def test_packets_cut_anywhere_and_many_at_once(fake: FakeBroker, start: Callable[[], Client]) -> None:
    client = start()
    peer = fake.peer(kind=8)
    for byte in live(1, 1) + live(2, 2):
        peer.send(bytes((byte,)))
    peer.send(b"".join(live(n, n) for n in range(3, 200)))
    wait_until(lambda: len(client.taken) == 199, WITHIN_S, "all messages")
    assert [int(each.payload) for each in client.taken] == list(range(1, 200))
    client.link.acknowledge(client.taken)
    wait_until(lambda: peer.count(4) == 199, WITHIN_S, "all PUBACKs")


def test_it_pings_while_it_hears_and_says_nothing(
    fake: FakeBroker, start: Callable[[], Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker is in a long transaction, messages trickle in: the broker counts what it gets from us."""
    monkeypatch.setattr(broker_link, "KEEPALIVE_S", 1)
    start()
    fake.peer(kind=8)

    def pinged() -> bool:
        """By the connection there is: a machine that stops for two seconds is a broker that fell silent."""
        peer = fake.peers[-1]
        if peer.count(8):
            peer.send(live(1, 1))
        time.sleep(0.01)  # a trickle: never a second of silence
        return bool(peer.count(12))

    assert any(pinged() for _ in range(2_000))


def test_the_brokers_own_keep_alive_is_what_counts(fake: FakeBroker, start: Callable[[], Client]) -> None:
    fake.answers[1] = connack(b"\x13\x00\x01")
    start()
    fake.peer(kind=12)  # with its own thirty seconds it would not ping within the test


def test_a_broker_that_falls_silent_is_left(
    fake: FakeBroker, start: Callable[[], Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the network swallows everything: nothing comes, nothing is refused."""
    monkeypatch.setattr(broker_link, "KEEPALIVE_S", 1)
    del fake.answers[12]
    client = start()
    assert client.ready.wait(WITHIN_S)
    fake.peer(2)


def test_a_broker_that_never_answers_is_left(
    fake: FakeBroker, start: Callable[[], Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker_link, "CONNECT_TIMEOUT_S", 0.5)
    del fake.answers[1]
    start()
    assert fake.peer(2).count(12) == 0, "no ping before the broker accepted"


def test_stopping_waits_for_no_broker_that_never_answers(fake: FakeBroker) -> None:
    del fake.answers[1]
    client = Client(fake.config)
    client.link.start()
    fake.peer()
    client.link.stop()
    assert not client.link._thread.is_alive()


@pytest.mark.parametrize(
    "answer",
    [
        suback(*[1] * (FILTERS - 1), 0x87),
        b"\x90\x03\xff\xff\x00",  # no code at all
    ],
)
def test_a_refused_subscription_is_asked_for_again(
    fake: FakeBroker, start: Callable[[], Client], answer: bytes
) -> None:
    fake.answers[8] = answer
    client = start()
    fake.peer(2)
    assert not client.ready.is_set()
    fake.answers[8] = suback()
    assert client.ready.wait(WITHIN_S)


@pytest.mark.parametrize(
    "bad",
    [
        b"\x30\xff\xff\xff\xff\x01",  # a length of five bytes
        b"\x20\x03\x00\x00\x00",  # accepted twice
        b"\x00\x00",  # no such packet
        b"\x62\x02\x00\x01",  # PUBREL
        b"\x34\x06\x00\x01t\x00\x07\x00",  # QoS 2, which was not subscribed
        b"\x32\x06\x00\x01t\x00\x00\x00",  # QoS 1 without identifier
        b"\x32\x05\x00\x00\x00\x07\x00",  # no topic
        b"\x40\x01\x00",  # a PUBACK cut off
        b"\xe0\x02\x8e\x00",  # session taken over
        b"\xe0\x02\x9d\x00",  # server moved
        b"HTTP/1.1 400 Bad Request\r\n\r\n" * 9,
    ],
)
def test_what_is_not_mqtt_5_ends_the_connection_and_not_the_thread(
    fake: FakeBroker, start: Callable[[], Client], bad: bytes
) -> None:
    client = start()
    assert client.ready.wait(WITHIN_S)
    peer = fake.peer(kind=8)
    peer.send(live(1, 1) + bad)
    fake.peer(2, 8).send(live(1, 1))
    wait_until(lambda: client.taken, WITHIN_S, "the message, delivered again")
    client.link.acknowledge(client.taken)
    wait_until(lambda: fake.peers[-1].count(4) == 1, WITHIN_S, "one PUBACK")


@pytest.mark.parametrize("answer", [connack(reason=0x87), connack(b"\x21\x00\x00"), live(1, 1)])
def test_what_is_no_acceptance_is_tried_again(
    fake: FakeBroker, start: Callable[[], Client], answer: bytes
) -> None:
    """Refused; accepted with a receive maximum of 0; a message instead of an answer."""
    fake.answers[1] = answer
    client = start()
    fake.peer(2)
    fake.answers[1] = connack(present=True)
    assert client.ready.wait(WITHIN_S)
    assert client.taken == []


def test_a_puback_is_for_the_connection_that_its_message_came_by(
    fake: FakeBroker, start: Callable[[], Client]
) -> None:
    client = start()
    fake.peer(kind=8).send(live(1, 7))
    wait_until(lambda: len(client.taken) == 1, WITHIN_S, "the message")
    fake.peers[0].tls.shutdown(socket.SHUT_RDWR)
    peer = fake.peer(2, 8)
    peer.send(live(2, 7) + live(1, 8))
    wait_until(lambda: len(client.taken) == 3, WITHIN_S, "both, by the new connection")
    client.link.acknowledge(client.taken[:1])
    client.link.acknowledge(client.taken[2:])
    wait_until(lambda: peer.count(4), WITHIN_S, "a PUBACK")
    assert [packet.body for packet in peer.got if packet.kind == 4] == [struct.pack(">H", 8)]


def test_no_identifier_is_given_twice_while_it_is_out(fake: FakeBroker, start: Callable[[], Client]) -> None:
    """Message 1 is never acknowledged, sixty-six thousand others are; a strange PUBACK makes no room."""
    fake.answers[1] = connack(b"\x21\x00\x03")
    client = start()
    assert client.ready.wait(WITHIN_S)
    peer = fake.peer(kind=8)
    client.link._mid = mqtt5.PACKET_IDS - 4
    out: list[int] = []

    def sent() -> list[int]:
        packets = [packet for packet in list(peer.got) if packet.kind == 3]
        return [mqtt5.parse_publish(packet).mid for packet in packets]

    client.link.publish([("t", b"%d" % n) for n in range(12)])
    wait_until(lambda: len(sent()) == 3, WITHIN_S, "as many as the broker takes")
    first = sent()[0]
    peer.send(mqtt5.pubacks([12_345, 12_346]))
    for _ in range(9):
        before = sent()
        peer.send(mqtt5.pubacks([before[-1]]))
        out.append(before[-1])
        wait_until(lambda before=before: len(sent()) > len(before), WITHIN_S, "the next")  # type: ignore[misc]
    assert len(sent()) == 12
    assert len(set(sent())) == 12
    assert mqtt5.PACKET_IDS not in sent(), "it is the subscription's"
    client.link._mid = first - 1
    client.link.publish([("t", b"again")])
    peer.send(mqtt5.pubacks([sent()[-1]]))
    wait_until(lambda: len(sent()) == 13, WITHIN_S, "one more")
    assert sent()[-1] != first


def test_nothing_larger_than_the_broker_takes_is_sent(fake: FakeBroker, start: Callable[[], Client]) -> None:
    fake.answers[1] = connack(b"\x27\x00\x00\x00\x40")
    client = start()
    assert client.ready.wait(WITHIN_S)
    client.link.publish([("t", bytes(100)), ("t", b"small")])
    peer = fake.peer(kind=3)
    assert [mqtt5.parse_publish(each).payload for each in peer.got if each.kind == 3] == [b"small"]


def test_a_broker_that_gives_more_than_was_agreed_is_left(
    fake: FakeBroker, start: Callable[[], Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker_link, "RECEIVE_MAXIMUM", 10)
    monkeypatch.setattr(broker_link, "OVERRUN", 2)
    client = start()
    for n in range(1, 100):
        fake.peer(kind=8).send(live(n, n))
    fake.peer(2)
    assert len(client.taken) <= 20


def test_messages_that_nobody_counts_are_bounded_too() -> None:
    """With QoS 0 the receive maximum bounds nothing. What is counted is never dropped."""
    box = Mailbox()
    plain = Post().publish(Class.LIVE, b"0")
    counted = Incoming(plain.topic, b"1", (), 5, 0)
    for _ in range(50):
        box.put([plain] * 1000)
    box.put([counted])
    group = box.take(1_000_000, 0.0)
    assert len(group) < 10_000
    assert group[-1] is counted


@pytest.mark.parametrize("trouble", ["another authority", "no file", "not a certificate"])
def test_an_identity_that_is_mended_is_taken_at_the_next_attempt(
    fake: FakeBroker, tmp_path: Path, trouble: str, identities: MosquittoBroker
) -> None:
    config = fake.config
    mended = config.ca_file.read_bytes()
    ca = tmp_path / "ca.pem"
    if trouble == "another authority":
        (tmp_path / "other").mkdir()
        ca.write_bytes(MosquittoBroker(tmp_path / "other").server_identity().ca.read_bytes())
    elif trouble == "not a certificate":
        ca.write_bytes(b"-----BEGIN CERTIFICATE-----\nnothing\n-----END CERTIFICATE-----\n")
    files = (ca, config.certificate_file, config.key_file)
    client = Client(BrokerConfig(config.host, config.port, False, "", *files))
    client.link.start()
    try:
        wait_until(lambda: client.link._told, WITHIN_S, "the trouble to be told")
        assert not client.ready.is_set()
        ca.write_bytes(mended)
        assert client.ready.wait(WITHIN_S)
    finally:
        client.link.stop()


def test_a_message_too_large_for_us_does_not_come_for_ever(broker: MosquittoBroker) -> None:
    """A broker of the operator's own may let it through: it is the broker's to drop, not ours to die of."""
    file = broker.directory / "mosquitto.conf"
    lines = [line for line in file.read_text().splitlines() if not line.startswith("max_packet_size")]
    file.write_text("\n".join([*lines, ""]))
    broker.restart()
    files = broker.server_identity()
    client = Client(BrokerConfig(broker.host, broker.port, False, "", files.ca, files.certificate, files.key))
    client.link.start()
    assert client.ready.wait(WITHIN_S)
    street = Street(broker, Post())
    street.send(street.post.publish(Class.LIVE, bytes(broker_link.MAX_PACKET_BYTES + 1)))
    street.send(street.post.publish(Class.LIVE, b"small"))
    wait_until(lambda: client.taken, WITHIN_S, "the next message")
    assert [each.payload for each in client.taken] == [b"small"]
    client.link.stop()
    street.close()
