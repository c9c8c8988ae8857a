"""One group, one transaction, against real PostgreSQL."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from fleet_server.telemetry.ingest import derived
from tests.fleet_server.telemetry.support import GOOD_WORD, MINUTE_MS, NOW, NOW_MS, Desk, Post
from wire_contract.classes import Class
from wire_contract.messages import Ask, Presence, Tombstone, TombstoneReason, TwinReported
from wire_contract.topics import Up

START_MS = NOW_MS - 3600_000


def minutes(n: int, start_ms: int = START_MS) -> list[int]:
    return [start_ms + i * MINUTE_MS for i in range(n)]


def test_samples_are_stored_rolled_up_and_latest(desk: Desk, post: Post) -> None:
    outcome = desk.take(post.declare(), post.publish(Class.LIVE, post.samples(minutes(3))))
    assert desk.progress(outcome) == {Class.REPLY: (1, ()), Class.LIVE: (1, ())}
    assert desk.one("SELECT count(*) FROM sample WHERE s0 IS NOT NULL AND s3 IS NULL") == 3
    assert desk.one("SELECT count(*) FROM rollup_1m") == 9
    unit_latest = desk.rows(
        "SELECT slot, extract(epoch FROM time) * 1000, value, flag"
        " FROM latest JOIN series ON series.id = series_id ORDER BY slot"
    )
    last = START_MS + 2 * MINUTE_MS
    assert unit_latest == [(slot, last, (last // 1000) % 10_000 + slot, 1) for slot in range(3)]


def test_a_batch_counts_once_in_any_order(desk: Desk, post: Post) -> None:
    desk.take(post.declare())
    batches = [post.publish(Class.LIVE, post.samples([t])) for t in minutes(5)]
    for order in itertools.islice(itertools.permutations(batches), 0, 120, 17):
        outcome = desk.take(*order, order[0])
    assert desk.one("SELECT count(*) FROM sample") == 5
    assert desk.one("SELECT sum(n) FROM rollup_1m") == 15
    assert desk.progress(outcome) == {Class.LIVE: (5, ())}


def test_acks_tell_the_holes(desk: Desk, post: Post) -> None:
    desk.take(post.declare())
    batches = {n: post.publish(Class.LIVE, post.samples([t]), n) for n, t in enumerate(minutes(9), start=1)}
    outcome = desk.take(batches[1], batches[3], batches[4], batches[7])
    assert desk.progress(outcome) == {Class.LIVE: (1, ((3, 4), (7, 7)))}
    outcome = desk.take(batches[2], batches[5])
    assert desk.progress(outcome) == {Class.LIVE: (5, ((7, 7),))}


def test_a_tombstone_fills_its_whole_range_and_widens_what_came(desk: Desk, post: Post) -> None:
    desk.take(post.declare())
    live = {n: post.publish(Class.LIVE, post.samples([t]), n) for n, t in enumerate(minutes(9), start=1)}
    desk.take(live[1], live[3])
    dead = Tombstone(3, 8, TombstoneReason.SPOOL_FULL, 6, START_MS, NOW_MS)
    for _ in range(2):
        outcome = desk.take(post.publish(Class.LIVE, dead, 3))
    assert desk.progress(outcome) == {Class.LIVE: (1, ((3, 8),))}
    assert desk.rows("SELECT first, last, reason, samples FROM tombstone") == [(3, 8, "spool_full", 6)]
    outcome = desk.take(live[2], live[9])
    assert desk.progress(outcome) == {Class.LIVE: (9, ())}


def test_an_ask_is_answered_for_every_class_asked(desk: Desk, post: Post) -> None:
    outcome = desk.take(post.tell(Up.ASK, Ask(post.epoch, (0, 1, 2, 3, 4))))
    assert desk.progress(outcome) == {cls: (0, ()) for cls in range(5)}


def test_failed_and_missing_readings_stay_out_of_sums(desk: Desk, post: Post) -> None:
    fail_and_missing = (GOOD_WORD & ~0xFF) | 0x94  # slot 0 failed, slot 1 missing
    batch = post.publish(Class.LIVE, post.samples([START_MS], value=7, flags=fail_and_missing))
    desk.take(post.declare(), batch)
    assert desk.rows(
        "SELECT slot, n, sum, min, max, flagged"
        " FROM rollup_1m JOIN series ON series.id = series_id ORDER BY slot"
    ) == [(0, 0, 0, None, None, 1), (1, 0, 0, None, None, 1), (2, 1, 7, 7, 7, 0)]
    assert desk.rows("SELECT value, flag FROM latest JOIN series ON series.id = series_id ORDER BY slot") == [
        (7, 4),
        (None, 9),
        (7, 1),
    ]


def test_only_a_newer_reading_becomes_the_latest(desk: Desk, post: Post) -> None:
    new, old = minutes(2)[1], minutes(2)[0]
    desk.take(post.declare(), post.publish(Class.LIVE, post.samples([new])))
    desk.take(post.publish(Class.HISTORY, post.samples([old])))
    assert desk.one("SELECT DISTINCT extract(epoch FROM time) * 1000 FROM latest") == new


def test_a_taken_instant_keeps_the_first_and_buries_the_other(desk: Desk, post: Post) -> None:
    desk.take(post.declare(), post.publish(Class.LIVE, post.samples([START_MS], value=1)))
    outcome = desk.take(
        post.publish(Class.LIVE, post.samples([START_MS], value=2)),
        post.publish(Class.HISTORY, post.samples([START_MS], value=1)),
        post.publish(Class.LIVE, post.samples([START_MS + MINUTE_MS], value=3)),
    )
    assert desk.rows("SELECT s0 FROM sample ORDER BY time") == [(1,), (3,)]
    assert desk.rows("SELECT reason, class, sequence FROM dead_letter") == [("instant_taken", 2, 2)]
    assert desk.progress(outcome) == {Class.LIVE: (3, ()), Class.HISTORY: (1, ())}
    assert outcome.counts["repeated_samples"] == 1
    assert desk.one("SELECT sum(n) FROM rollup_1m") == 6


@pytest.mark.parametrize("order", [0, 1])
def test_two_rows_of_one_instant_in_one_group(desk: Desk, post: Post, order: int) -> None:
    both = [
        post.publish(Class.LIVE, post.samples([START_MS], value=1)),
        post.publish(Class.HISTORY, post.samples([START_MS], value=1 + order)),
    ]
    outcome = desk.take(post.declare(), *both)
    assert desk.one("SELECT count(*) FROM sample") == 1
    assert outcome.counts["taken_samples"] == order
    assert desk.one("SELECT sum(n) FROM rollup_1m") == 3


def test_unknown_sensor_waits_in_the_dead_letters(desk: Desk, post: Post) -> None:
    outcome = desk.take(post.publish(Class.LIVE, post.samples(minutes(2), unit=9)))
    assert desk.progress(outcome) == {Class.LIVE: (1, ())}
    assert desk.rows("SELECT reason, sequence FROM dead_letter") == [("unknown_sensor", 1)]
    assert outcome.undeclared == {(post.address, 9)}
    assert desk.one("SELECT samples FROM batch") == 0


def test_a_device_nobody_registered_is_quarantined(desk: Desk) -> None:
    stranger = Post("stranger")
    outcome = desk.take(stranger.declare(), stranger.publish(Class.LIVE, stranger.samples([START_MS])))
    assert desk.rows("SELECT name, state FROM device") == [("stranger", "quarantined")]
    assert desk.progress(outcome) == {Class.REPLY: (1, ()), Class.LIVE: (1, ())}
    assert desk.one("SELECT count(*) FROM dead_letter WHERE reason = 'device_not_active'") == 2


def test_the_same_unit_in_a_new_epoch_is_the_same_sensor_unit(desk: Desk, post: Post) -> None:
    desk.take(post.declare(unit=1, serial="A"))
    later = Post(epoch=b"f" * 16)
    desk.take(later.declare(unit=5, serial="A"), later.publish(Class.LIVE, later.samples([START_MS], unit=5)))
    assert desk.one("SELECT count(*) FROM sensor_unit") == 1
    assert desk.one("SELECT count(*) FROM unit_key") == 2
    assert desk.one("SELECT count(*) FROM sample") == 1


def test_last_seen_moves(desk: Desk, post: Post) -> None:
    desk.take(post.declare())
    assert desk.one("SELECT last_seen_at FROM device") == NOW


def test_slot_fifteen_s_flag_is_kept_in_the_sign(desk: Desk, post: Post) -> None:
    slots = tuple(range(16))
    word = 0xD111_1111_1111_1111
    batch = post.samples([START_MS], slots=slots, flags=word)
    desk.take(post.declare(slots=16), post.publish(Class.LIVE, batch))
    assert desk.one("SELECT DISTINCT flags FROM sample") == word - 2**64
    assert desk.one("SELECT flag FROM latest JOIN series ON series.id = series_id WHERE slot = 15") == 13


def test_rows_that_came_before_in_another_batch_are_repeated_or_taken(desk: Desk, post: Post) -> None:
    times = minutes(4)
    desk.take(post.declare(), post.publish(Class.LIVE, post.samples(times[:2])))
    repeated = desk.take(post.publish(Class.HISTORY, post.samples(times)))
    assert (repeated.counts["samples"], repeated.counts["repeated_samples"]) == (2, 2)
    taken = desk.take(post.publish(Class.HISTORY, post.samples(times, value=5)))
    assert (taken.counts["samples"], taken.counts["taken_samples"]) == (0, 4)
    assert desk.one("SELECT sum(n) FROM rollup_1m") == 12


def test_minutes_of_a_year_apart_and_minutes_between_them(desk: Desk, post: Post) -> None:
    """More minutes are there within the span than were asked for: those beyond are not taken for free."""
    half, year_ms = 30_000, 360 * 86_400_000
    desk.take(post.declare(), post.publish(Class.LIVE, post.samples(minutes(60))))
    spread = [START_MS - year_ms, *[t + half for t in minutes(60)[50:]], START_MS + 61 * MINUTE_MS]
    desk.take(post.publish(Class.HISTORY, post.samples(spread)))
    assert desk.rows("SELECT n, count(*) FROM rollup_1m GROUP BY n ORDER BY n") == [(1, 156), (2, 30)]


@pytest.mark.parametrize("raced", [False, True])
def test_a_drained_history_meets_minutes_that_are_there(
    desk: Desk, post: Post, monkeypatch: pytest.MonkeyPatch, raced: bool
) -> None:
    """New minutes go in by COPY, others by upsert, as where another worker was faster than the look."""
    early, late = minutes(30), minutes(30, START_MS + 30 * MINUTE_MS)
    half = 30_000
    desk.take(post.declare(), post.publish(Class.LIVE, post.samples(early)))
    if raced:
        monkeypatch.setattr(derived, "_free", lambda cursor, m: np.ones(len(m.unit), dtype=bool))
    desk.take(post.publish(Class.HISTORY, post.samples([t + half for t in early])))
    desk.take(post.publish(Class.HISTORY, post.samples([t + half for t in late])))
    assert desk.rows("SELECT n, count(*) FROM rollup_1m GROUP BY n ORDER BY n") == [(1, 90), (2, 90)]
    difference = desk.rows(
        "SELECT date_trunc('minute', time), count(*), sum(s1), min(s1), max(s1) FROM sample GROUP BY 1 EXCEPT"
        " SELECT bucket, n, sum, min, max FROM rollup_1m JOIN series ON series.id = series_id WHERE slot = 1"
    )
    assert difference == []


def test_what_a_device_reports_of_its_settings_is_kept(desk: Desk, post: Post) -> None:
    def report(version: int, value: float) -> None:
        document: dict[str, str | int | float | bool | None] = {"flush_interval_s": value, "deep": None}
        desk.take(post.tell(Up.TWIN, TwinReported(version, version - 1, document)))

    stored = "SELECT reported->'flush_interval_s', reported_version, reported_acknowledged FROM device"
    report(4, 10)
    report(5, 1.5)
    report(4, 10)
    assert desk.rows(stored) == [(1.5, 5, 4)]
    desk.take(post.tell(Up.PRESENCE, Presence(True, 1, NOW_MS, b"f" * 16, "1", True)))
    report(1, True)
    assert desk.rows(stored) == [(True, 1, 0)]
    assert desk.one("SELECT last_seen_at FROM device") == NOW
