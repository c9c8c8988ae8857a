"""The spooler's loop: takes readings in, commits and seals them when `core/sealing.py` says so."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from queue import Empty, SimpleQueue

from edge_agent.core.gathering import Seen
from edge_agent.core.records import Lost, Row, Sealed, UnitIdentity
from edge_agent.core.sealing import COMMIT_EVERY_S, HISTORY_ROWS, Moment, Pace, due_at_s, form, plan
from edge_agent.core.spool_policy import Caps
from edge_agent.core.stamping import clock_is_set, time_corrected
from edge_agent.errors import SpoolCorrupt, SpoolError
from edge_agent.loops.board import Board
from edge_agent.loops.desk import Desk, Taken, physical, seen
from edge_agent.loops.gate import Gate
from edge_agent.loops.link import LinkView
from edge_agent.loops.room import RoomKeeper
from edge_agent.ports import Clock, Spool
from wire_contract.classes import Class
from wire_contract.messages import (
    CommandReply,
    Condition,
    ConditionBatch,
    Message,
    TombstoneReason,
    Verdict,
    VerdictBatch,
)

log = logging.getLogger("lamppost")

HELD_ROWS = 5_000  # samples held in memory while the disk refuses: 2.5 MB, a day of three sensors a minute
HELD_VERDICTS = 1000  # verdicts the same: a post's for a day of trouble, and what one message holds
HELD_NEWS = 60  # conditions waiting to be spooled, 120 kB at most; older ones the presence tells anyway
PAUSE_S = 1.0  # wire clock; after a failure nobody foresaw: whatever it is, no hot loop
IDLE_S = 30.0  # wire clock; the spool's room is looked at even when nothing comes

Item = Callable[[], None]
Watch = Callable[[Seen, UnitIdentity], None]


class Spooler:
    """Runs in a thread of its own (`run`); the only writer of samples. Calls `sealed_work` after a seal."""

    def __init__(
        self,
        clock: Clock,
        spool: Spool,
        board: Board,
        view: LinkView,
        room: RoomKeeper,
        flush_s: float,
        sealed_work: Callable[[], None],
        epoch_changed: Callable[[], None],
        watch: Watch = lambda _seen, _identity: None,
    ) -> None:
        self._clock, self._spool, self._board, self._view, self._room = clock, spool, board, view, room
        self._pace, self._sealed_work, self._epoch_changed = Pace(flush_s), sealed_work, epoch_changed
        self._news_at_s = float("-inf")
        self._watch = watch
        self._inbox: SimpleQueue[Item] = SimpleQueue()
        self._desk, self._gate = Desk(clock, spool, board), Gate(board)
        self._on_disk: list[Row] = spool.waiting(True, 2 * HELD_ROWS)
        self._new: list[Row] = []  # taken, not yet committed; oldest first
        self._amended: dict[int, int] = {}
        self._unsynced = bool(spool.waiting(False, 1))
        self._unsynced_new: list[Row] = []
        self._verdicts: list[Verdict] = []
        self._news: list[Condition] = []
        self._replies: list[CommandReply] = []
        self._lost = Lost()
        self._untaken: list[Taken] = []
        self._committed_at_s = float("-inf")
        self.moving = threading.Lock()  # held while samples go from here to the disk: neither counts twice
        self._running = True
        self._pause = threading.Event()  # never set: a sleep that is no busy wait
        self._final = False
        self.beat_s = clock.wire_s()  # the watchdog's: when the loop last turned
        self.latest: dict[str, dict[str, float | None]] = {}  # by sensor and channel, for the status file
        self.late_verdicts = 0  # spikes found in samples that were sealed already, since the start
        self._board.listen(lambda news: self._inbox.put(lambda: self._hear(news)))

    # -- what other threads may call ---------------------------------------------------------------------

    def take(self, taken: Taken) -> None:
        self._inbox.put(lambda: self._take(taken))

    def take_now(self, taken: Taken) -> None:
        """For a rehearsal, which has no threads: take it in and tend, here."""
        self._take(taken)
        self.tend()

    def finish_now(self) -> None:
        """For a rehearsal: seal everything that waits, here."""
        self._finish()

    def reply(self, reply: CommandReply) -> None:
        self._inbox.put(lambda: self._replies.append(reply))

    def verdicts(self, verdicts: tuple[Verdict, ...]) -> None:
        """Spool them at once, in the class that leaves first."""

        def take() -> None:
            self._verdicts = [*self._verdicts, *verdicts][-HELD_VERDICTS:]

        self._inbox.put(take)

    def declare_all(self) -> None:
        self._inbox.put(self._declare_all)

    def rescue(self) -> None:
        """Another loop found the spool damaged."""
        epoch = self._spool.epoch
        self._inbox.put(lambda: self._rescue(epoch))

    def keep_pace(self, pace: Pace) -> None:
        """From now on."""

        def change() -> None:
            self._pace = pace

        self._inbox.put(change)

    def keep_within(self, caps: Caps) -> None:
        """The spool's limits from now on."""
        self._inbox.put(lambda: self._room.change(caps))

    def finish(self) -> None:
        """Seal everything that waits, now."""
        self._inbox.put(self._finish)

    def stop(self) -> None:
        self._inbox.put(self._stop)

    def pending(self) -> int:
        """Samples taken and not yet sealed."""
        return len(self._on_disk) + len(self._new) + len(self._unsynced_new)

    # -- the loop ----------------------------------------------------------------------------------------

    def run(self) -> None:
        while self._running:
            self.turn()

    def turn(self) -> None:
        """Once round: take in what has come, or wait for it; then tend."""
        self.beat_s = self._clock.wire_s()
        try:
            self._wait()
            self.tend()
        except SpoolCorrupt as error:
            self._board.raise_error(error, "spool")
            self._pause.wait(PAUSE_S)
            self.rescue()
        except SpoolError as error:
            self._room.write_refused(error)
        except Exception as error:  # the loop's top
            if self._board.loop_failed("spooler", error):
                log.exception("the spooler's loop failed; it goes on")
            self._pause.wait(PAUSE_S)

    def _wait(self) -> None:
        """Take in all that has come; if nothing has, wait for it until something is due."""
        timeout_s = min(self._due_in_s(), IDLE_S)
        try:
            item = self._inbox.get(timeout=max(timeout_s, 0.001))
        except Empty:
            return
        item()
        while not self._inbox.empty():
            self._inbox.get()()

    def _due_in_s(self) -> float:
        """Wire seconds until the next commit or seal."""
        if self._room.refused:
            return self._room.retry_in_s()
        waits = [IDLE_S]
        if self._new or self._unsynced_new or self._amended or self._news or self._replies:
            waits.append(self._committed_at_s + COMMIT_EVERY_S - self._clock.wire_s())
            if not (self._new or self._unsynced_new or self._amended or self._replies):
                waits[-1] = max(waits[-1], self._news_in_s())
        rows = self._on_disk or self._new
        if rows:
            count = len(self._on_disk) + len(self._new)
            due_s = due_at_s(rows[0].mono_ms / 1000, count, self._moment())
            waits.append((due_s - self._clock.street_s()) / self._clock.speed)
        return min(waits)

    def _news_in_s(self) -> float:
        return 0.0 if self._final else self._news_at_s + self._pace.news_s - self._clock.wire_s()

    def _moment(self) -> Moment:
        street_s = self._clock.street_s()
        live_s, history_s = self._pace.live_s, self._pace.history_s
        up = self._view.up_within(street_s, live_s)
        return Moment(self._clock.now_ms(), street_s, up, live_s, self._final, history_s)

    def tend(self) -> None:
        """Commit and seal what is due, then look after the room. Raises SpoolFull, SpoolCorrupt."""
        if self._room.refused:
            if self._room.retry_in_s() > 0 and not self._final:
                return
            self._room.retry()
        self._take_again()
        self._restamp_when_set()
        moment = self._moment()
        rows = [*self._on_disk, *self._new]
        rows = self._with_this_boot(rows)
        planned = plan(rows, moment)
        sealed = (*form(Class.LIVE, planned.live), *form(Class.HISTORY, planned.history))
        due = self._clock.wire_s() >= self._committed_at_s + COMMIT_EVERY_S
        news = self._news and self._news_in_s() <= 0
        something = self._new or self._unsynced_new or self._amended or news or self._replies
        if sealed or self._final or self._verdicts or (something and due):
            self._write(sealed, moment.now_ms)
        if self._room.due():
            self._room.keep()

    def _with_this_boot(self, rows: list[Row]) -> list[Row]:
        """Rows of an earlier boot have another monotonic clock: they are as old as can be."""
        boot = self._clock.boot()
        return [row if row.boot == boot else replace(row, mono_ms=0) for row in rows]

    def _write(self, sealed: tuple[Sealed, ...], now_ms: int) -> None:
        taken = {row_id for batch in sealed for row_id in batch.row_ids}
        fresh = [row for row in self._new if row.id not in taken]
        stamps = self._desk.stamps(self._new)
        with self.moving:
            self._spool.commit([*fresh, *self._unsynced_new], sealed, self._amended, stamps)
            self._unsynced = self._unsynced or bool(self._unsynced_new)
            self._on_disk = [row for row in (*self._on_disk, *fresh) if row.id not in taken]
            self._new, self._unsynced_new, self._amended = [], [], {}
        self._committed_at_s = self._clock.wire_s()
        self._room.written()
        self._board.clear("agent_error", "spooler")
        spooled = self._write_messages(now_ms)
        if sealed or spooled:
            self._sealed_work()

    def _write_messages(self, now_ms: int) -> bool:
        """Spool replies, conditions, and what to say of samples that memory could not hold."""
        news = self._news if self._news_in_s() <= 0 else []
        spooled = bool(self._verdicts or self._replies or news or self._lost.samples)
        if self._verdicts:
            self._put(Class.ALARM, VerdictBatch(tuple(self._verdicts)), now_ms)
            self._verdicts = []
        while self._replies:
            self._put(Class.REPLY, self._replies[0], now_ms)
            self._replies.pop(0)
        if news:
            self._put(Class.DIAGNOSTIC, ConditionBatch(tuple(news)), now_ms)
            self._news, self._news_at_s = [], self._clock.wire_s()
        if self._lost.samples:
            lost = self._lost
            self._spool.put_tombstone(
                Class.HISTORY, TombstoneReason.SPOOL_FULL, lost.samples, lost.from_ms, lost.to_ms
            )
            self._lost = Lost()
        return spooled

    def _put(self, cls: Class, message: Message, now_ms: int) -> None:
        payload = self._gate.leave(cls, message)
        if payload is not None:
            self._spool.put(cls, payload, now_ms)

    def _hear(self, news: Condition) -> None:
        self._news = [*self._news, news][-HELD_NEWS:]

    def _take_again(self) -> None:
        """Readings of a unit that could not be declared while the disk refused."""
        while self._untaken:
            self._take(self._untaken[0], again=True)
            self._untaken.pop(0)

    def _take(self, taken: Taken, again: bool = False) -> None:
        try:
            self._restamp_when_set()  # what came before this one gets its time before it
            entry = self._desk.enter(taken)
        except SpoolError:
            if not again:
                self._untaken.append(taken)
            if len(self._untaken) > HELD_ROWS:
                self._lost = self._lost.more(self._untaken.pop(0).now_ms)
            raise
        if entry is None:
            return
        self.latest[taken.sensor] = physical(taken.reading)
        if not entry.row.synced:
            self._unsynced_new.append(entry.row)
            if len(self._unsynced_new) > HELD_ROWS:
                self._unsynced_new.pop(0)
                self._lost = self._lost.more(0)
            detail = "the clock was never set; samples wait for their time"
            self._board.raise_("clock_unset", "clock", detail)
            self._amend(entry.amended)
            return
        self._new.append(entry.row)
        self._watch(seen(taken, entry), taken.identity)
        self._amend(entry.amended)
        if len(self._new) > HELD_ROWS:
            self._lost = self._lost.more(self._new.pop(0).time_ms)

    def _amend(self, row: Row | None) -> None:
        """Give a waiting row its final flags; a sealed one is left alone, and counted."""
        if row is None:
            return
        for rows in (self._new, self._on_disk, self._unsynced_new):
            for index in range(len(rows) - 1, -1, -1):
                if rows[index].id == row.id:
                    mended = rows[index].synced and not row.synced  # it got its time in between
                    flags = time_corrected(row.flags) if mended else row.flags
                    rows[index] = replace(rows[index], flags=flags)
                    if rows is self._on_disk:
                        self._amended[row.id] = flags
                    return
        if not row.synced and self._unsynced:
            self._amended[row.id] = row.flags  # on the disk, and no copy of it here
        else:
            self.late_verdicts += 1

    # -- samples without a time --------------------------------------------------------------------------

    def _restamp_when_set(self) -> None:
        """Once the clock is set, give the samples of this boot their time, marked, and bury those of earlier
        boots: for how long there was no power nobody knows, only that it was before this boot."""
        now_ms = self._clock.now_ms()
        if not (self._unsynced or self._unsynced_new) or not clock_is_set(now_ms):
            return
        boot, zero_ms = self._clock.boot(), now_ms - int(self._clock.street_s() * 1000)
        count, known_ms = len(self._unsynced_new), self._desk.latest_ms(zero_ms)
        while rows := self._spool.waiting(False, HISTORY_ROWS):
            old = [row.id for row in rows if row.boot != boot]
            if old:
                reason = TombstoneReason.CLOCK_NEVER_SET
                self._spool.drop_rows(old, Class.HISTORY, reason, known_ms, max(zero_ms, known_ms))
            mine = self._restamped([row for row in rows if row.boot == boot], zero_ms)
            sealed = form(Class.HISTORY, mine)
            self._spool.commit(sealed=sealed, stamps=self._desk.stamps(mine))
            count += len(mine)
        restamped = self._restamped(self._unsynced_new, zero_ms)
        self._unsynced_new = []
        self._new = sorted((*self._new, *restamped), key=_id)
        self._unsynced = False
        if count:
            log.info("the clock is set: %d samples got their time afterwards", count)
        self._board.clear("clock_unset", "clock")
        self._sealed_work()

    def _restamped(self, rows: list[Row], zero_ms: int) -> list[Row]:
        return [
            replace(
                row,
                time_ms=self._desk.time_for(row.unit, zero_ms + row.mono_ms),
                flags=time_corrected(row.flags),
                synced=True,
            )
            for row in rows
        ]

    # -- rare things -------------------------------------------------------------------------------------

    def _declare_all(self) -> None:
        self._desk.declare_all()
        self._sealed_work()

    def _rescue(self, epoch: bytes) -> None:
        if self._spool.epoch == epoch:
            now_ms = self._clock.now_ms()
            rescue = self._spool.rescue(now_ms)
            self.tell_rescue(rescue.kept_at, rescue.messages, rescue.samples)
            self._desk.reload()
            self._unsynced = True  # whatever the old file had of them
            # What was read of the old file is in the new one; what memory still holds is written again.
            self._new = sorted({row.id: row for row in (*self._on_disk, *self._new)}.values(), key=_id)
            self._on_disk = []
        self._epoch_changed()

    def tell_rescue(self, kept_at: str, messages: int, samples: int) -> None:
        detail = f"the spool was damaged; {messages} messages and {samples} samples were read of it"
        kept = f"the file is kept: {kept_at}" if kept_at else "no file of it is left"
        self._board.raise_("spool_corrupt", "spool", f"{detail}; {kept}")

    def _finish(self) -> None:
        self._final = True
        self.tend()
        self._final = False

    def _stop(self) -> None:
        self._running = False
        self._finish()


def _id(row: Row) -> int:
    return row.id
