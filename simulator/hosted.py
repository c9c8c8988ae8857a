"""The agent's link and spooler without threads of their own: each turns when something is due or has come."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Executor
from queue import SimpleQueue
from typing import Any

from edge_agent.core.link_moves import Signal
from edge_agent.core.records import Stored
from edge_agent.core.window import Key
from edge_agent.loops.link import Item, LinkLoop
from edge_agent.loops.room import RoomKeeper
from edge_agent.loops.spooler import Spooler
from simulator.shared_spool import SharedSpool
from simulator.tally import Tally
from wire_contract.classes import Class
from wire_contract.properties import Delivery

MEASURE_EVERY_S = 60.0  # wire; thousands share one disk: each looks at it a twelfth as often as an agent
SOONEST_S = 0.02  # wire; a loop that is always due must leave the others their turn


class WakingInbox(SimpleQueue[Item]):
    """An inbox that says when something comes."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake

    def put(self, item: Item, block: bool = True, timeout: float | None = None) -> None:
        super().put(item, block, timeout)
        self._wake()


class Turner:
    """Calls `go` on the event loop: soon when woken (from any thread), and at the latest when told."""

    def __init__(self, go: Callable[[], None]) -> None:
        self._go = go
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._soon: asyncio.Handle | None = None
        self._timer: asyncio.TimerHandle | None = None

    def wake(self) -> None:
        if threading.get_ident() != self._thread:
            self._loop.call_soon_threadsafe(self.wake)
        elif self._soon is None:
            self._soon = self._loop.call_soon(self._turn)

    def within(self, seconds: float) -> None:
        """`go` is called no later than so many wire seconds from now; perhaps earlier."""
        at = self._loop.time() + max(seconds, SOONEST_S)
        if self._timer is not None:
            if self._timer.when() <= at:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(at, self._fire)

    def _fire(self) -> None:
        self._timer = None
        self._turn()

    def _turn(self) -> None:
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        self._go()

    def stop(self) -> None:
        for handle in (self._soon, self._timer):
            if handle is not None:
                handle.cancel()


class HostedLink(LinkLoop):
    """The agent's link. Counts what it does into the process's tally."""

    def __init__(self, tally: Tally, *parts: Any, **named: Any) -> None:
        super().__init__(*parts, **named)
        self._tally = tally
        self._turner = Turner(self._go)
        self._inbox = WakingInbox(self._turner.wake)
        self._sent: dict[Key, tuple[float, int]] = {}  # when it was first sent, and its samples

    def begin(self) -> None:
        self._inbox.put(lambda: self._signal(Signal.START))

    @property
    def over(self) -> bool:
        return not self._running

    def _go(self) -> None:
        while self._running and (self._is_due() or not self._inbox.empty()):
            self.turn()
        if self._running and self._timers:
            next_s = min(at_s for at_s, _ in self._timers.values())
            self._turner.within(next_s - self._clock.wire_s())

    def _is_due(self) -> bool:
        if not self._timers:
            return False
        now_s = self._clock.wire_s()
        late_s = now_s - min(at_s for at_s, _ in self._timers.values())
        self._tally.behind_s = max(self._tally.behind_s, late_s)
        return late_s >= 0

    def _note_backlog(self) -> None:
        """Nothing to note where there never was history."""
        if not isinstance(self._spool, SharedSpool) or self._spool.has_had_history:
            super()._note_backlog()

    def _note_view(self) -> None:
        before, flying = self.view.connected, self.view.in_flight
        super()._note_view()
        self._tally.connected += self.view.connected - before
        self._tally.in_flight += self.view.in_flight - flying

    def _delivery(self, stored: Stored) -> Delivery:
        key = (stored.head.cls, stored.head.sequence)
        if key in self._sent:
            self._tally.resent_messages += 1
        else:
            self._tally.sent_messages += 1
            self._sent[key] = (self._clock.wire_s(), stored.samples)
        return super()._delivery(stored)

    def _apply_ack(self, cls: Class, prefix: int, ranges: tuple[tuple[int, int], ...]) -> None:
        mark = self._link.window.mark(cls)
        now_s = self._clock.wire_s()
        for key in [key for key in self._sent if key[0] is cls and mark.covers(key[1], key[1])]:
            sent_s, samples = self._sent.pop(key)
            self._tally.acked += samples
            self._tally.latency.add(now_s - sent_s)
        super()._apply_ack(cls, prefix, ranges)

    def close(self) -> None:
        self._turner.stop()


class HostedSpooler(Spooler):
    """The agent's spooler. `threads`: where it waits for the disk; None: on the event loop's own thread."""

    def __init__(self, threads: Executor | None, *parts: Any, **named: Any) -> None:
        super().__init__(*parts, **named)
        self._threads, self._busy, self._again = threads, False, False
        self._turner = Turner(self._go)
        waiting, self._inbox = self._inbox, WakingInbox(self._turner.wake)
        while not waiting.empty():
            self._inbox.put(waiting.get())
        self._pause.set()  # a pause would be everybody's: the next turn comes by the timer

    @property
    def over(self) -> bool:
        return not self._running and not self._busy

    def _go(self) -> None:
        if self._threads is None:
            self._rest(self._turn_once())
        elif self._busy:
            self._again = True
        else:
            self._busy = True
            turned = asyncio.get_running_loop().run_in_executor(self._threads, self._turn_once)
            turned.add_done_callback(self._turned)

    def _turn_once(self) -> float:
        self.turn()
        return self._due_in_s()

    def _turned(self, turned: asyncio.Future[float]) -> None:
        self._busy = False
        if turned.cancelled():
            return
        self._rest(turned.result())
        if self._again:
            self._again = False
            self._turner.wake()

    def _rest(self, due_in_s: float) -> None:
        if self._running:
            self._turner.within(due_in_s)

    def _wait(self) -> None:
        while not self._inbox.empty():
            self._inbox.get()()

    def close(self) -> None:
        self._turner.stop()


class SharedRoomKeeper(RoomKeeper):
    """The agent's, looking less often: the disk is not this lamppost's own."""

    def due(self) -> bool:
        return self._clock.wire_s() >= self._measured_at_s + MEASURE_EVERY_S
