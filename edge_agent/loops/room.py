"""Keeps room on the disk: measures, carries out what `core/spool_policy.py` orders."""

from __future__ import annotations

from edge_agent.core.spool_policy import (
    Caps,
    Order,
    RoomState,
    Sign,
    excess_bytes,
    expired,
    step,
    to_free,
    worth_reclaiming,
)
from edge_agent.core.spool_policy import Room as RoomName
from edge_agent.errors import SpoolError
from edge_agent.loops.board import Board
from edge_agent.ports import Clock, Spool

MEASURE_EVERY_S = 5.0  # wire clock: one statvfs; shedding margins cover what comes in between
RETRY_S = 10.0  # wire clock: how often a refused write is tried again
SHED_AT_ONCE = 500  # messages a step: bounded memory, and a bounded transaction
SUBJECT = "spool"


class RoomKeeper:
    """Used by the spooler's thread alone."""

    def __init__(self, clock: Clock, spool: Spool, board: Board, caps: Caps) -> None:
        self._clock, self._spool, self._board, self._caps = clock, spool, board, caps
        self._state = RoomState()
        self._measured_at_s = float("-inf")
        self._retry_at_s = 0.0

    def change(self, caps: Caps) -> None:
        """Other limits from now on; they are looked at at the next turn. Raises SpoolError."""
        self._caps = caps
        self._spool.bound(caps.max_bytes)
        self._measured_at_s = float("-inf")

    @property
    def refused(self) -> bool:
        """True while the disk does not take writes."""
        return self._state.room is RoomName.REFUSED

    def retry_in_s(self) -> float:
        return self._retry_at_s - self._clock.wire_s()

    def due(self) -> bool:
        return self._clock.wire_s() >= self._measured_at_s + MEASURE_EVERY_S

    def keep(self) -> None:
        """Measure, shed what is expired or over the caps. Raises SpoolFull, SpoolCorrupt."""
        self._measured_at_s = self._clock.wire_s()
        gone = expired(self._spool.weights(SHED_AT_ONCE), self._caps)
        if gone:
            self._spool.shed(gone)
        for _ in range(100):  # each turn sheds something, or ends
            usage = self._spool.usage()
            self._note_inodes(usage.free_inodes)
            over = excess_bytes(usage, self._caps)
            if not self._sign(Sign.OVER if over else Sign.FITS):
                if worth_reclaiming(usage):
                    self._spool.reclaim()
                return
            runs = to_free(self._spool.weights(SHED_AT_ONCE), over)
            if not runs:
                self._sign(Sign.NOTHING_LEFT)
                return
            self._spool.shed(runs)

    def written(self) -> None:
        """A commit went through: whatever said that none would is over, also where the link said it."""
        self._sign(Sign.WRITTEN)
        self._board.clear_subject(SUBJECT, "disk_full", "spool_error")

    def retry(self) -> None:
        """It is time to try a refused write again: measure first. Raises SpoolFull, SpoolCorrupt."""
        self._retry_at_s = self._clock.wire_s() + RETRY_S
        self._sign(Sign.TIMED_OUT)

    def write_refused(self, error: SpoolError) -> None:
        """A commit did not go through: shed if that can make room, and try again later."""
        self._retry_at_s = self._clock.wire_s() + RETRY_S
        if not self.refused:
            self._board.raise_error(error, SUBJECT)
        if self._sign(Sign.WRITE_REFUSED):
            try:
                runs = to_free(self._spool.weights(SHED_AT_ONCE), 1)
                if runs:
                    self._spool.shed(runs)
                    self._retry_at_s = self._clock.wire_s()
            except SpoolError:
                return  # not even that: the retry finds the room that others make, or the damage

    def _sign(self, sign: Sign) -> bool:
        """Feed the table; carry out its orders. True when it ordered to shed."""
        self._state, orders = step(self._state, sign)
        for order in orders:
            if order is Order.RAISE_SHEDDING:
                detail = "the spool is full: the oldest of the least important is given up"
                self._board.raise_("spool_shedding", SUBJECT, detail)
            elif order is Order.CLEAR_SHEDDING:
                self._board.clear("spool_shedding", SUBJECT)
            elif order is Order.RAISE_FULL:
                pass  # raised with the error's own words by write_refused
            elif order is Order.CLEAR_FULL:
                self._board.clear("disk_full", SUBJECT)
            elif order is Order.MEASURE:
                self.keep()
        return Order.SHED in orders

    def _note_inodes(self, free: int) -> None:
        if free < self._caps.min_free_inodes:
            self._board.raise_("inodes_short", SUBJECT, f"only {free} free inodes on the spool's disk")
        else:
            self._board.clear("inodes_short", SUBJECT)
