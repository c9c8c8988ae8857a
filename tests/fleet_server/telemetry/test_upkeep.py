"""The worker role's ticks, against real PostgreSQL."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from psycopg.errors import ProgramLimitExceeded

from fleet_server.context import Context
from fleet_server.devices import reported
from fleet_server.telemetry.ingest import derived, ledger
from fleet_server.telemetry.ingest.ledger import Entry, Stream
from fleet_server.telemetry.ingest.pg_binary import register_arrays
from fleet_server.telemetry.ingest.replay import ReplayOutcome, replay, replay_ready
from fleet_server.telemetry.upkeep.fold import fold
from fleet_server.telemetry.upkeep.loops import Bench, Loop, run_loops
from fleet_server.telemetry.upkeep.rollups import roll_up
from fleet_server.telemetry.upkeep.sweep import forget_conditions, sweep_presence
from fleet_server.telemetry.upkeep.views import make_views
from tests.fleet_server.telemetry.support import GOOD_WORD, MINUTE_MS, NOW, NOW_MS, Desk, Post
from tests.support.waiting import wait_until
from wire_contract.classes import Class
from wire_contract.messages import Presence, SensorDeclaration, SlotDeclaration, Tombstone, TombstoneReason
from wire_contract.topics import Up

AT_ONCE = timedelta(0)
START_MS = NOW_MS - 6 * 3_600_000


def filled(desk: Desk, post: Post, sequences: list[int]) -> None:
    desk.take(post.declare())
    for n in sequences:
        desk.take(post.publish(Class.LIVE, post.samples([START_MS + n * MINUTE_MS]), n))


def test_folding_keeps_the_ack_and_refuses_what_was_folded(desk: Desk, post: Post) -> None:
    filled(desk, post, [1, 2, 3, 5])
    assert fold(desk.connection, timedelta(hours=1)) == 0, "too young"
    assert fold(desk.connection, AT_ONCE) == 4
    assert desk.rows("SELECT prefix, batches, samples FROM batch_cursor WHERE class = 2") == [(3, 3, 3)]
    assert desk.rows("SELECT sequence FROM batch") == [(5,)]
    again = post.publish(Class.LIVE, post.samples([START_MS + MINUTE_MS]), 1)
    outcome = desk.take(again)
    assert outcome.counts["duplicates"] == 1
    assert desk.progress(outcome) == {Class.LIVE: (3, ((5, 5),))}
    assert fold(desk.connection, AT_ONCE) == 0, "nothing touches the cursor"


def test_a_tombstone_is_folded_as_a_range(desk: Desk, post: Post) -> None:
    filled(desk, post, [1])
    dead = Tombstone(2, 900, TombstoneReason.EXPIRED, 899, START_MS, NOW_MS)
    desk.take(post.publish(Class.LIVE, dead, 2))
    fold(desk.connection, AT_ONCE)
    assert desk.one("SELECT prefix FROM batch_cursor WHERE class = 2") == 900
    outcome = desk.take(post.publish(Class.LIVE, Tombstone(800, 1000, TombstoneReason.EXPIRED, 1, 0, 0), 800))
    assert desk.progress(outcome) == {Class.LIVE: (1000, ())}


def test_a_late_duplicate_cannot_slip_past_the_folding(desk: Desk, post: Post, database_url: str) -> None:
    """The claim has looked at the old prefix and waits for the folding's lock: then it must look again."""
    filled(desk, post, [1, 2])
    stream = Stream(desk.one("SELECT id FROM device"), post.epoch, int(Class.LIVE))
    claimed: list[set[tuple[Stream, int]]] = []

    def duplicate() -> None:
        with psycopg.connect(database_url) as other:
            register_arrays(other)
            claimed.append(ledger.claim(other.cursor(), [Entry(stream, 2, 2), Entry(stream, 3, 3)]))

    with psycopg.connect(database_url) as folding:
        folding.execute("SELECT prefix FROM batch_cursor WHERE class = 2 FOR UPDATE")
        late = threading.Thread(target=duplicate)
        late.start()
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        wait_until(lambda: desk.one(waiting) == 1, 10, "the claim to wait for the cursor")
        folding.execute("UPDATE batch_cursor SET prefix = 2 WHERE class = 2")
        folding.execute("DELETE FROM batch WHERE class = 2")
    late.join(30)
    assert claimed == [{(stream, 3)}]


def test_folding_waits_for_a_claim_in_flight(desk: Desk, post: Post, database_url: str) -> None:
    filled(desk, post, [1, 3])
    stream = Stream(desk.one("SELECT id FROM device"), post.epoch, int(Class.LIVE))
    with psycopg.connect(database_url) as claiming:
        register_arrays(claiming)
        cursor = claiming.cursor()
        ledger.claim(cursor, [Entry(stream, 2, 2)])
        folded: list[int] = []
        thread = threading.Thread(
            target=lambda: folded.append(fold(psycopg.connect(database_url, autocommit=True), AT_ONCE))
        )
        thread.start()
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        wait_until(lambda: desk.one(waiting) == 1, 10, "the folding to wait for the claim")
    thread.join(30)
    assert desk.one("SELECT prefix FROM batch_cursor WHERE class = 2") == 3
    assert folded == [4]


def test_hours_and_days_follow_the_minutes(desk: Desk, post: Post) -> None:
    filled(desk, post, list(range(1, 131)))
    while roll_up(desk.connection):
        pass
    for table, trunc in (("rollup_1h", "hour"), ("rollup_1d", "day")):
        difference = desk.rows(
            f"SELECT series_id, bucket, n, sum, min, max, flagged FROM {table} EXCEPT"
            f" SELECT series_id, date_trunc('{trunc}', bucket, 'UTC'), sum(n), sum(sum), min(min), max(max),"
            " sum(flagged) FROM rollup_1m GROUP BY 1, 2"
        )
        assert difference == []
        assert desk.one(f"SELECT sum(n) FROM {table}") == 130 * 3
    assert desk.one("SELECT count(*) FROM rollup_dirty") == 0


def test_many_sets_of_slots_fill_no_memory() -> None:
    """10 kB of statements a set, and a device can send 65,535 of them."""
    kept = (derived._fields, derived._copy_minutes, derived._upsert, derived._latest)
    for bits in range(1, derived.MAX_SETS + 100):
        slots = tuple(slot for slot in range(16) if bits >> slot & 1)
        for each in kept:
            each(slots)
    assert [each.cache_info().currsize for each in kept] == [derived.MAX_SETS] * len(kept)


def test_letters_are_replayed_when_the_declaration_comes(desk: Desk, post: Post) -> None:
    desk.take(post.publish(Class.LIVE, post.samples([START_MS], unit=9)))
    assert not replay_ready(desk.connection, desk.series, NOW, 10)
    desk.take(post.declare(unit=9))
    assert replay_ready(desk.connection, desk.series, NOW, 10) == {"stored": 1}
    assert desk.one("SELECT count(*) FROM sample") == 1
    assert desk.one("SELECT samples FROM batch WHERE class = 2") == 1
    assert not replay_ready(desk.connection, desk.series, NOW, 10)


def test_letters_are_replayed_when_the_device_becomes_active(desk: Desk) -> None:
    stranger = Post("stranger")
    desk.take(stranger.declare(), stranger.publish(Class.LIVE, stranger.samples([START_MS])))
    desk.connection.execute("UPDATE device SET state = 'active'")
    assert replay_ready(desk.connection, desk.series, NOW, 10) == {"stored": 2}
    assert desk.one("SELECT count(*) FROM sample") == 1
    letter = desk.one("SELECT max(id) FROM dead_letter")
    assert replay(desk.connection, letter, desk.series, NOW).outcome is ReplayOutcome.DONE_BEFORE


def test_what_is_wrong_still_stays_a_letter(desk: Desk, post: Post) -> None:
    desk.take(post.publish(Class.LIVE, b"\x01\x00garbage that no fix will mend"))
    letter = desk.one("SELECT id FROM dead_letter")
    result = replay(desk.connection, letter, desk.series, NOW)
    assert result.outcome is ReplayOutcome.REFUSED
    assert desk.rows("SELECT attempts, replayed_at FROM dead_letter") == [(1, None)]


def test_a_silent_device_is_shown_and_not_put_offline(desk: Desk, post: Post) -> None:
    born = Presence(True, 1, NOW_MS, post.epoch, "1", True)
    desk.take(post.tell(Up.PRESENCE, born))
    assert sweep_presence(desk.connection, NOW + timedelta(minutes=5)) == 0
    assert sweep_presence(desk.connection, NOW + timedelta(minutes=20)) == 1
    assert desk.rows(
        "SELECT presence, code, source FROM device JOIN device_condition ON device_id = device.id"
    ) == [("online", "silent", "server")]
    desk.take(post.declare(), now=NOW + timedelta(minutes=21))
    assert sweep_presence(desk.connection, NOW + timedelta(minutes=21)) == 1
    assert desk.one("SELECT count(*) FROM device_condition WHERE cleared_at IS NULL") == 0
    assert forget_conditions(desk.connection, NOW + timedelta(days=100)) == 1


def test_a_kind_s_view_gives_numbers_in_units(desk: Desk, post: Post) -> None:
    slots = (SlotDeclaration("pm2_5", "ug/m3", -1), SlotDeclaration("n0_3", "1/dL", 2))
    desk.take(post.publish(Class.REPLY, SensorDeclaration(1, "pms5003", "A", "north", slots, NOW_MS)))
    word = (GOOD_WORD & ~0xFF) | 0x91
    desk.take(post.publish(Class.LIVE, post.samples([START_MS], slots=(0, 1), value=123, flags=word)))
    assert make_views(desk.connection) == 1
    assert make_views(desk.connection) == 0
    assert desk.rows(
        "SELECT device, pm2_5_ug_m3, pm2_5_ug_m3_flag, n0_3_per_dl, n0_3_per_dl_flag FROM v_pms5003"
    ) == [("lamp-01", 12.3, 1, None, 9)]
    wider = (*slots, SlotDeclaration("humidity", "%", -1))
    desk.take(post.publish(Class.REPLY, SensorDeclaration(2, "pms5003", "B", "", wider, NOW_MS)))
    hostile = (SlotDeclaration("x", "'; DROP TABLE device; --%(kind)s", 0),)
    desk.take(post.publish(Class.REPLY, SensorDeclaration(3, "pms'5003", "B", "", hostile, NOW_MS)))
    desk.take(post.publish(Class.REPLY, SensorDeclaration(4, "sds011", "B", "", hostile, NOW_MS)))
    assert make_views(desk.connection) == 2
    assert desk.rows("SELECT pm2_5_ug_m3, humidity_percent FROM v_pms5003") == [(12.3, None)]


def test_a_letter_that_postgresql_refuses_does_not_hold_up_the_others(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger = Post("stranger")
    poison = stranger.declare(unit=7, kind="poison")
    desk.take(poison, stranger.declare(), stranger.publish(Class.LIVE, stranger.samples([START_MS])))
    desk.connection.execute("UPDATE device SET state = 'active'")
    declare = reported.declare

    def limited(cursor: Any, device: int, epoch: bytes, said: SensorDeclaration, layout: str) -> int:
        if said.kind == "poison":
            raise ProgramLimitExceeded("index row size 2904 exceeds btree version 4 maximum 2704")
        return declare(cursor, device, epoch, said, layout)

    monkeypatch.setattr(reported, "declare", limited)
    assert replay_ready(desk.connection, desk.series, NOW, 10) == {"refused": 1, "stored": 2}
    assert desk.one("SELECT count(*) FROM sample") == 1
    assert desk.rows("SELECT reason, attempts FROM dead_letter WHERE replayed_at IS NULL") == [
        ("internal_error", 1)
    ]


def test_the_ledger_counts_what_was_stored_when_an_instant_was_taken(desk: Desk, post: Post) -> None:
    times = [START_MS + i * MINUTE_MS for i in range(4)]
    desk.take(post.declare(), post.publish(Class.LIVE, post.samples(times[:1], value=9)))
    desk.take(post.publish(Class.LIVE, post.samples(times)))
    counted = "SELECT samples FROM batch WHERE class = 2 AND sequence = 2"
    assert desk.one(counted) == 3
    desk.connection.execute("DELETE FROM sample_standard WHERE s0 = 9")
    letter = desk.one("SELECT id FROM dead_letter")
    assert replay(desk.connection, letter, desk.series, NOW).samples == 1
    assert desk.one(counted) == 4


def test_a_loop_that_has_more_to_do_does_not_wait(context: Context) -> None:
    """At 1,000 marks a second, 5,000 every ten seconds would never catch up."""
    ended, ticks = threading.Event(), []

    def tick(_bench: Bench) -> int:
        ticks.append(1)
        if len(ticks) == 5:
            ended.set()
        return 10

    running = threading.Thread(
        target=run_loops, args=(context, ended, (Loop("busy", 3600.0, tick, full=10),)), daemon=True
    )
    running.start()
    running.join(60)
    ended.set()
    assert len(ticks) == 5
