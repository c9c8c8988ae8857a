"""One process of the simulation: its lampposts on one event loop, switched on in turn, drained, closed."""

from __future__ import annotations

import asyncio
import gc
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from edge_agent.errors import SpoolError
from edge_agent.io.paho_broker import BrokerAddress
from simulator.clock import CityClock
from simulator.job import Job
from simulator.mqtt import Line, LoopBroker, resolve
from simulator.post import Entries, Outcome, Setting, SimulatedPost, fill_backlog, open_spool, totals
from simulator.street import Sensors, scene, stand
from simulator.tally import Tally
from wire_contract.topics import Address

KEEPALIVE_S = 60  # a dead broker is noticed by what is not acked long before
LOOK_S = 0.2  # how often the drain looks whether it is over
GOODBYE_S = 10.0  # a process that is behind still gets its last words out
DISK_THREADS = 8  # wait for the disk, which a journal's flush keeps a millisecond
AT_ONCE = 50  # lampposts looked at between two turns of the event loop


class Engine:
    """`start`, then `finish`; `tally` is of this moment. All on one event loop."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._clock = _clock(job)
        self._line: Line = resolve(job.host, job.port)
        self._posts: list[SimulatedPost] = []
        self._outage: list[asyncio.TimerHandle] = []
        self._threads = None if job.in_memory else ThreadPoolExecutor(DISK_THREADS)
        self.tally = Tally()

    async def start(self, go_on: Callable[[], bool]) -> None:
        """Switch every lamppost on, as fast as the ramp allows. Ends early when `go_on` says no.

        Raises SpoolError.
        """
        began_s = time.monotonic()
        for number, name in enumerate(self._job.names):
            await asyncio.sleep(max(0.0, began_s + number / self._job.ramp_per_s - time.monotonic()))
            if not go_on():
                return
            post = self._make(self._job.first + number, name)
            self._posts.append(post)
            self.tally.lampposts += 1
            post.begin()
            if number % AT_ONCE == 0:
                gc.freeze()  # they live as long as the process: the collector need not look at them again
        gc.freeze()
        self._plan_outage()

    def _make(self, index: int, name: str) -> SimulatedPost:
        job = self._job
        now_ms = self._clock.now_ms()
        air = scene(job.source, index, stand(index, job.of).position, now_ms - round(job.backlog_s * 1000))
        sensors = Sensors(job.kinds_of(index), air, job.seed * 1_000_000 + index * 10)
        folder = Path(job.spools) / name
        setting = Setting(Address(job.tenant, name), folder, job.every_s, job.flush_s, sensors)
        entries, before = Entries(), None
        if job.backlog_s:
            spool = open_spool(folder, self._clock)
            before = totals(spool)
            spool.close()
            self.tally.taken += fill_backlog(setting, job.backlog_s, now_ms, entries)
        broker = LoopBroker(self._address(name), self._line, self.tally)
        return SimulatedPost(setting, self._clock, broker, self.tally, entries, before, self._threads)

    def _address(self, name: str) -> BrokerAddress:
        identity = Path(self._job.identities) / f"{name}.pem"
        return BrokerAddress(
            host=self._job.host,
            port=self._job.port,
            client_id=f"{self._job.tenant}/{name}/{os.urandom(8).hex()}",
            ca_file=Path(self._job.ca_file),
            certificate_file=identity,
            key_file=identity,
            keepalive_s=KEEPALIVE_S,
        )

    # -- the outage that was asked for -------------------------------------------------------------------

    def _plan_outage(self) -> None:
        outage, loop = self._job.outage, asyncio.get_running_loop()
        if outage is not None:
            self._outage = [
                loop.call_later(outage.after_s, self._cut),
                loop.call_later(outage.after_s + outage.for_s, self._mend),
            ]

    def _cut(self) -> None:
        self._line.cut = True
        for post in self._posts:
            post.broker.cut()

    def _mend(self) -> None:
        self._line.cut = False

    # -- the end -----------------------------------------------------------------------------------------

    async def finish(self, drain_s: float) -> list[Outcome]:
        """No more readings; what waits may leave for `drain_s`; then goodbye. Each lamppost's outcome."""
        for handle in self._outage:
            handle.cancel()
        self._mend()
        await self._each(lambda post: post.stop_sampling())
        deadline_s = time.monotonic() + drain_s
        left = self._posts
        while left and time.monotonic() < deadline_s:
            await asyncio.sleep(LOOK_S)
            left = [post for post in left if _waits(post)]
        await self._each(lambda post: post.stop())
        deadline_s = time.monotonic() + GOODBYE_S
        while not all(post.over for post in self._posts) and time.monotonic() < deadline_s:
            await asyncio.sleep(LOOK_S)
        return await self._close()

    async def _each(self, do: Callable[[SimulatedPost], None]) -> None:
        for number, post in enumerate(self._posts):
            do(post)
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)

    async def _close(self) -> list[Outcome]:
        outcomes = []
        for post in self._posts:
            try:
                outcomes.append(post.outcome())
            except SpoolError:
                self.tally.troubles += 1
            post.close()
        await asyncio.sleep(0)
        if self._threads is not None:
            self._threads.shutdown()
        return outcomes


def _waits(post: SimulatedPost) -> bool:
    try:
        return post.waiting() > 0
    except SpoolError:
        return False  # nothing can leave a spool that cannot be read


def _clock(job: Job) -> CityClock:
    if job.clock_file:
        clock = CityClock.from_file(Path(job.clock_file))
        assert isinstance(clock, CityClock)
        return clock
    return CityClock(job.speed, job.street_zero_ms, job.wall_zero_ms)
