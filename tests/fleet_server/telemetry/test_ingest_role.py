"""The ingest role as a process of its own, against a real broker and a real database."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import paho.mqtt.client as mqtt
import psycopg
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from fleet_server.telemetry.ingest.broker_link import subscriptions
from fleet_server.telemetry.ingest.intake import Incoming
from tests.fleet_server.telemetry.support import Desk, Post
from tests.support.mosquitto import MosquittoBroker
from tests.support.waiting import wait_until
from wire_contract.classes import Class
from wire_contract.envelope import decode
from wire_contract.messages import (
    Ack,
    Ask,
    Command,
    CommandName,
    Presence,
    TwinReported,
    Verdict,
    VerdictBatch,
)
from wire_contract.topics import Up, down_filter

WITHIN_S = 30.0


class Street:
    """A lamppost's connection: publishes with QoS 1, collects what comes down."""

    def __init__(self, broker: MosquittoBroker, post: Post) -> None:
        self.post = post
        self.acks: dict[int, Ack] = {}
        self.commands: list[Command] = []
        files = broker.device_identity(post.address)
        client = mqtt.Client(CallbackAPIVersion.VERSION2, uuid.uuid4().hex, protocol=mqtt.MQTTv5)
        client.tls_set(str(files.ca), str(files.certificate), str(files.key))
        client.on_connect = lambda c, *_: c.subscribe(down_filter(post.address), qos=1)
        client.on_message = self._hear
        client.reconnect_delay_set(1, 1)
        client.connect(broker.host, broker.port)
        client.loop_start()
        self.client = client
        wait_until(client.is_connected, WITHIN_S, "the lamppost's connection")

    def _hear(self, _client: object, _user: object, message: mqtt.MQTTMessage) -> None:
        said = decode(bytes(message.payload))
        if isinstance(said, Ack):
            self.acks[said.cls] = said
        elif isinstance(said, Command):
            self.commands.append(said)

    def send(self, incoming: Incoming, *, retain: bool = False) -> None:
        properties = Properties(PacketTypes.PUBLISH)
        if incoming.properties:
            properties.UserProperty = list(incoming.properties)
        self.client.publish(incoming.topic, incoming.payload, 1, retain, properties)

    def acked(self, cls: Class, prefix: int) -> Callable[[], bool]:
        return lambda: cls in self.acks and self.acks[cls].prefix >= prefix

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


class Role:
    """`lamppost serve --role ingest`, or another, without the supervisor."""

    def __init__(self, config: Path, ready: Path, instance: int = 1, name: str = "ingest") -> None:
        ready.unlink(missing_ok=True)
        environment = os.environ | {"LAMPPOST_READY_FILE": str(ready), "LAMPPOST_INSTANCE": str(instance)}
        command = [sys.executable, "-m", "lamppost", "serve", "--role", name, "--config", str(config)]
        self.process = subprocess.Popen(command, env=environment)
        wait_until(ready.exists, WITHIN_S, f"the {name} role to be ready")

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(how)
        return self.process.wait(WITHIN_S)


@pytest.fixture
def config(broker: MosquittoBroker, database_url: str, tmp_path: Path) -> Path:
    files = broker.server_identity()
    path = tmp_path / "server.toml"
    path.write_text(
        f"""
data_dir = "{tmp_path}/data"
[database]
url = "{database_url}"
[broker]
port = {broker.port}
managed = false
ca_file = "{files.ca}"
certificate_file = "{files.certificate}"
key_file = "{files.key}"
"""
    )
    return path


@pytest.fixture
def roles(config: Path, tmp_path: Path) -> Iterator[Callable[..., Role]]:
    started: list[Role] = []

    def start(instance: int = 1, name: str = "ingest") -> Role:
        started.append(Role(config, tmp_path / f"ready-{name}-{instance}", instance, name))
        return started[-1]

    yield start
    for role in started:
        if role.process.poll() is None:
            role.process.kill()
            role.process.wait()


@pytest.fixture
def street(broker: MosquittoBroker, post: Post) -> Iterator[Street]:
    made = Street(broker, post)
    yield made
    made.close()


def recent(n: int) -> list[int]:
    now_ms = int(time.time() * 1000)
    return [now_ms - (n - i) * 60_000 for i in range(n)]


def test_from_the_wire_to_a_row_and_an_ack(desk: Desk, street: Street, roles: Callable[..., Role]) -> None:
    role = roles()
    post = street.post
    street.send(post.tell(Up.PRESENCE, Presence(True, 5, recent(1)[0], post.epoch, "1.0", True)), retain=True)
    street.send(post.declare())
    for t in recent(40):
        street.send(post.publish(Class.LIVE, post.samples([t])))
        street.send(post.publish(Class.HISTORY, post.samples([t - 86_400_000])))
    wait_until(street.acked(Class.LIVE, 40), WITHIN_S, "live to be acked")
    wait_until(street.acked(Class.HISTORY, 40), WITHIN_S, "history to be acked")
    assert street.acks[Class.REPLY].prefix == 1
    assert desk.one("SELECT count(*) FROM sample") == 80
    assert desk.one("SELECT presence FROM device") == "online"
    assert role.end() == 0


def test_no_channel_of_the_wire_goes_unheard(desk: Desk, street: Street, roles: Callable[..., Role]) -> None:
    roles()
    street.send(street.post.tell(Up.TWIN, TwinReported(3, 2, {"flush_interval_s": 10})))
    version = "SELECT reported_version FROM device"
    wait_until(lambda: desk.one(version) == 3, WITHIN_S, "the twin to be stored")
    heard = {topic.rsplit("/", 1)[1] for topic, _ in subscriptions("any")}
    assert heard == set(Up)


def test_a_retained_birth_and_an_ask_are_answered_after_the_fact(
    desk: Desk, street: Street, roles: Callable[..., Role]
) -> None:
    post = street.post
    street.send(post.tell(Up.PRESENCE, Presence(True, 5, recent(1)[0], post.epoch, "1.0", True)), retain=True)
    roles()
    wait_until(lambda: desk.one("SELECT presence FROM device") == "online", WITHIN_S, "the retained birth")
    street.send(post.tell(Up.ASK, Ask(post.epoch, (2, 3))))
    wait_until(lambda: street.acks.keys() >= {2, 3}, WITHIN_S, "an ack of both classes asked")
    assert street.acks[2].prefix == street.acks[3].prefix == 0


def test_an_undeclared_sensor_is_asked_for(street: Street, roles: Callable[..., Role]) -> None:
    roles()
    street.send(street.post.publish(Class.LIVE, street.post.samples(recent(1), unit=4)))
    wait_until(street.acked(Class.LIVE, 1), WITHIN_S, "the dead letter's ack")
    wait_until(lambda: street.commands, WITHIN_S, "the command to declare")
    assert street.commands[0].name == CommandName.DECLARE


def test_an_alarm_that_comes_before_its_sensor_is_declared_is_stored_once_it_is(
    desk: Desk, street: Street, roles: Callable[..., Role]
) -> None:
    """Alarms leave first: after an outage one may name a sensor whose declaration waits behind it."""
    roles()
    roles(name="worker")
    post, (now_ms,) = street.post, recent(1)
    said = [Verdict(now_ms, unit, "episode", 0.99, 0.99, "PM2.5", "rule@1", b"") for unit in (1, 2)]
    street.send(post.publish(Class.ALARM, VerdictBatch(tuple(said))))
    wait_until(street.acked(Class.ALARM, 1), WITHIN_S, "the letter's ack")
    wait_until(lambda: street.commands, WITHIN_S, "the command to declare")
    assert desk.one("SELECT count(*) FROM verdict") == 0
    for unit in (1, 2):
        street.send(post.declare(unit=unit, serial=str(unit)))
    wait_until(lambda: desk.one("SELECT count(*) FROM verdict") == 2, WITHIN_S, "the verdicts")
    assert desk.one("SELECT bool_and(received_at - time < interval '5 minutes') FROM verdict")
    assert desk.one("SELECT count(*) FROM dead_letter WHERE replayed_at IS NULL") == 0


def test_a_killed_worker_s_messages_come_back(desk: Desk, street: Street, roles: Callable[..., Role]) -> None:
    """The worker is killed while it waits for the database with messages in hand: its successor gets them."""
    role = roles()
    street.send(street.post.declare())
    wait_until(street.acked(Class.REPLY, 1), WITHIN_S, "the declaration's ack")
    with desk.connection.transaction():
        desk.connection.execute("LOCK TABLE batch IN ACCESS EXCLUSIVE MODE")
        for t in recent(20):
            street.send(street.post.publish(Class.LIVE, street.post.samples([t])))
        blocked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        with psycopg.connect(desk.connection.info.dsn, autocommit=True) as watch:
            wait_until(
                lambda: watch.execute(blocked).fetchone() == (1,), WITHIN_S, "the worker to be at work"
            )
        role.end(signal.SIGKILL)
    roles()
    wait_until(street.acked(Class.LIVE, 20), WITHIN_S, "everything to be acked by the successor")
    assert desk.one("SELECT count(*) FROM sample") == 20


def test_a_database_that_cuts_its_clients_costs_nothing(
    desk: Desk, street: Street, roles: Callable[..., Role]
) -> None:
    roles()
    street.send(street.post.declare())
    for i, t in enumerate(recent(100)):
        street.send(street.post.publish(Class.LIVE, street.post.samples([t])))
        if i % 25 == 10:
            desk.connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND datname = current_database()"
            )
    wait_until(street.acked(Class.LIVE, 100), WITHIN_S, "everything to be acked in the end")
    assert desk.one("SELECT count(*) FROM sample") == 100
    assert desk.one("SELECT count(*) FROM dead_letter") == 0


def test_a_broker_that_lost_its_memory_is_subscribed_again(
    desk: Desk, broker: MosquittoBroker, street: Street, roles: Callable[..., Role]
) -> None:
    roles()
    street.send(street.post.declare())
    wait_until(street.acked(Class.REPLY, 1), WITHIN_S, "the declaration's ack")
    broker.kill()
    broker.wipe_state()
    broker.start()
    wait_until(street.client.is_connected, WITHIN_S, "the lamppost to be back")
    batch = street.post.publish(Class.LIVE, street.post.samples(recent(1)))

    def sent_until_acked() -> bool:
        street.send(batch)
        return street.acked(Class.LIVE, 1)()

    wait_until(sent_until_acked, WITHIN_S, "an ack, sending again as a lamppost does")
    assert desk.one("SELECT count(*) FROM sample") == 1


def test_two_workers_share_and_store_once(desk: Desk, street: Street, roles: Callable[..., Role]) -> None:
    roles(1)
    roles(2)
    street.send(street.post.declare())
    wait_until(street.acked(Class.REPLY, 1), WITHIN_S, "the declaration's ack")
    batches = [street.post.publish(Class.LIVE, street.post.samples([t])) for t in recent(120)]
    for batch in (*batches, *reversed(batches), *batches):
        street.send(batch)
    wait_until(street.acked(Class.LIVE, 120), WITHIN_S, "everything to be acked")
    duplicates = "SELECT coalesce(sum(value), 0) FROM ingest_counter WHERE name = 'duplicates'"
    wait_until(lambda: desk.one(duplicates) == 240, WITHIN_S, "every duplicate to be seen")
    assert desk.one("SELECT count(*) FROM sample") == 120
    assert desk.one("SELECT sum(n) FROM rollup_1m") == 360
    assert desk.one("SELECT count(DISTINCT worker) FROM ingest_counter WHERE name = 'messages'") == 2
