"""A database that is slow or killed, a broker whose queue is full: memory is bounded, nothing is lost."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from fleet_server.config import BrokerConfig
from fleet_server.embedded_server import EmbeddedServer
from fleet_server.migrations import upgrade
from fleet_server.telemetry.ingest import broker_link
from fleet_server.telemetry.ingest.intake import Incoming
from tests.fleet_server.telemetry.support import Desk, Post
from tests.fleet_server.telemetry.test_ingest_role import WITHIN_S, Role, Street
from tests.support.mosquitto import MosquittoBroker
from tests.support.postgres import FAST
from tests.support.waiting import wait_until
from wire_contract.classes import Class
from wire_contract.messages import Presence
from wire_contract.topics import Up

MESSAGES = 4_000
QUEUE = 500  # of the broker, in messages: much less than come
# A worker holds what the broker may give it unacknowledged, a transaction's arrays, and what Python never
# gives back; thousands of messages more must not show.
MAX_GROWTH_BYTES = 48 * 1024 * 1024


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """A PostgreSQL of this test's own: it is killed."""
    folder = tmp_path_factory.mktemp("pg")
    for each in (folder, *folder.parents[:2]):
        each.chmod(0o755)
    with EmbeddedServer(folder / "postgres", FAST) as made:
        upgrade(made.url(), use_timescale=False)
        yield made


@pytest.fixture
def small_broker(broker: MosquittoBroker) -> MosquittoBroker:
    """With a queue that overflows."""
    file = broker.directory / "mosquitto.conf"
    text = file.read_text()
    lines = [line for line in text.splitlines() if not line.startswith("max_queued_messages")]
    assert len(lines) < len(text.splitlines())
    file.write_text("\n".join([*lines, f"max_queued_messages {QUEUE}\n"]))
    broker.restart()
    return broker


@pytest.fixture
def role(small_broker: MosquittoBroker, server: EmbeddedServer, tmp_path: Path) -> Iterator[Role]:
    files = small_broker.server_identity()
    config = tmp_path / "server.toml"
    config.write_text(
        f'data_dir = "{tmp_path}/data"\n[database]\nurl = "{server.url()}"\n'
        f"[broker]\nport = {small_broker.port}\nmanaged = false\n"
        f'ca_file = "{files.ca}"\ncertificate_file = "{files.certificate}"\nkey_file = "{files.key}"\n'
    )
    made = Role(config, tmp_path / "ready")
    yield made
    if made.process.poll() is None:
        made.end()


def resident_bytes(pid: int) -> int:
    fields = Path(f"/proc/{pid}/statm").read_text().split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")


def accounted(street: Street) -> int:
    ack = street.acks.get(Class.LIVE)
    return 0 if ack is None else ack.prefix + sum(last - first + 1 for first, last in ack.ranges)


def resend_until_acked(street: Street, batches: list[Incoming]) -> None:
    """As a lamppost does: at most twenty under way, again what is not acked."""
    deadline = time.monotonic() + 4 * WITHIN_S
    while accounted(street) < len(batches):
        assert time.monotonic() < deadline, street.acks
        before = accounted(street)
        first = street.acks[Class.LIVE].prefix if Class.LIVE in street.acks else 0
        for batch in batches[first : first + QUEUE]:
            street.send(batch)
        moved: Callable[[], bool] = lambda before=before: accounted(street) > before  # type: ignore[misc]  # noqa: E731
        wait_until(moved, WITHIN_S, "an ack to move on")


def test_nothing_is_taken_while_the_database_is_slow_or_gone_and_nothing_is_lost(
    server: EmbeddedServer, small_broker: MosquittoBroker, role: Role
) -> None:
    desk, post = Desk(server.url()), Post()
    desk.register(post)
    street = Street(small_broker, post)
    street.send(post.declare())
    wait_until(street.acked(Class.REPLY, 1), WITHIN_S, "the declaration's ack")
    now_ms = int(time.time() * 1000)
    batches = [
        post.publish(Class.LIVE, post.samples([now_ms - (MESSAGES - n) * 1_000])) for n in range(MESSAGES)
    ]
    for batch in batches[:500]:
        street.send(batch)
    wait_until(street.acked(Class.LIVE, 500), WITHIN_S, "the first to be acked")
    settled = resident_bytes(role.process.pid)

    # Slow: somebody holds a lock. More comes than worker and broker may hold.
    # Closed, never committed: a commit would meet a PostgreSQL that is gone.
    with closing(psycopg.connect(server.url())) as blocker:
        blocker.execute("LOCK TABLE batch IN ACCESS EXCLUSIVE MODE")
        for batch in batches[500:]:
            street.send(batch)
        wait_until(lambda: not street.client.want_write(), WITHIN_S, "everything to be sent")
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        with psycopg.connect(server.url(), autocommit=True) as watch:
            wait_until(lambda: watch.execute(waiting).fetchone() == (1,), WITHIN_S, "the worker to wait")
        assert accounted(street) == 500
        # Gone: killed in the middle of it.
        assert server.pid is not None
        desk.close()
        os.kill(server.pid, signal.SIGKILL)
    wait_until(lambda: server.pid is None, WITHIN_S, "PostgreSQL to be gone")
    for batch in batches[500:1500]:
        street.send(batch)
    assert accounted(street) == 500
    assert resident_bytes(role.process.pid) - settled < MAX_GROWTH_BYTES
    assert role.process.poll() is None

    server.ensure_running()
    # What the broker kept is at most what the worker may hold and its queue; the rest it dropped.
    kept = 500 + broker_link.RECEIVE_MAXIMUM + QUEUE
    wait_until(lambda: accounted(street) > 500, WITHIN_S, "an ack, without anything sent again")
    assert kept < MESSAGES
    resend_until_acked(street, batches)
    street.close()
    desk = Desk(server.url())
    assert desk.one("SELECT count(*) FROM sample") == MESSAGES
    assert desk.one("SELECT sum(n) FROM rollup_1m") == 3 * MESSAGES
    assert desk.one("SELECT count(*) FROM dead_letter") == 0
    assert desk.one("SELECT sum(value) FROM ingest_counter WHERE name = 'batches'") == MESSAGES + 1
    desk.close()
    assert resident_bytes(role.process.pid) - settled < MAX_GROWTH_BYTES
    assert role.end() == 0


def test_the_broker_gives_no_more_than_was_agreed_until_it_is_acknowledged(
    small_broker: MosquittoBroker,
) -> None:
    """What bounds a worker's memory, whatever happens behind it. The broker drops what it cannot keep."""
    files = small_broker.server_identity()
    config = BrokerConfig(
        small_broker.host, small_broker.port, False, "", files.ca, files.certificate, files.key
    )
    taken: list[Incoming] = []
    subscribed = threading.Event()
    link = broker_link.BrokerLink(config, "bounded", taken.extend, subscribed.set)
    link.start()
    assert subscribed.wait(WITHIN_S)
    street = Street(small_broker, Post())
    most = broker_link.RECEIVE_MAXIMUM
    for n in range(1, most + QUEUE + 501):
        street.send(street.post.publish(Class.LIVE, b"%d" % n))
    street.send(street.post.tell(Up.PRESENCE, Presence(True, 1, 1, street.post.epoch, "1", True)))
    wait_until(lambda: len(taken) >= most, WITHIN_S, "as many as agreed")
    wait_until(lambda: not street.client._out_messages, WITHIN_S, "the broker to have taken everything")
    assert len(taken) == most
    link.acknowledge(taken[:])
    wait_until(lambda: len(taken) >= most + QUEUE, WITHIN_S, "what the broker kept")
    link.stop()
    street.close()
    assert [int(each.payload) for each in taken[:most]] == list(range(1, most + 1))
