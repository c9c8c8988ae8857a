"""The spooler's loop on a real spool and a clock stepped by hand: bad clocks, bad disks, bad bytes."""

from __future__ import annotations

import os
import threading
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import pytest

from edge_agent.core.declaring import declaration
from edge_agent.core.records import UnitIdentity
from edge_agent.core.spool_policy import Caps
from edge_agent.core.window import AckMark
from edge_agent.errors import SpoolError, SpoolFull
from edge_agent.io.clocks import SteppedClock
from edge_agent.io.sqlite_spool import SqliteSpool
from edge_agent.loops import spooler as module
from edge_agent.loops.board import Board
from edge_agent.loops.desk import Taken
from edge_agent.loops.link import LinkView
from edge_agent.loops.room import RoomKeeper
from edge_agent.loops.spooler import Spooler
from firmware_bridge.kinds import SensorKind
from firmware_bridge.ports import Reading
from wire_contract.classes import Class
from wire_contract.envelope import decode, encode
from wire_contract.flags import Flag, unpack_flags
from wire_contract.messages import (
    CommandReply,
    SampleBatch,
    Tombstone,
    TombstoneReason,
    Verdict,
    VerdictBatch,
)
from wire_contract.verdict_kinds import VerdictKind

NOW_MS = 1_795_000_000_000  # November 2026
YEAR_MS = 365 * 86_400_000
HOUR_MS = 3_600_000


class Post:
    """One lamppost's spooler, without threads and without a link."""

    def __init__(self, folder: Path, now_ms: int = NOW_MS, boot: str = "stepped", max_bytes: int = 0) -> None:
        self.clock = SteppedClock(now_ms, boot)
        self.spool = SqliteSpool(folder, declaration, max_bytes, self.clock.street_s)
        self.board = Board(self.clock)
        caps = Caps(1 << 29, 0, 0, 30.0, 7.0)
        self.room = RoomKeeper(self.clock, self.spool, self.board, caps)
        self.view = LinkView()
        args = (self.clock, self.spool, self.board, self.view, self.room, 10.0)
        self.spooler = Spooler(*args, lambda: None, lambda: None)
        self.taken = 0

    def pass_s(self, seconds: float) -> None:
        self.clock.step_to(self.clock.now_ms() + int(seconds * 1000))

    def taking(self, status: tuple[str, ...] = (), serial: str = "58d9") -> Taken:
        self.taken += 1
        reading = Reading(SensorKind.SDS011, (self.taken, 0), serial, status)
        identity = UnitIdentity("sds011", serial, "arm")
        return Taken("s0", identity, reading, 60.0, self.clock.now_ms(), self.clock.street_s())

    def sample(self, status: tuple[str, ...] = (), serial: str = "58d9") -> None:
        self.spooler.take_now(self.taking(status, serial))

    def codes(self) -> set[str]:
        return {condition.code for condition in self.board.conditions()}

    def stored(self, *classes: Class) -> list[tuple[int, int]]:
        """(time, value) of every sealed sample, in the order of sealing."""
        return [
            (time_ms, value)
            for cls in classes or (Class.LIVE, Class.HISTORY)
            for head in self.spool.heads(cls, 0, 10_000)
            for batch in [decode(_payload(self.spool, cls, head.sequence))]
            if isinstance(batch, SampleBatch)
            for block in batch.blocks
            for time_ms, value in zip(block.times_ms, block.columns[0], strict=True)
        ]

    def flags(self) -> dict[int, int]:
        """The first slot's flag of every sealed sample, by its value."""
        return {
            value: unpack_flags(word)[0]
            for cls in (Class.LIVE, Class.HISTORY)
            for head in self.spool.heads(cls, 0, 10_000)
            for batch in [decode(_payload(self.spool, cls, head.sequence))]
            if isinstance(batch, SampleBatch)
            for block in batch.blocks
            for value, word in zip(block.columns[0], block.flags, strict=True)
        }

    def cut_power(self) -> None:
        """What memory held is gone."""
        self.spool.close()

    def tombstones(self) -> list[Tombstone]:
        found = [
            decode(_payload(self.spool, c, h.sequence)) for c in Class for h in self.spool.heads(c, 0, 10_000)
        ]
        return [each for each in found if isinstance(each, Tombstone)]


def _payload(spool: SqliteSpool, cls: Class, sequence: int) -> bytes:
    stored = spool.load(cls, sequence)
    assert stored is not None
    return stored.payload


def test_a_clock_that_jumps_a_year_ahead_makes_nothing_expire(tmp_path: Path) -> None:
    post = Post(tmp_path)
    for _ in range(200):
        post.sample()
        post.pass_s(60)
    sealed = len(post.stored())
    assert sealed > 100
    post.clock.jump_to(post.clock.now_ms() + YEAR_MS)
    post.pass_s(60)
    post.sample()
    post.room.keep()
    assert len(post.stored()) >= sealed
    assert post.tombstones() == []


def test_what_is_older_than_its_time_to_live_still_expires(tmp_path: Path) -> None:
    post = Post(tmp_path)
    for _ in range(100):
        post.sample()
        post.pass_s(60)
    assert post.stored()
    post.pass_s(31 * 86_400)
    post.room.keep()
    assert post.stored() == []
    assert {each.reason for each in post.tombstones()} == {TombstoneReason.EXPIRED}


@pytest.mark.parametrize("now_ms", [4_102_444_800_000, 4_291_747_200_000])  # 2100, 2106
def test_a_clock_beyond_the_wires_times_counts_as_unset_and_nothing_is_lost(
    tmp_path: Path, now_ms: int
) -> None:
    post = Post(tmp_path, now_ms)
    for _ in range(5):
        post.sample()
        post.pass_s(60)
    assert "clock_unset" in post.codes()
    post.clock.jump_to(NOW_MS)
    for _ in range(3):
        post.sample()
        post.pass_s(60)
    post.spooler.finish_now()
    assert sorted(value for _, value in post.stored()) == list(range(1, 9))


def test_samples_without_a_time_get_it_in_the_order_they_were_taken(tmp_path: Path) -> None:
    post = Post(tmp_path, 0)
    for _ in range(30):
        post.sample()
        post.pass_s(1)
    zero_ms = NOW_MS - 30_000
    post.clock.jump_to(NOW_MS)
    post.spooler.take_now(post.taking())  # with a time, in the same turn as the setting of the clock
    post.pass_s(1)
    post.sample()
    post.spooler.finish_now()
    stored = sorted(post.stored(), key=lambda each: each[1])
    assert [value for _, value in stored] == list(range(1, 33))
    for n, (time_ms, _) in enumerate(stored):
        assert abs(time_ms - (zero_ms + n * 1000)) <= 10, f"sample {n + 1}"
    assert all(a[0] < b[0] for a, b in pairwise(stored))
    assert "clock_jumped" not in post.codes()


def test_a_year_ahead_and_back_poisons_no_time_to_come(tmp_path: Path) -> None:
    post = Post(tmp_path)
    post.sample()
    post.pass_s(60)
    post.clock.jump_to(post.clock.now_ms() + YEAR_MS)
    post.sample()
    assert "clock_jumped" in post.codes(), "ahead is a jump too"
    post.pass_s(60)
    post.clock.jump_to(NOW_MS + 120_000)
    post.sample()
    post.pass_s(60)
    post.sample()
    post.spooler.finish_now()
    times = [time_ms for time_ms, _ in sorted(post.stored(), key=lambda each: each[1])]
    assert abs(times[2] - (NOW_MS + 120_000)) <= 10
    assert abs(times[3] - (NOW_MS + 180_000)) <= 10


def test_a_text_too_long_for_the_wire_stops_neither_samples_nor_conditions(tmp_path: Path) -> None:
    post = Post(tmp_path)
    post.board.raise_("x" * 100, "y" * 100, "z\0" * 4000, "w" * 4000)
    post.spooler._wait()
    post.sample(serial="s" * 300)
    for _ in range(3):
        post.pass_s(60)
        post.sample()
    post.spooler.finish_now()
    assert sorted(value for _, value in post.stored()) == [1, 2, 3, 4]
    assert post.spool.heads(Class.DIAGNOSTIC, 0, 10)


def test_what_memory_cannot_hold_while_the_disk_refuses_costs_no_memory_but_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HELD_ROWS", 10)
    for start_ms, reason in ((NOW_MS, TombstoneReason.SPOOL_FULL), (0, TombstoneReason.SPOOL_FULL)):
        post = Post(tmp_path / str(start_ms), start_ms)
        post.sample()
        refuse = monkeypatch.context()
        with refuse as patch:
            patch.setattr(post.spool, "commit", _refuse)
            for _ in range(50):
                post.pass_s(60)
                try:
                    post.sample()
                except SpoolFull as error:
                    post.room.write_refused(error)
            held = [v for v in vars(post.spooler).values() if isinstance(v, list)]
            assert all(len(each) <= 10 for each in held)
        post.clock.jump_to(NOW_MS)
        post.pass_s(60)
        post.sample()
        post.spooler.finish_now()
        stored = {value for _, value in post.stored()}
        (tombstone,) = [each for each in post.tombstones() if each.reason is reason]
        assert len(stored) + tombstone.samples == 52, "stored, or told"


def _refuse(*_args: object, **_more: object) -> None:
    raise SpoolFull("told to be full")


def test_the_sensors_own_warning_is_a_condition_and_no_good_flag(tmp_path: Path) -> None:
    post = Post(tmp_path)
    post.sample(status=("device_error",))
    post.spooler.finish_now()
    (head,) = post.spool.heads(Class.HISTORY, 0, 10)
    batch = cast(SampleBatch, decode(_payload(post.spool, Class.HISTORY, head.sequence)))
    assert unpack_flags(batch.blocks[0].flags[0])[0] == Flag.SUSPECT


YEAR_2016_MS = 1_460_000_000_000


@pytest.mark.parametrize("start_ms", [0, YEAR_2016_MS])
def test_what_got_its_time_afterwards_is_marked_and_a_doubt_stays_one(tmp_path: Path, start_ms: int) -> None:
    post = Post(tmp_path, start_ms)
    for n in range(6):
        post.sample(status=("device_error",) if n == 3 else ())
        post.pass_s(60)
    assert post.spool.waiting(False, 100), "on the disk, without a time"
    post.clock.jump_to(NOW_MS)
    post.sample()
    post.pass_s(60)
    post.spooler.finish_now()
    flags = post.flags()
    assert [flags[n] for n in (1, 2, 3, 5)] == [Flag.TIME_CORRECTED] * 4
    assert flags[4] == Flag.SUSPECT
    assert flags[7] == Flag.GOOD, "taken with a time"


def test_two_boots_without_a_time_say_what_is_known_of_each(tmp_path: Path) -> None:
    """Of the boot in which the time came every sample gets its own; of the one before only this is known:
    after the last sample with a time, before this boot began."""
    post = Post(tmp_path, boot="known")
    post.sample()
    post.pass_s(60)
    post.spooler.finish_now()
    post.cut_power()
    post = Post(tmp_path, 0, boot="first without")
    for _ in range(3):
        post.sample()
        post.pass_s(60)
    post.cut_power()
    post = Post(tmp_path, YEAR_2016_MS, boot="second without")
    for _ in range(2):
        post.sample()
        post.pass_s(60)
    assert post.tombstones() == [], "nobody knows yet whether a time will come"
    later_ms = NOW_MS + HOUR_MS
    post.clock.jump_to(later_ms)
    post.spooler.tend()
    post.spooler.finish_now()
    (buried,) = post.tombstones()
    assert (buried.reason, buried.samples) == (TombstoneReason.CLOCK_NEVER_SET, 3)
    assert buried.from_ms == NOW_MS, "the last sample with a time"
    assert buried.to_ms == later_ms - 120_000, "when this boot began"
    mended = sorted(time_ms for time_ms, _ in post.stored())[1:]
    assert mended == [later_ms - 120_000, later_ms - 60_000]
    assert (post.spool.given_up()[0].reason, post.spool.given_up()[0].samples) == ("clock_never_set", 3)


def test_samples_without_a_time_outlive_a_new_epoch(tmp_path: Path) -> None:
    post = Post(tmp_path, 0)
    for _ in range(3):
        post.sample()
        post.pass_s(60)
    epoch = post.spool.epoch
    post.spooler._rescue(epoch)
    assert post.spool.epoch != epoch
    post.sample()
    post.pass_s(60)
    post.clock.jump_to(NOW_MS)
    post.spooler.tend()
    post.spooler.finish_now()
    assert sorted(post.flags().items()) == [(n, Flag.TIME_CORRECTED) for n in range(1, 5)]
    times = [time_ms for time_ms, _ in sorted(post.stored())]
    assert times == [NOW_MS - n * 60_000 for n in (4, 3, 2, 1)]


def test_a_spool_full_of_what_is_never_given_up_pushes_back_and_loses_no_alarm(tmp_path: Path) -> None:
    post = Post(tmp_path, max_bytes=100_000)
    reply = encode(CommandReply("c", True, os.urandom(400).hex(), NOW_MS))
    with pytest.raises(SpoolFull):
        _put_for_ever(post.spool, reply)
    replies = post.spool.counters()[Class.REPLY].waiting_messages
    for n in range(50):
        verdict = Verdict(NOW_MS + n, 1, VerdictKind.EPISODE, 1.0, 1.0, "x" * 900, "rule@1", b"")
        post.spooler.verdicts((verdict,))
        post.pass_s(11)
        post.spooler._wait()
        try:
            post.spooler.tend()
        except SpoolError as error:
            post.room.write_refused(error)
    assert "disk_full" in post.codes()
    counters = post.spool.counters()
    assert counters[Class.REPLY].waiting_messages == replies, "an alarm costs no reply either"
    assert not post.spool.given_up()
    post.spool.acknowledge({Class.REPLY: AckMark(replies)})
    post.pass_s(11)
    post.spooler.tend()
    assert "disk_full" not in post.codes()
    told = [
        each.time_ms - NOW_MS
        for head in post.spool.heads(Class.ALARM, 0, 1000)
        for each in cast(VerdictBatch, decode(_payload(post.spool, Class.ALARM, head.sequence))).verdicts
    ]
    assert told == list(range(50)), "each once, in order"


def _put_for_ever(spool: SqliteSpool, payload: bytes) -> None:
    while True:
        spool.put(Class.REPLY, payload, NOW_MS)


def test_no_sample_counts_twice_while_it_goes_to_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever looks between the commit and the spooler's own list waits until both say the same."""
    post = Post(tmp_path)
    commit, looks, off = post.spool.commit, [], []

    def look(looked: threading.Event) -> None:
        with post.spooler.moving:
            counters, pending = post.spool.counters(), post.spooler.pending()
        off.append(sum(each.samples for each in counters.values()) + pending - post.taken)
        looked.set()

    def committed(*args: Any, **kwargs: Any) -> None:
        commit(*args, **kwargs)
        looked = threading.Event()
        looks.append(threading.Thread(target=look, args=(looked,)))
        looks[-1].start()
        looked.wait(0.2)  # long enough for one whom nothing holds up

    monkeypatch.setattr(post.spool, "commit", committed)
    for _ in range(4):
        post.sample()
    post.spooler.finish_now()
    for each in looks:
        each.join(30)
    assert off
    assert set(off) == {0}
