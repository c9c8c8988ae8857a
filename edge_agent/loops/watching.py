"""The watching loop: carries samples to the core minute by minute, runs the model, hands verdicts on.

A thread of its own: whatever goes wrong here, sampling and delivery go on.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Protocol

from edge_agent.core.deciding import Clear, Raise, Told, decide
from edge_agent.core.gathering import Seen
from edge_agent.core.judging import RULE_MANIFEST, Judgement, by_model, by_rule, sound
from edge_agent.core.post import Due, Kept, Post, begin, pass_time, take, window_of
from edge_agent.core.records import UnitIdentity
from edge_agent.core.stamping import clock_is_set
from edge_agent.errors import ModelRefused, SpoolFull
from edge_agent.loops.board import Board
from edge_agent.ports import Clock, Model
from models.features.window import Window
from wire_contract.messages import Verdict
from wire_contract.verdict_kinds import RULE

log = logging.getLogger("lamppost")

SUBJECT = "model"
PORT_LOST = frozenset({"sensor_gone", "sensor_absent"})
HELD_SAMPLES = 10_000  # waiting for a loop that hangs; the watchdog ends that within two minutes
TICK_STREET_S = 15.0  # how often time is looked at where no sample comes: a quarter of a minute
SHORTEST_WAIT_S = 0.05  # wire clock; at the demo's speed a minute may be less
GRACE_STREET_S, GRACE_WIRE_S = 30.0, 2.0  # after a minute's end: the serial port's and our own queues' delay
# Wire clock; a power cut costs ten minutes of the day's background, the card lives longer. What was said is
# kept at once: an episode or a fault whose beginning was told must not be forgotten before its end is.
SAVE_EVERY_S = 600.0
SETTLED_S = 1.0  # wire clock; by then the spooler has what was said on the disk, and it may count as said
DELAYS = 1000  # the last so many: what `lamppost agent status` tells of


class Shelf(Protocol):
    """Where the units' background outlives a restart. `save` raises SpoolFull."""

    def load(self) -> tuple[Kept, ...]: ...

    def save(self, kept: tuple[Kept, ...]) -> None: ...


class WatchingLoop:
    """Runs in a thread of its own (`run`) until `stop`. `load` gives the model, None where the rule is to
    decide, or raises ModelRefused; `say` spools verdicts; `decides` hears who decides, for people."""

    def __init__(
        self,
        clock: Clock,
        board: Board,
        shelf: Shelf,
        load: Callable[[], Model | None],
        say: Callable[[tuple[Verdict, ...]], None],
        decides: Callable[[str], None],
    ) -> None:
        self._clock, self._board, self._shelf = clock, board, shelf
        self._load, self._say, self._decides = load, say, decides
        self._inbox: SimpleQueue[tuple[Seen, UnitIdentity, float] | None] = SimpleQueue()
        self._post: Post = begin(shelf.load())
        self._model: Model | None = None
        self._why = ""  # no model decides
        self._saved_at_s = self._ticked_at_s = clock.wire_s()
        self._said_at_s: float | None = None  # wire clock; the last verdicts, where they are not kept as said
        self._ready_s = 0.0  # wire clock; when there was a model, or none to come
        self._running = True
        self._failed = False
        self.judged = 0  # windows since the start
        self._delays_ms: deque[float] = deque(maxlen=DELAYS)  # from a window's last sample to what it means
        self._work_ms: deque[float] = deque(maxlen=DELAYS)  # of that, processor time
        self.beat_s = clock.wire_s()  # the watchdog's: when the loop last turned

    def see(self, seen: Seen, identity: UnitIdentity) -> None:
        """From the spooler's thread: one sample that has its time."""
        if self._inbox.qsize() < HELD_SAMPLES:
            self._inbox.put((seen, identity, self._clock.wire_s()))

    def figures(self) -> dict[str, float]:
        """For the status file. `delay_ms`: from a window's last sample to its verdict, waiting for a core
        included; `work_ms`: the processor's time for it."""
        delays, work = sorted(self._delays_ms), sorted(self._work_ms)
        return {
            "judged": self.judged,
            "delay_ms_p50": _at(delays, 0.5),
            "delay_ms_p99": _at(delays, 0.99),
            "work_ms_p99": _at(work, 0.99),
        }

    def stop(self) -> None:
        self._inbox.put(None)

    def run(self) -> None:
        self._begin()
        while self._running:
            self.beat_s = self._clock.wire_s()
            try:
                self._turn()
            except Exception as error:  # the loop's top
                if self._board.loop_failed("watching", error):
                    log.exception("the watching loop failed; it goes on")
                self._failed = True
        self._save()

    # -- the model -----------------------------------------------------------------------------------------

    def _begin(self) -> None:
        try:
            self._model = self._load()
            self._why = "" if self._model else "as configured"
        except ModelRefused as error:
            self._without_model(error)
        except Exception as error:  # the model's top: a runtime that fails as nobody foresaw is no model
            log.exception("the model could not be loaded")
            self._without_model(ModelRefused(f"{type(error).__name__}: {error}"))
        self._decides(self._model.title if self._model else f"{RULE}: {self._why}")
        self._ready_s = self._clock.wire_s()

    def _without_model(self, error: ModelRefused) -> None:
        if self._model is not None:
            self._model.runner.close()
        self._model, self._why = None, f"{error.code}: {error.detail}"
        self._board.raise_error(error, SUBJECT)

    def _judge(self, window: Window) -> Judgement:
        model = self._model
        if model is None:
            return by_rule(window, self._why)
        try:
            outputs = model.runner.score(window.values)
            if not sound(outputs, model.manifest):
                raise ModelRefused(f"{model.title} gave no numbers: {outputs}")
        except ModelRefused as error:
            self._without_model(error)
            self._decides(f"{RULE}: {self._why}")
            return by_rule(window, self._why)
        return by_model(window, outputs, model.manifest, model.runner.name)

    # -- the loop ------------------------------------------------------------------------------------------

    def _turn(self) -> None:
        wait_s = max(TICK_STREET_S / self._clock.speed, SHORTEST_WAIT_S)
        try:
            item = self._inbox.get(timeout=min(wait_s, TICK_STREET_S))
        except Empty:
            self._tick()
            return
        if item is None:
            self._running = False
            return
        seen, identity, at_s = item
        self._post, dues = take(self._post, seen, identity)
        self._decide(dues, at_s)
        if self._clock.wire_s() - self._ticked_at_s >= wait_s:
            self._tick()

    def _tick(self) -> None:
        """Time has passed: ports may be lost, units may have fallen silent."""
        self._ticked_at_s = now_s = self._clock.wire_s()
        now_ms = self._clock.now_ms()
        if clock_is_set(now_ms):
            lost = frozenset(each.subject for each in self._board.conditions() if each.code in PORT_LOST)
            grace_ms = int((GRACE_STREET_S + GRACE_WIRE_S * self._clock.speed) * 1000)
            self._post, dues = pass_time(self._post, now_ms, grace_ms, lost)
            self._decide(dues, now_s)
        said = self._said_at_s is not None and now_s - self._said_at_s >= SETTLED_S
        if said or now_s - self._saved_at_s >= SAVE_EVERY_S:
            self._save()

    def _decide(self, dues: tuple[Due, ...], at_s: float) -> None:
        for due in dues:
            start_s = time.thread_time()
            window = window_of(self._post, due, self._model.manifest if self._model else RULE_MANIFEST)
            judgement = self._judge(window) if window is not None else None
            self._post, told = decide(self._post, due, judgement)
            self._tell(told)
            if window is not None:
                self.judged += 1
                self._delays_ms.append((self._clock.wire_s() - max(at_s, self._ready_s)) * 1000)
                self._work_ms.append((time.thread_time() - start_s) * 1000)
            if self._failed:
                self._failed = False
                self._board.clear("agent_error", "watching")

    def _tell(self, told: tuple[Told, ...]) -> None:
        verdicts = tuple(each for each in told if isinstance(each, Verdict))
        if verdicts:
            self._say(verdicts)
            self._said_at_s = self._clock.wire_s()
        for each in told:
            match each:
                case Raise():
                    self._board.raise_(each.code, each.subject, each.detail)
                case Clear():
                    self._board.clear(each.code, each.subject)

    def _save(self) -> None:
        self._saved_at_s, self._said_at_s = self._clock.wire_s(), None
        try:
            self._shelf.save(self._post.to_keep())
        except SpoolFull as error:
            log.info("the units' background is not kept: %s", error.detail)  # the room's conditions say more


def _at(ordered: list[float], share: float) -> float:
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 3) if ordered else 0.0
