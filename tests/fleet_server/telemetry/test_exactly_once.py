"""Duplicates, any order, two workers, crashes before and after the commit: every sample is stored once."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.errors import DeadlockDetected, SerializationFailure

from fleet_server.telemetry.ingest import ledger, transaction
from fleet_server.telemetry.ingest.intake import Incoming
from fleet_server.telemetry.ingest.replay import ReplayOutcome, replay
from fleet_server.telemetry.ingest.worker import IngestWorker
from tests.fleet_server.telemetry.support import NOW, NOW_MS, Desk, Post
from tests.fleet_server.telemetry.test_worker import Wire, make_worker
from wire_contract.classes import Class

POSTS, BATCHES = 2, 14


class Killed(BaseException):
    """Not an Exception: like a kill, no handler of ours sees it."""


class Mortal(Wire):
    """A link whose worker is killed after the commit, before or between its acks."""

    def __init__(self) -> None:
        super().__init__()
        self.dies = False

    def publish(self, messages: Sequence[tuple[str, bytes]]) -> None:
        super().publish(messages[: len(messages) // 2] if self.dies else messages)
        if self.dies:
            raise Killed


class Crew:
    """Two workers; one that is killed is replaced."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.links = [Mortal(), Mortal()]
        self.workers = [self._worker(n) for n in range(2)]

    def _worker(self, n: int) -> IngestWorker:
        return make_worker(self.url, self.links[n], f"w{n}")

    def settle(self, n: int, group: list[Incoming], how: str, desk: Desk) -> None:
        self.links[n].dies = how == "killed after the commit"
        if how == "backend killed":
            mine = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
            desk.connection.execute(mine + " AND datname = current_database()")
        with suppress(Killed):
            self.workers[n].settle(group)
        if self.links[n].dies:
            self.links[n].dies = False
            self.workers[n].stop()
            self.workers[n] = self._worker(n)


STEPS = [
    # name of the step, the module and function, and whether the worker dies before it or behind it
    ("before the claim", transaction, "claim_new", False),
    ("behind the claim", transaction, "claim_new", True),
    ("behind the COPY", transaction, "store_rows", True),
    ("behind the minutes", transaction, "store_derived", True),
    ("before the commit", transaction, "_finish", True),
    ("behind the commit", ledger, "progress", False),
    ("before the acks", Wire, "publish", False),
    ("between acks and PUBACKs", Wire, "acknowledge", False),
    ("behind the PUBACKs", Wire, "acknowledge", True),
]


@pytest.mark.parametrize("fault", [Killed, DeadlockDetected, SerializationFailure])
def test_a_fault_at_any_step_stores_once(
    desk: Desk, post: Post, database_url: str, fault: type[BaseException]
) -> None:
    """A kill is followed by another worker with the same group; what passes the worker tries again itself."""
    wire = Wire()
    make_worker(database_url, wire).settle([post.declare()])
    for n, (step, where, name, behind) in enumerate(STEPS, 1):
        batch = post.publish(Class.LIVE, post.samples([NOW_MS - 1_000 * n]))
        faults = 1
        real: Any = getattr(where, name)

        def faulty(*given: Any, real: Any = real, behind: bool = behind, **named: Any) -> Any:
            nonlocal faults
            faults -= 1
            if not faults and not behind:
                raise fault
            result = real(*given, **named)
            if not faults:
                raise fault
            return result

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(where, name, faulty)
            with suppress(Killed):
                make_worker(database_url, wire).settle([batch])
        if fault is Killed:
            make_worker(database_url, wire).settle([batch])
        assert faults <= 0, step
        assert desk.one("SELECT count(*) FROM sample") == n, step
        assert desk.one("SELECT sum(n) FROM rollup_1m") == 3 * n, step
        assert wire.acks(Class.LIVE)[-1] == (n, ()), step
        assert wire.said[-1] is batch, step
    assert desk.one("SELECT count(*) FROM dead_letter") == 0


def test_a_letter_is_replayed_while_its_message_comes_again(
    desk: Desk, post: Post, database_url: str
) -> None:
    """Three at once: two workers with the message that a letter holds, and the letter's replay."""
    wire = Wire()
    batch = post.publish(Class.LIVE, post.samples([NOW_MS]))
    make_worker(database_url, wire).settle([batch])
    make_worker(database_url, wire).settle([post.declare()])
    letter = desk.one("SELECT id FROM dead_letter")
    start = threading.Barrier(3)

    def again(n: int) -> None:
        worker = make_worker(database_url, wire, f"w{n}")
        start.wait(30)
        worker.settle([batch])

    threads = [threading.Thread(target=again, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    start.wait(30)
    replayed = replay(desk.connection, letter, desk.series, NOW)
    for thread in threads:
        thread.join(60)
    assert replayed.outcome is ReplayOutcome.STORED
    assert desk.one("SELECT count(*) FROM sample") == 1
    assert desk.one("SELECT sum(n) FROM rollup_1m") == 3
    assert desk.one("SELECT count(*) FROM dead_letter") == 1
    assert desk.one("SELECT samples FROM batch WHERE class = 2") == 1


_step = st.tuples(
    st.integers(0, 1),
    st.lists(st.integers(0, POSTS * BATCHES - 1), min_size=1, max_size=12),
    st.sampled_from(["well", "well", "killed after the commit", "backend killed"]),
)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(_step, max_size=8), st.permutations(range(POSTS * BATCHES)))
def test_every_sample_is_stored_once(
    desk: Desk, database_url: str, steps: list[tuple[int, list[int], str]], last: list[int]
) -> None:
    made = desk.one("SELECT count(*) FROM device")
    posts = [Post(f"lamp-{made + n}") for n in range(POSTS)]
    desk.register(*posts)
    desk.take(*(post.declare() for post in posts))
    batches = [
        post.publish(Class.LIVE, post.samples([NOW_MS - 1_000 * (2 * n + i) for i in range(2)]))
        for post in posts
        for n in range(BATCHES)
    ]
    crew = Crew(database_url)
    before = desk.one("SELECT count(*) FROM sample"), desk.one("SELECT coalesce(sum(n), 0) FROM rollup_1m")
    for worker, which, how in steps:
        crew.settle(worker, [batches[i] for i in which], how, desk)
    half = len(last) // 2
    for worker, which in ((0, last[:half]), (1, last[half:])):
        crew.settle(worker, [batches[i] for i in which], "well", desk)
    expected = 2 * POSTS * BATCHES
    after = desk.one("SELECT count(*) FROM sample"), desk.one("SELECT sum(n) FROM rollup_1m")
    assert (after[0] - before[0], after[1] - before[1]) == (expected, 3 * expected)
    acked = [prefix for link in crew.links for prefix, _ in link.acks(Class.LIVE)]
    assert max(acked) == BATCHES
    for each in crew.workers:
        each.stop()
        with suppress(psycopg.Error):
            each._disconnect()
