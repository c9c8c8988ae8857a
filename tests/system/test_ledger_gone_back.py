"""After a restore from an older backup: what a lamppost still holds is taken once, and nothing loops.

The device's own parts (spool, window) against the ingest's own transaction; only the wire is left out.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from edge_agent.core.declaring import declaration
from edge_agent.core.window import AckMark, Window, acknowledge, fill, restart, wants
from edge_agent.io.sqlite_spool import SqliteSpool
from fleet_server.database import accounting
from fleet_server.database.backup import back_up
from fleet_server.database.findings import Verdict
from fleet_server.database.restore import restore
from fleet_server.telemetry.ingest import ledger
from fleet_server.telemetry.ingest.ledger import Progress
from fleet_server.telemetry.upkeep.fold import fold
from fleet_server.telemetry.upkeep.settle import settle
from tests.fleet_server.telemetry.support import MINUTE_MS, NOW_MS, Desk, Post
from wire_contract.classes import Class
from wire_contract.envelope import encode

ROWS = 10
AT_ONCE = timedelta(0)


class Lamppost:
    """A spool with batches in it, and the link's window over it."""

    def __init__(self, folder: Path) -> None:
        self.spool = SqliteSpool(folder, declaration)
        self.post = Post(epoch=self.spool.epoch)
        self.window = Window()
        self.sealed = 0

    def seal(self, batches: int) -> None:
        for _ in range(batches):
            start = NOW_MS - 100_000 * MINUTE_MS + self.sealed * ROWS * MINUTE_MS
            times = [start + i * MINUTE_MS for i in range(ROWS)]
            self.sealed = self.spool.put(Class.LIVE, encode(self.post.samples(times)), NOW_MS)

    def connect(self) -> None:
        self.window = restart(self.window)

    def deliver(self, desk: Desk, rounds: int) -> int:
        """Publish what the window gives, take the acks in; returns in how many rounds all was acked."""
        for done in range(rounds):
            asked = [w for w in wants(self.window, held=False) if w.cls is Class.LIVE]
            heads = [head for w in asked for head in self.spool.heads(w.cls, w.after, w.limit)]
            self.window, sent = fill(self.window, heads, held=False, now_s=float(done), jitter=0.0)
            if not sent and not self.window.in_flight:
                return done
            for head in sent:
                stored = self.spool.load(head.cls, head.sequence)
                assert stored is not None
                outcome = desk.take(self.post.publish(Class.LIVE, stored.payload, head.sequence))
                for progress in ledger.progress(desk.connection, outcome.streams, {}):
                    self._hear(progress)
        raise AssertionError(f"not all was acked within {rounds} rounds")

    def _hear(self, progress: Progress) -> None:
        self.window = acknowledge(self.window, Class.LIVE, progress.prefix, progress.ranges)
        self.spool.acknowledge({Class.LIVE: AckMark(progress.prefix, progress.ranges)})


def test_what_a_lamppost_still_holds_is_taken_once(database_url: str, tmp_path: Path) -> None:
    lamppost, desk = Lamppost(tmp_path / "spool"), Desk(database_url)
    desk.register(lamppost.post)
    desk.take(lamppost.post.declare())
    lamppost.seal(10)
    lamppost.deliver(desk, 5)
    made = back_up(database_url, tmp_path / "b.backup", "city", (), lambda _: None)
    lamppost.seal(10)  # acked after the backup, and deleted on the device
    lamppost.deliver(desk, 5)
    lamppost.seal(35)  # not sent yet: more than may be in flight at once
    desk.close()

    done = restore(made.file, database_url, lambda _: None, replace=True, use_timescale=False)
    desk = Desk(database_url)
    lamppost.connect()
    assert lamppost.deliver(desk, 10) <= 4, "nothing is sent again and again"

    assert lamppost.spool.heads(Class.LIVE, 0, 100) == []
    assert desk.one("SELECT count(*) FROM sample") == (10 + 35) * ROWS
    assert desk.one("SELECT sum(samples) FROM batch WHERE class = 2") == (10 + 35) * ROWS
    desk.connection.execute("UPDATE batch SET received_at = received_at - interval '2 days'")
    (whole, holes) = accounting.look(desk.connection, lambda _: None)
    assert whole.verdict is Verdict.SOUND, "what is there is accounted for"
    assert holes.verdict is Verdict.UNSOUND
    assert "11 to 20" in holes.detail

    assert settle(desk.connection) == 1
    assert desk.rows("SELECT first, last, reason FROM tombstone") == [(11, 20, "server_restored")]
    assert settle(desk.connection) == 0
    fold(desk.connection, AT_ONCE)
    assert desk.rows("SELECT prefix, samples FROM batch_cursor WHERE class = 2") == [(55, 450)]
    lamppost.seal(1)
    lamppost.deliver(desk, 3)
    assert desk.one("SELECT count(*) FROM sample") == 46 * ROWS
    desk.connection.execute(f'DROP DATABASE "{done.put_aside}"')
    desk.close()


def test_a_hole_that_is_young_is_left_alone(database_url: str) -> None:
    desk, post = Desk(database_url), Post()
    desk.register(post)
    desk.take(post.declare())
    desk.take(post.publish(Class.LIVE, post.samples([NOW_MS]), 2))
    assert settle(desk.connection) == 0
    desk.take(post.publish(Class.LIVE, post.samples([NOW_MS - MINUTE_MS]), 1))
    assert desk.one("SELECT count(*) FROM sample") == 2
    desk.close()
