"""What must not stop the ingest: messages it cannot look at, limits, a database that changed behind it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from psycopg.errors import ConfigurationLimitExceeded

from fleet_server.telemetry.ingest import intake
from fleet_server.telemetry.ingest import worker as worker_module
from fleet_server.telemetry.ingest.intake import Item
from fleet_server.telemetry.ingest.mailbox import Mailbox
from fleet_server.telemetry.ingest.transaction import Outcome, process
from fleet_server.telemetry.ingest.worker import IngestWorker
from tests.fleet_server.telemetry.support import MINUTE_MS, NOW_MS, Desk, Post
from tests.fleet_server.telemetry.test_worker import Wire, live, make_worker
from tests.support.waiting import wait_until
from wire_contract.classes import Class
from wire_contract.envelope import open_body
from wire_contract.messages import Presence, Tombstone, TombstoneReason
from wire_contract.topics import Up


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def worker(database_url: str, wire: Wire) -> Iterator[IngestWorker]:
    made = make_worker(database_url, wire)
    yield made
    made.stop()
    made.run(Mailbox(), 1, 0.0)


@pytest.mark.parametrize("alone", [True, False])
def test_a_message_that_cannot_even_be_looked_at_is_buried_and_acked(
    desk: Desk, post: Post, worker: IngestWorker, wire: Wire, monkeypatch: pytest.MonkeyPatch, alone: bool
) -> None:
    worker.settle([post.declare()])
    group = live(post, 1 if alone else 5)

    def faulty(payload: bytes) -> bytes:
        if payload == group[-1].payload:
            raise ZeroDivisionError("a fault of ours")
        return open_body(payload)

    monkeypatch.setattr(intake, "open_body", faulty)
    worker.settle(group)
    assert desk.rows("SELECT reason, sequence FROM dead_letter") == [("internal_error", len(group))]
    assert wire.acks(Class.LIVE)[-1] == (len(group), ())
    assert [said for said in wire.said if said in group] == group


def test_what_is_told_and_cannot_be_looked_at_is_buried(
    desk: Desk, post: Post, worker: IngestWorker, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    born = post.tell(Up.PRESENCE, Presence(True, 1, NOW_MS, post.epoch, "1", True))
    monkeypatch.setattr(intake, "decode_any", lambda payload: 1 // 0)
    worker.settle([born])
    assert desk.rows("SELECT reason, sequence FROM dead_letter") == [("internal_error", None)]
    assert wire.said == [born]


def test_a_limit_that_one_message_exceeds_stops_nobody(
    desk: Desk, post: Post, worker: IngestWorker, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TimescaleDB's limit on rows decompressed by one statement is such an error: waiting never helps."""
    worker.settle([post.declare()])
    group = live(post, 3)

    def limited(connection: Any, items: list[Item], *more: Any) -> Outcome:
        if any(item.incoming is group[1] and type(item).__name__ == "Spooled" for item in items):
            raise ConfigurationLimitExceeded("tuple decompression limit exceeded by operation")
        return process(connection, items, *more)

    monkeypatch.setattr(worker_module, "process", limited)
    settling = threading.Thread(target=worker.settle, args=(group,), daemon=True)
    settling.start()
    settling.join(60)
    worker.stop()
    assert wire.acks(Class.LIVE)[-1:] == [(3, ())]
    assert desk.rows("SELECT reason, sequence FROM dead_letter") == [("internal_error", 2)]


def test_a_database_that_may_not_be_written_is_waited_for(
    desk: Desk,
    post: Post,
    worker: IngestWorker,
    wire: Wire,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As after a failover, until the replica is promoted."""
    name = desk.one("SELECT current_database()")
    desk.connection.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    born = post.tell(Up.PRESENCE, Presence(True, 1, NOW_MS, post.epoch, "1", True))
    settling = threading.Thread(target=worker.settle, args=([born],))
    settling.start()
    wait_until(lambda: "trying again" in caplog.text or wire.said, 20, "the worker to meet the refusal")
    assert wire.said == []
    desk.connection.execute(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')
    settling.join(60)
    assert wire.said == [born]
    assert desk.one("SELECT presence FROM device") == "online"


def test_what_was_known_of_a_database_is_forgotten_with_its_connection(
    desk: Desk, post: Post, worker: IngestWorker
) -> None:
    """An older backup, or a crash before the commit: sensor units and series may have other numbers."""
    worker.settle([post.declare(), *live(post, 1)])
    desk.connection.execute(
        "TRUNCATE sensor_unit, unit_minute, latest_unit, sample_standard, batch, batch_cursor CASCADE"
    )
    desk.connection.execute("ALTER SEQUENCE sensor_unit_id_seq RESTART")
    desk.connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE pid <> pg_backend_pid() AND datname = current_database()"
    )
    again = Post(epoch=b"f" * 16)
    worker.settle([again.declare(), *live(again, 1)])
    assert desk.one("SELECT max(id) FROM sensor_unit") == 1
    unknown = "SELECT count(*) FROM {} WHERE series_id NOT IN (SELECT id FROM series)"
    assert desk.one(unknown.format("rollup_1m")) == 0
    assert desk.one(unknown.format("latest")) == 0


def test_the_last_sequences_there_are_do_not_break_the_acks(desk: Desk, post: Post) -> None:
    last = 2**63 - 1
    dead = Tombstone(last - 100, last, TombstoneReason.EXPIRED, 1, 0, 0)
    desk.take(post.declare(), post.publish(Class.LIVE, dead, last - 100))
    late = post.publish(Class.LIVE, post.samples([NOW_MS - MINUTE_MS]), last - 50)
    outcome = desk.take(late)
    assert desk.progress(outcome) == {Class.LIVE: (0, ((last - 100, last),))}


def test_a_tombstone_of_more_samples_than_a_column_holds_is_stored(desk: Desk, post: Post) -> None:
    dead = Tombstone(1, 5, TombstoneReason.EXPIRED, 2**40, 0, 0)
    outcome = desk.take(post.publish(Class.LIVE, dead, 1))
    assert desk.progress(outcome) == {Class.LIVE: (5, ())}
    assert desk.rows("SELECT first, last, samples FROM tombstone") == [(1, 5, 2**31 - 1)]
