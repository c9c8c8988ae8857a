"""The ingest's loop without its process: what is acked when, and what a failure costs."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from fleet_server.clock import StreetClock
from fleet_server.telemetry.ingest import worker as worker_module
from fleet_server.telemetry.ingest.intake import Incoming, Item
from fleet_server.telemetry.ingest.mailbox import HISTORY_SHARE, MAX_GROUP_BYTES, Mailbox
from fleet_server.telemetry.ingest.transaction import Outcome, process
from fleet_server.telemetry.ingest.worker import IngestWorker
from tests.fleet_server.telemetry.support import MINUTE_MS, NOW_MS, Desk, Post
from tests.support.waiting import wait_until
from wire_contract.classes import Class
from wire_contract.envelope import decode
from wire_contract.messages import Ack, CertificateIssued, CertificateRequest, Command
from wire_contract.topics import Up


class Wire:
    """What the worker says to the broker, in order."""

    def __init__(self) -> None:
        self.said: list[Any] = []

    def publish(self, messages: Sequence[tuple[str, bytes]]) -> None:
        self.said += [decode(payload) for _, payload in messages]

    def acknowledge(self, group: Sequence[Incoming]) -> None:
        self.said += group

    def acks(self, cls: Class) -> list[tuple[int, tuple[tuple[int, int], ...]]]:
        return [(a.prefix, a.ranges) for a in self.said if isinstance(a, Ack) and a.cls == cls]


def make_worker(url: str, wire: Wire, name: str = "w") -> IngestWorker:
    return IngestWorker(
        lambda: psycopg.connect(url, autocommit=True),
        StreetClock(wall_ms=lambda: float(NOW_MS)),
        wire,
        lambda request: CertificateIssued("", f"not {request.address}"),
        name=name,
    )


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def worker(database_url: str, wire: Wire) -> Iterator[IngestWorker]:
    made = make_worker(database_url, wire)
    yield made
    made.stop()
    made.run(Mailbox(), 1, 0.0)


def live(post: Post, n: int, first: int = 0) -> list[Incoming]:
    return [post.publish(Class.LIVE, post.samples([NOW_MS - (first + i + 1) * MINUTE_MS])) for i in range(n)]


def test_the_ack_goes_out_before_the_puback_and_after_the_commit(
    desk: Desk, post: Post, worker: IngestWorker, wire: Wire
) -> None:
    group = [post.declare(), *live(post, 2)]
    worker.settle(group)
    assert wire.acks(Class.LIVE) == [(2, ())]
    assert wire.said[-3:] == group
    assert desk.one("SELECT count(*) FROM sample") == 2


def test_a_certificate_request_is_answered(post: Post, worker: IngestWorker, wire: Wire) -> None:
    request = post.tell(Up.CERTIFICATE, CertificateRequest(b"csr"))
    worker.settle([request])
    assert wire.said == [CertificateIssued("", "not city/lamp-01"), request]


def test_declaring_is_asked_for_once_in_a_while(post: Post, worker: IngestWorker, wire: Wire) -> None:
    for _ in range(3):
        worker.settle([post.publish(Class.LIVE, post.samples([NOW_MS], unit=8))])
    assert len([said for said in wire.said if isinstance(said, Command)]) == 1


def test_a_backend_killed_in_the_middle_loses_nothing(
    desk: Desk, post: Post, worker: IngestWorker, wire: Wire, database_url: str
) -> None:
    worker.settle([post.declare()])
    group = live(post, 5)
    with psycopg.connect(database_url) as blocker:
        blocker.execute("LOCK TABLE unit_minute IN ACCESS EXCLUSIVE MODE")
        thread = threading.Thread(target=worker.settle, args=(group,))
        thread.start()
        waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        pid = wait_until(lambda: desk.rows(waiting), 10, "the worker to be in its transaction")[0][0]
        assert wire.acks(Class.LIVE) == []
        assert desk.one("SELECT count(*) FROM batch WHERE class = 2") == 0
        desk.connection.execute("SELECT pg_terminate_backend(%s)", (pid,))
        blocker.rollback()
    thread.join(60)
    assert wire.acks(Class.LIVE) == [(5, ())]
    assert desk.one("SELECT count(*) FROM sample") == 5
    assert desk.one("SELECT sum(n) FROM rollup_1m") == 15


def test_the_guilty_message_of_a_group_is_buried_and_the_others_stored(
    desk: Desk, post: Post, worker: IngestWorker, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault of ours that strikes for one message: only that one is put aside."""
    worker.settle([post.declare()])
    group = live(post, 9)
    guilty = group[4]

    def faulty(connection: Any, items: list[Item], *more: Any) -> Outcome:
        if any(item.incoming is guilty and type(item).__name__ == "Spooled" for item in items):
            raise ZeroDivisionError("a fault of ours")
        return process(connection, items, *more)

    monkeypatch.setattr(worker_module, "process", faulty)
    worker.settle(group)
    assert desk.one("SELECT count(*) FROM sample") == 8
    assert desk.rows("SELECT reason, sequence FROM dead_letter") == [("internal_error", 5)]
    assert wire.acks(Class.LIVE)[-1] == (9, ())
    assert [said for said in wire.said if isinstance(said, Incoming)][1:] == group


def test_a_message_that_cannot_even_be_buried_stops_nobody(
    desk: Desk, post: Post, worker: IngestWorker, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker.settle([post.declare()])
    group = live(post, 3)

    def faulty(connection: Any, items: list[Item], *more: Any) -> Outcome:
        if any(item.incoming is group[1] for item in items):
            raise ZeroDivisionError("a fault of ours")
        return process(connection, items, *more)

    monkeypatch.setattr(worker_module, "process", faulty)
    worker.settle(group)
    assert wire.acks(Class.LIVE)[-1] == (1, ((3, 3),))
    assert [said for said in wire.said if isinstance(said, Incoming)][1:] == group


def test_what_a_new_connection_mends_is_no_message_s_fault(
    desk: Desk, post: Post, worker: IngestWorker, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relation dropped under a statement, a plan of before an upgrade: for a group, and for one message."""
    worker.settle([post.declare()])
    bad: set[int] = set()
    sizes: list[int] = []

    def stale(connection: psycopg.Connection[Any], items: list[Item], *more: Any) -> Outcome:
        sizes.append(len(items))
        if connection.info.backend_pid in bad:
            raise psycopg.errors.FeatureNotSupported("cached plan must not change result type")
        return process(connection, items, *more)

    monkeypatch.setattr(worker_module, "process", stale)
    for n in (5, 1):
        assert worker._connection is not None
        bad.add(worker._connection.info.backend_pid)
        worker.settle(live(post, n, 10 * n))
    assert sizes == [5, 5, 1, 1]
    assert desk.one("SELECT count(*) FROM dead_letter") == 0
    assert wire.acks(Class.LIVE)[-1] == (6, ())


@pytest.mark.parametrize("statement", ["LOCK TABLE sample_standard", "LOCK TABLE dead_letter"])
def test_a_slow_database_costs_no_message_its_place(
    desk: Desk, post: Post, wire: Wire, database_url: str, statement: str
) -> None:
    """An operator's time-outs strike again and again: the whole group waits, and none is taken for guilty."""
    timing = psycopg.conninfo.make_conninfo(database_url, options="-c lock_timeout=30ms")
    worker = make_worker(timing, wire)
    worker.settle([post.declare()])
    group = [*live(post, 3), post.publish(Class.LIVE, b"garbage")]
    with psycopg.connect(database_url) as blocker:
        blocker.execute(f"{statement} IN ACCESS EXCLUSIVE MODE")  # type: ignore[arg-type]
        thread = threading.Thread(target=worker.settle, args=(group,))
        thread.start()
        failures: set[int] = set()

        def failed_twice() -> bool:
            if worker._connection is not None:
                with suppress(psycopg.Error):
                    failures.add(worker._connection.info.backend_pid)
            return len(failures) > 2

        wait_until(failed_twice, 10, "the worker to try again")
        assert wire.acks(Class.LIVE) == []
        blocker.rollback()
    thread.join(60)
    assert wire.acks(Class.LIVE) == [(4, ())]
    assert desk.one("SELECT count(*) FROM sample") == 3
    assert desk.one("SELECT count(*) FROM dead_letter") == 1
    assert desk.one("SELECT count(*) FROM dead_letter WHERE reason = 'internal_error'") == 0
    worker.stop()
    worker.run(Mailbox(), 1, 0.0)


def test_two_workers_with_the_same_batches_in_opposite_orders(desk: Desk, database_url: str) -> None:
    posts = [Post(f"lamp-{n:02}") for n in range(6)]
    desk.register(*posts)
    desk.take(*(post.declare() for post in posts))
    batches = [batch for post in posts for batch in live(post, 40)]
    wires = [Wire(), Wire()]
    workers = [make_worker(database_url, wire, f"w{i}") for i, wire in enumerate(wires)]

    def settle_all(worker: IngestWorker, order: list[Incoming]) -> None:
        for start in range(0, len(order), 16):
            worker.settle(order[start : start + 16])

    orders = [batches, batches[::-1]]
    threads = [threading.Thread(target=settle_all, args=pair) for pair in zip(workers, orders, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert desk.one("SELECT count(*) FROM sample") == 240
    assert desk.one("SELECT sum(n) FROM rollup_1m") == 720
    counted = dict(desk.rows("SELECT name, sum(value)::int FROM ingest_counter GROUP BY name"))
    assert (counted["samples"], counted["duplicates"]) == (240, 240)
    for wire in wires:
        assert max(prefix for prefix, _ in wire.acks(Class.LIVE)) == 40
    for worker in workers:
        worker.stop()
        worker.run(Mailbox(), 1, 0.0)


def test_urgent_goes_first_and_history_never_starves(post: Post) -> None:
    box = Mailbox()
    history = [post.publish(Class.HISTORY, b"h") for _ in range(100)]
    urgent = [post.publish(Class.LIVE, b"l") for _ in range(100)]
    for incoming in (*history, *urgent):
        box.put([incoming])
    group = box.take(64, 0.0)
    assert group == urgent[:56] + history[:8]
    assert HISTORY_SHARE == 8
    assert box.take(64, 0.0) == urgent[56:] + history[8:28]


def test_a_group_is_bounded_in_bytes_and_has_at_least_one_message(post: Post) -> None:
    box = Mailbox()
    large = [post.publish(Class.HISTORY, bytes(MAX_GROUP_BYTES + 1)) for _ in range(2)]
    small = [post.publish(Class.HISTORY, bytes(MAX_GROUP_BYTES // 2)) for _ in range(3)]
    for incoming in (*large, *small):
        box.put([incoming])
    assert [len(box.take(64, 0.0)) for _ in range(4)] == [1, 1, 2, 1]


def test_taking_ends_when_the_box_is_closed(post: Post) -> None:
    box = Mailbox()
    box.put([post.publish(Class.LIVE, b"l")])
    box.close()
    assert len(box.take(64, 60.0)) == 1
    assert box.take(64, 60.0) == []


def test_history_gets_its_share_of_a_group_that_is_full_by_bytes(post: Post) -> None:
    box = Mailbox()
    for cls in (Class.HISTORY, Class.LIVE):
        for _ in range(200):
            box.put([post.publish(cls, bytes(4096))])
    group = box.take(64, 0.0)
    assert 1 <= sum(incoming.topic.endswith("/history") for incoming in group) <= len(group) // 4


@pytest.mark.parametrize("most", [1, 2, 7])
def test_history_ends_one_day_in_small_groups_too(post: Post, most: int) -> None:
    box = Mailbox()
    for cls in (Class.HISTORY, Class.LIVE):
        for _ in range(200):
            box.put([post.publish(cls, b"x")])
    taken = [incoming for _ in range(140 // most) for incoming in box.take(most, 0.0)]
    history = sum(incoming.topic.endswith("/history") for incoming in taken)
    assert 0 < history <= len(taken) // 4


def test_what_came_by_a_connection_that_is_gone_is_dropped(post: Post) -> None:
    """The broker sends it again: kept, each reconnection in a long outage of PostgreSQL would cost memory."""
    box = Mailbox()
    for connection in range(1, 50):
        for _ in range(100):
            box.put([replace(post.publish(Class.LIVE, b"x", 1), connection=connection, mid=1)])
    assert len(box.take(1000, 0.0)) == 100
