"""A lamppost in a thief's hands: its own real certificate, every trick over raw sockets.

Against the broker as `lamppost serve` configures it. After each trick the city still works (`_city_works`).
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from fleet_server.config import BrokerConfig
from fleet_server.telemetry.ingest.broker_link import BrokerLink
from provisioning.authority import Authority, utc_now
from provisioning.broker import IN_FLIGHT_MESSAGES, BrokerSettings, render_mosquitto
from provisioning.errors import BadSetting
from provisioning.storage import write_atomically
from tests.security.raw_mqtt import (
    NOT_AUTHORIZED,
    PUBREC,
    QUOTA_EXCEEDED,
    Closed,
    Raw,
    connect,
    heard,
    may_connect,
    packet,
    publish,
    subscribe,
    text,
    tls,
)
from tests.support.mosquitto import IdentityFiles, MosquittoBroker, make_request
from tests.support.waiting import wait_until
from wire_contract.limits import MAX_MESSAGE_BYTES
from wire_contract.topics import Address, Down, Up, down_topic, up_topic

THIEF, VICTIM = Address("city", "lamp-01"), Address("city", "lamp-02")
MOST_CONNECTIONS = 40


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MosquittoBroker]:
    made = MosquittoBroker(tmp_path_factory.mktemp("b"), own_socket=True)
    small = BrokerSettings(**{**vars(made.settings), "most_connections": MOST_CONNECTIONS})
    for name, words in render_mosquitto(small).items():
        write_atomically(made.directory / name, words.encode())
    made.start()
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="module")
def thief(broker: MosquittoBroker) -> IdentityFiles:
    return broker.device_identity(THIEF)


@pytest.fixture(scope="module")
def victim(broker: MosquittoBroker) -> IdentityFiles:
    return broker.device_identity(VICTIM)


@pytest.fixture(scope="module")
def role(broker: MosquittoBroker) -> IdentityFiles:
    return broker.server_identity()


@pytest.fixture
def server(broker: MosquittoBroker, role: IdentityFiles) -> Iterator[Raw]:
    """The server's side: hears whatever anybody publishes."""
    with tls(broker, role, broker.settings.server_socket) as raw:
        assert raw.opened("server") == 0
        raw.send(subscribe("lp/1/#"))
        assert heard(raw.answers()) == []
        yield raw


def _city_works(broker: MosquittoBroker, victim: IdentityFiles, server: Raw) -> None:
    """Another lamppost's reading arrives, and it is the only thing that does."""
    with tls(broker, victim) as raw:
        assert raw.opened() == 0
        assert raw.published(up_topic(VICTIM, Up.LIVE), b"reading") == 0
    assert heard(server.answers()) == [(up_topic(VICTIM, Up.LIVE), b"reading")]


@pytest.mark.parametrize(
    "topic",
    [
        up_topic(VICTIM, Up.LIVE),
        down_topic(VICTIM, Down.COMMAND),
        down_topic(THIEF, Down.ACK),
        "lp/1/other/lamp-01/up/live",
        "lp/1/city/lamp-01/up/live/deeper",
        "lp/1/city//up/live",
        "$SYS/broker/uptime",
        "$share/x/lp/1/city/lamp-02/up/live",
        "/".join("a" * 180),
    ],
)
def test_it_speaks_on_its_own_topics_alone(
    broker: MosquittoBroker, thief: IdentityFiles, victim: IdentityFiles, server: Raw, topic: str
) -> None:
    with tls(broker, thief) as raw:
        assert raw.opened() == 0
        assert raw.published(topic, b"forged", retain=True) == NOT_AUTHORIZED
    _city_works(broker, victim, server)


def test_an_alias_is_no_way_round_the_access_list(
    broker: MosquittoBroker, thief: IdentityFiles, victim: IdentityFiles, server: Raw
) -> None:
    with tls(broker, thief) as raw, tls(broker, victim) as other:
        assert raw.opened() == other.opened() == 0
        assert other.published(up_topic(VICTIM, Up.LIVE), b"reading", alias=1) == 0
        assert raw.published(up_topic(VICTIM, Up.LIVE), b"forged", alias=1) == NOT_AUTHORIZED
        assert raw.published("", b"forged", alias=1) == NOT_AUTHORIZED
        assert raw.published(up_topic(THIEF, Up.LIVE), b"own", alias=len(Up)) == 0
        assert raw.published("", b"own", alias=len(Up)) == other.published("", b"reading", alias=1) == 0
        assert raw.published("", b"forged", alias=1) == NOT_AUTHORIZED, "another's alias is not ours"
    assert heard(server.answers()) == [
        (up_topic(VICTIM, Up.LIVE), b"reading"),
        (up_topic(THIEF, Up.LIVE), b"own"),
        (up_topic(THIEF, Up.LIVE), b"own"),
        (up_topic(VICTIM, Up.LIVE), b"reading"),
    ]
    _city_works(broker, victim, server)


def test_it_hears_nothing_of_others(
    broker: MosquittoBroker, thief: IdentityFiles, victim: IdentityFiles, server: Raw
) -> None:
    greedy = (
        "#",
        "+/#",
        "lp/#",
        "lp/1/+/+/#",
        "$SYS/#",
        "lp/1/city/lamp-02/#",
        "$share/x/lp/1/#",
        "$share/x/#",
    )
    with tls(broker, thief) as raw, tls(broker, victim) as other:
        assert raw.opened() == other.opened() == 0
        raw.send(subscribe(*greedy))
        raw.answers()
        assert other.published(up_topic(VICTIM, Up.PRESENCE), b"private", retain=True) == 0
        server.send(publish(down_topic(VICTIM, Down.COMMAND), b"private"))
        server.answers()
        assert heard(raw.answers()) == []
        raw.send(subscribe("lp/1/+/+/up/presence", mid=2))  # what is retained is not for it either
        assert heard(raw.answers()) == []
        assert other.published(up_topic(VICTIM, Up.PRESENCE), b"", retain=True) == 0


def test_it_cannot_take_another_s_connection_and_has_one_itself(
    broker: MosquittoBroker, thief: IdentityFiles, victim: IdentityFiles, server: Raw
) -> None:
    with tls(broker, victim) as other, tls(broker, thief) as first, tls(broker, thief) as second:
        assert other.opened("whatever") == 0
        assert first.opened(str(VICTIM)) == 0, "the name it asks for is not the one that it gets"
        assert other.published(up_topic(VICTIM, Up.LIVE), b"still here") == 0
        assert second.opened("server") == 0
        assert first.is_closed(), "one certificate, one connection"
        assert other.published(up_topic(VICTIM, Up.LIVE), b"still here") == 0
    assert [said for _, said in heard(server.answers())] == [b"still here"] * 2


def test_its_last_will_is_on_its_own_topics_alone(
    broker: MosquittoBroker, thief: IdentityFiles, victim: IdentityFiles, server: Raw
) -> None:
    for topic in (up_topic(VICTIM, Up.PRESENCE), down_topic(VICTIM, Down.COMMAND), "lp/1/#"):
        with tls(broker, thief) as raw:
            try:
                raw.opened(will=(topic, b"forged"))
            except Closed:
                continue
    with tls(broker, thief) as raw:
        assert raw.opened(will=(up_topic(THIEF, Up.PRESENCE), b"mine")) == 0
    wait_until(lambda: _collected(server), 10, "the will on its own topic")
    assert _heard == [(up_topic(THIEF, Up.PRESENCE), b"mine")]
    _heard.clear()
    with tls(broker, thief) as raw:
        assert raw.opened() == 0
        assert raw.published(up_topic(THIEF, Up.PRESENCE), b"", retain=True) == 0
    server.answers()
    _city_works(broker, victim, server)


_heard: list[tuple[str, bytes]] = []


def _collected(server: Raw) -> bool:
    _heard.extend(heard(server.answers()))
    return bool(_heard)


TOO_DEEP = "/".join("a" * 300)
MALFORMED = {
    "two connects": connect("x"),
    "nonsense": b"\x00" * 64,
    "a length without an end": b"\x30\xff\xff\xff\xff\xff\xff",
    "longer than it says": packet(0x30, text("lp/1/city/lamp-01/up/live"))[:-3] + b"\xff\xff\xff",
    "no UTF-8": publish(b"lp/1/city/\xff\xfe/up/live", b"x"),
    "NUL in a topic": publish(b"lp/1/city/lamp-01\x00/up/live", b"x"),
    "wildcard in a topic": publish("lp/1/city/+/up/live", b"x"),
    "QoS 3": packet(0x36, text("lp/1/city/lamp-01/up/live") + b"\x00\x01\x00x"),
    "no packet identifier": packet(0x32, text("lp/1/city/lamp-01/up/live") + b"\x00\x00\x00x"),
    "empty subscription": packet(0x82, b"\x00\x01\x00"),
    "too deep a filter": subscribe(TOO_DEEP),
    "too large": publish(up_topic(THIEF, Up.HISTORY), bytes(2 * MAX_MESSAGE_BYTES)),
    "too large, not there": b"\x32\xff\xff\xff\x7f",
    "an alias that nobody gave": publish("", b"x", alias=1),
    "alias 0": publish(up_topic(THIEF, Up.LIVE), b"x", alias=0),
    "more aliases than channels": publish(up_topic(THIEF, Up.LIVE), b"x", alias=len(Up) + 1),
    "neither topic nor alias": publish("", b"x"),
    "a property without an end": packet(0x30, text("lp/1/city/lamp-01/up/live") + b"\xff\xff\xff\x7f"),
}


def test_what_is_malformed_or_too_large_ends_its_connection_and_nothing_else(
    broker: MosquittoBroker, thief: IdentityFiles, victim: IdentityFiles, server: Raw
) -> None:
    for name, data in MALFORMED.items():
        with tls(broker, thief) as raw:
            assert raw.opened() == 0
            try:
                raw.send(data + b"\xc0\x00" * 4)
            except Closed:
                continue
            assert raw.is_closed(), name
    _city_works(broker, victim, server)


def test_what_it_leaves_open_is_bounded(
    broker: MosquittoBroker, thief: IdentityFiles, victim: IdentityFiles, server: Raw
) -> None:
    """QoS 2 without the second half: past the receive maximum the broker keeps nothing more."""
    with tls(broker, thief) as raw:
        assert raw.opened() == 0
        topic = up_topic(THIEF, Up.LIVE)
        raw.send(b"".join(publish(topic, b"x", mid, qos=2) for mid in range(1, 1000)))
        codes = [body[2] if len(body) > 2 else 0 for kind, body in raw.answers() if kind == PUBREC]
        assert set(codes) == {0, QUOTA_EXCEEDED}
        assert codes.count(0) <= 3 * IN_FLIGHT_MESSAGES  # Mosquitto 2.0 gives more than it announces
    server.answers()
    with tls(broker, thief) as raw:
        assert raw.opened() == 0
        raw.send(publish(up_topic(THIEF, Up.LIVE), b"x", 0, qos=1))
        assert raw.is_closed()
    _city_works(broker, victim, server)


def test_whoever_has_no_good_certificate_stays_out(
    broker: MosquittoBroker, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("foreign")
    foreign = Authority.init(folder / "authority", "Testing")
    lost = broker.device_identity(Address("city", "lamp-09"))
    assert may_connect(broker, lost)
    assert broker.authority.revoke(lost.serial)
    broker.reload()
    wait_until(lambda: not may_connect(broker, lost), 10, "the revoked certificate to be refused")
    assert not may_connect(broker, None)
    assert not may_connect(broker, broker.device_identity(THIEF, foreign)), "another city's"
    assert not may_connect(broker, broker.expired_identity(THIEF))
    assert not may_connect(broker, _self_signed(broker, str(THIEF)))
    assert not may_connect(broker, _self_signed(broker, "lamppost-ingest"))
    made = broker.settings
    assert not may_connect(broker, IdentityFiles(made.trust_file, made.certificate_file, made.key_file))


def test_it_cannot_be_told_from_who_it_is_by_what_it_says(
    broker: MosquittoBroker, thief: IdentityFiles, victim: IdentityFiles, server: Raw
) -> None:
    """A user name and password in CONNECT do not count beside the certificate."""
    said = text("") + text("lamppost-ingest") + text("password")
    with tls(broker, thief) as raw:
        raw.send(packet(0x10, text("MQTT") + bytes((5, 0xC2)) + b"\x00\x3c\x00" + said))
        _, body = raw.read()
        assert body[1] == 0
        assert raw.published(up_topic(VICTIM, Up.LIVE), b"forged") == NOT_AUTHORIZED
    _city_works(broker, victim, server)


def test_many_filters_and_a_deaf_ear_do_not_trouble_others(
    broker: MosquittoBroker, thief: IdentityFiles, victim: IdentityFiles, server: Raw
) -> None:
    """It subscribes to thousands of filters, and never reads what comes."""
    with tls(broker, thief) as raw:
        assert raw.opened() == 0
        for start in range(0, 5000, 1000):
            raw.send(
                subscribe(*[f"lp/1/city/lamp-01/down/{n}" for n in range(start, start + 1000)], mid=1 + start)
            )
        raw.send(subscribe("lp/1/city/lamp-01/down/#", mid=9999))
        for _ in range(200):
            server.send(publish(down_topic(THIEF, Down.ACK), bytes(50_000), qos=0))
        server.answers()  # it hears itself
        _city_works(broker, victim, server)


def test_connections_that_say_nothing_do_not_shut_out_the_server(
    broker: MosquittoBroker, thief: IdentityFiles, victim: IdentityFiles, role: IdentityFiles
) -> None:
    """Slow handshakes take the devices' places, for 90 s each; never the server's own."""
    held = [socket.create_connection((broker.host, broker.port)) for _ in range(2 * MOST_CONNECTIONS)]
    try:
        with tls(broker, role, broker.settings.server_socket) as raw:
            assert raw.opened("server-2") == 0
            raw.send(subscribe("lp/1/#"))
            assert [kind for kind, _ in raw.answers()] != []
    finally:
        for each in held:
            each.close()
    wait_until(lambda: may_connect(broker, victim), 10, "the places to be free again")


def test_the_server_s_own_socket_is_not_a_way_round_the_certificate(
    broker: MosquittoBroker, thief: IdentityFiles
) -> None:
    own = broker.settings.server_socket
    with pytest.raises((OSError, Closed)), tls(broker, None, own) as raw:
        raw.opened()
    with tls(broker, thief, own) as raw:  # a device that got there would still be no more than itself
        assert raw.opened("server") == 0
        assert raw.published(up_topic(VICTIM, Up.LIVE), b"forged") == NOT_AUTHORIZED


def test_the_ingest_takes_the_server_s_own_door(broker: MosquittoBroker, role: IdentityFiles) -> None:
    """Several of it, by one certificate: none ends another's connection."""
    made = broker.settings
    files = (role.ca, role.certificate, role.key)
    config = BrokerConfig(broker.host, 1, True, "", *files, server_socket=made.server_socket)
    links, ready = [], []
    for number in range(2):
        ready.append(threading.Event())
        links.append(BrokerLink(config, f"ingest-{number}", lambda _: None, ready[-1].set))
        links[-1].start()
    try:
        assert all(each.wait(30) for each in ready)
        assert not any(each._told for each in links)
    finally:
        for each in links:
            each.stop()


def test_a_socket_s_path_and_the_number_of_connections_are_checked(broker: MosquittoBroker) -> None:
    for change in (
        {"server_socket": broker.directory / ("x" * 120)},
        {"server_socket": broker.directory.relative_to("/")},
        {"most_connections": 0},
    ):
        with pytest.raises(BadSetting):
            render_mosquitto(BrokerSettings(**{**vars(broker.settings), **change}))


def _self_signed(broker: MosquittoBroker, name: str) -> IdentityFiles:
    key = ec.generate_private_key(ec.SECP256R1())
    _, pem = make_request(name, key)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(utc_now().replace(year=2020))
        .not_valid_after(utc_now().replace(year=2040))
        .sign(key, hashes.SHA256())
    )
    return broker._saved("self-signed", made.public_bytes(Encoding.PEM).decode(), pem)
