"""The generated configuration in a real Mosquitto: own topics only, for the certified only."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from provisioning.authority import Authority
from provisioning.broker import BrokerSettings, render_mosquitto
from provisioning.errors import BadSetting
from tests.provisioning.mqtt_client import connected, may_connect
from tests.support.mosquitto import IdentityFiles, MosquittoBroker
from tests.support.waiting import wait_until
from wire_contract.limits import MAX_MESSAGE_BYTES
from wire_contract.topics import ALL_UP_FILTER, Address, Down, Up, down_filter, down_topic, up_topic

ONE, OTHER = Address("city", "lamp-01"), Address("city", "lamp-02")
NOT_AUTHORIZED = 0x87  # MQTT 5, section 2.4


def test_a_device_speaks_on_its_own_topics_and_hears_its_own(broker: MosquittoBroker) -> None:
    with (
        connected(broker, broker.server_identity()) as server,
        connected(broker, broker.device_identity(ONE)) as device,
    ):
        server.subscribe(ALL_UP_FILTER)
        device.subscribe(down_filter(ONE))
        assert not device.publish(up_topic(ONE, Up.LIVE), b"reading").is_failure
        wait_until(lambda: server.inbox, 10, "the device's reading at the server")
        server.publish(down_topic(ONE, Down.ACK), b"ack")
        wait_until(lambda: device.inbox, 10, "the server's ack at the device")
    assert server.inbox == [(up_topic(ONE, Up.LIVE), b"reading")]
    assert device.inbox == [(down_topic(ONE, Down.ACK), b"ack")]


@pytest.mark.parametrize(
    "topic",
    [
        up_topic(OTHER, Up.LIVE),
        down_topic(ONE, Down.ACK),
        "lp/1/city/up/live",
        "lp/1/lamp-01/up/live",
        "lp/2/city/lamp-01/up/live",
        "lp/1/city/lamp-01/up/live/1",  # any number of topics to leave retained messages on
        "lp/1/city/lamp-01/up/elsewhere",
        "somewhere/else",
    ],
)
def test_a_device_may_not_publish_elsewhere(broker: MosquittoBroker, topic: str) -> None:
    with connected(broker, broker.server_identity()) as server:
        server.subscribe("lp/1/#")
        with connected(broker, broker.device_identity(ONE)) as device:
            assert device.publish(topic, b"forged").value == NOT_AUTHORIZED
            device.publish(up_topic(ONE, Up.LIVE), b"after")
        wait_until(lambda: server.inbox, 10, "what the device may send")
    assert server.inbox == [(up_topic(ONE, Up.LIVE), b"after")]


@pytest.mark.parametrize("asked", ["lp/1/#", "lp/1/+/+/down/#", down_filter(OTHER), ALL_UP_FILTER, "#"])
def test_a_device_hears_nothing_of_others_whatever_it_subscribes_to(
    broker: MosquittoBroker, asked: str
) -> None:
    with (
        connected(broker, broker.server_identity()) as server,
        connected(broker, broker.device_identity(ONE)) as eavesdropper,
        connected(broker, broker.device_identity(OTHER)) as device,
    ):
        eavesdropper.subscribe(asked)  # Mosquitto grants it and filters what is delivered
        eavesdropper.subscribe(down_filter(ONE))
        device.publish(up_topic(OTHER, Up.LIVE), b"private")
        server.publish(down_topic(OTHER, Down.COMMAND), b"private")
        server.publish(down_topic(ONE, Down.ACK), b"last")
        wait_until(lambda: (down_topic(ONE, Down.ACK), b"last") in eavesdropper.inbox, 10, "its own message")
    assert {topic for topic, _ in eavesdropper.inbox} == {down_topic(ONE, Down.ACK)}


def test_a_device_may_publish_on_every_channel_of_the_wire(broker: MosquittoBroker) -> None:
    with connected(broker, broker.device_identity(ONE)) as device:
        assert not [channel for channel in Up if device.publish(up_topic(ONE, channel), b"x").is_failure]


def test_no_certificate_no_connection(broker: MosquittoBroker) -> None:
    assert may_connect(broker, broker.device_identity(ONE))
    assert not may_connect(broker, None)


def test_another_city_s_authority_is_refused(broker: MosquittoBroker, tmp_path: Path) -> None:
    foreign = Authority.init(tmp_path / "foreign", "Testing")
    assert not may_connect(broker, broker.device_identity(ONE, foreign))


def test_an_expired_certificate_is_refused(broker: MosquittoBroker) -> None:
    assert not may_connect(broker, broker.expired_identity(ONE))


def test_the_broker_s_own_certificate_opens_no_door(broker: MosquittoBroker) -> None:
    made = broker.settings
    own = IdentityFiles(made.trust_file, made.certificate_file, made.key_file)
    assert not may_connect(broker, own)


def test_a_revoked_certificate_is_refused_after_a_reload_and_others_are_not(broker: MosquittoBroker) -> None:
    lost, kept = broker.device_identity(ONE), broker.device_identity(OTHER)
    assert may_connect(broker, lost)
    assert broker.authority.revoke(lost.serial)
    broker.reload()
    wait_until(lambda: not may_connect(broker, lost), 10, "the revoked certificate to be refused")
    assert may_connect(broker, kept)
    broker.restart()
    assert not may_connect(broker, lost)


def test_the_broker_takes_its_next_certificate_without_a_restart(broker: MosquittoBroker) -> None:
    with connected(broker, broker.device_identity(ONE)) as device:
        made = broker.authority.issue_server("broker", [broker.host])
        made.save(broker.settings.certificate_file, broker.settings.key_file)
        broker.reload()
        leaf = made.leaf.public_bytes(Encoding.DER)
        wait_until(lambda: _shown(broker) == leaf, 10, "the next certificate")
        assert not device.publish(up_topic(ONE, Up.LIVE), b"still here").is_failure


def _shown(broker: MosquittoBroker) -> bytes:
    return ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate((broker.host, broker.port)))


def test_retained_messages_survive_a_restart_and_not_a_wipe(broker: MosquittoBroker) -> None:
    server = broker.server_identity()
    topic = up_topic(ONE, Up.PRESENCE)
    with connected(broker, broker.device_identity(ONE)) as device:
        device.client.publish(topic, b"online", qos=1, retain=True).wait_for_publish(10)
    broker.restart()
    with connected(broker, server) as reader:
        reader.subscribe(topic)
        wait_until(lambda: reader.inbox == [(topic, b"online")], 10, "the retained presence")
    broker.kill()
    broker.wipe_state()
    broker.start()
    with connected(broker, server) as reader:
        reader.subscribe(topic)
        reader.publish(topic, b"after")
        wait_until(lambda: reader.inbox, 10, "the message after the wipe")
        assert reader.inbox == [(topic, b"after")]


def test_the_largest_message_of_the_wire_passes_and_a_larger_one_does_not(broker: MosquittoBroker) -> None:
    identity = broker.device_identity(ONE)
    topic = up_topic(ONE, Up.HISTORY)
    with connected(broker, identity) as device:
        assert not device.publish(topic, bytes(MAX_MESSAGE_BYTES)).is_failure
        device.client.publish(topic, bytes(2 * MAX_MESSAGE_BYTES), qos=1)
        assert device.disconnected.wait(30)


def _settings(tmp_path: Path, **changes: object) -> BrokerSettings:
    values: dict[str, object] = {
        "directory": tmp_path,
        "host": "127.0.0.1",
        "port": 8883,
        "trust_file": tmp_path / "trust.pem",
        "certificate_file": tmp_path / "c.pem",
        "key_file": tmp_path / "c.key",
        "crl_file": tmp_path / "crl",
    }
    return BrokerSettings(**(values | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"port": 0}, "port 0"),
        ({"host": "127.0.0.1\nallow_anonymous true"}, "allow_anonymous"),
        ({"user": "root\nlistener 1883"}, "listener"),
        ({"server_roles": ("a/b",)}, "a/b"),
        ({"server_roles": ("#",)}, "#"),
        ({"trust_file": Path("relative.pem")}, "relative.pem"),
        ({"key_file": Path("/x\nlistener 1883")}, "listener"),
    ],
)
def test_what_would_change_the_configuration_s_meaning_is_refused(
    tmp_path: Path, change: dict[str, object], told: str
) -> None:
    with pytest.raises(BadSetting, match=told):
        render_mosquitto(_settings(tmp_path, **change))


def test_nothing_listens_but_what_was_asked_for(tmp_path: Path) -> None:
    lines = render_mosquitto(_settings(tmp_path))["mosquitto.conf"].splitlines()
    assert [line for line in lines if line.startswith(("listener", "allow_anonymous", "require_"))] == [
        "listener 8883 127.0.0.1",
        "require_certificate true",
        "allow_anonymous false",
    ]
