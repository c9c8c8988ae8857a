"""One simulated lamppost: the agent's spool, spooler and link, with sensors that are made up."""

from __future__ import annotations

import random
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

from edge_agent import __version__
from edge_agent.core.cadence import next_due
from edge_agent.core.commanding import Book
from edge_agent.core.declaring import declaration
from edge_agent.core.gathering import Seen
from edge_agent.core.records import UnitIdentity
from edge_agent.core.spool_policy import Caps
from edge_agent.core.twin import Twin
from edge_agent.errors import AgentError
from edge_agent.io.clocks import SteppedClock
from edge_agent.loops.board import Board
from edge_agent.loops.commanding import CommandLoop, Hands
from edge_agent.loops.desk import Taken
from edge_agent.loops.inbound import Inbound
from edge_agent.loops.link import LinkView
from edge_agent.loops.room import RoomKeeper
from edge_agent.loops.spooler import Spooler
from edge_agent.loops.status import Facts, Reporter
from edge_agent.loops.twin import TwinKeeper
from edge_agent.ports import Clock
from edge_agent.settings import Obedience, QuietHours
from simulator.hosted import HostedLink, HostedSpooler, SharedRoomKeeper, Turner
from simulator.mqtt import LoopBroker
from simulator.shared_spool import SharedSpool
from simulator.street import Sensors
from simulator.tally import Tally
from wire_contract.messages import CertificateIssued
from wire_contract.settings import REGISTRY
from wire_contract.topics import Address, Up

FLUSH = "telemetry.flush_interval_s"
SENSOR = "air"  # its name: one loop reads all that a simulated lamppost has
# Settings that nothing here obeys, and why; all others are obeyed as an agent does.
WITHOUT = {
    "data.budget_mb": "a simulated lamppost has no link of its own to meter",
    "log.level": "simulated lampposts share one log",
    "model.runtime": "a simulated lamppost runs no model",
}
BACKOFF_MAX_S = 120.0  # the agent's own
SPOOL_BYTES = 256 * 1024 * 1024  # a quarter of an agent's default: a day offline at ten seconds is 3 MB
CAPS = Caps(SPOOL_BYTES, 256 * 1024 * 1024, 1000, 30.0, 7.0)
DEFAULTS = {
    key: each.default for key, each in REGISTRY.items() if each.default is not None and key not in WITHOUT
} | {"spool.max_bytes": CAPS.max_bytes, "spool.min_free_bytes": CAPS.min_free_bytes}


@dataclass
class Entries:
    """What the sensors of one lamppost gave, in sums that hold whatever the order: the ledger of a run.

    `samples`: one unit at one instant. `times_ms`, `values`: the sums of their times and scaled values.
    """

    samples: int = 0
    times_ms: int = 0
    values: int = 0

    def add(self, seen: Seen, _identity: UnitIdentity) -> None:
        self.samples += 1
        self.times_ms += seen.time_ms
        self.values += sum(value for value in seen.values if value is not None)


@dataclass(frozen=True)
class Totals:
    """Samples of a spool's epoch, all classes. `waiting`: sealed or not; `pending`: of these, not sealed."""

    acked: int
    shed: int
    waiting: int
    pending: int


def totals(spool: SharedSpool) -> Totals:
    """Raises SpoolError."""
    counts = spool.counters().values()
    pending = len(spool.waiting(True, 1_000_000)) if spool.last_row_id() else 0
    return Totals(
        sum(count.acked_samples for count in counts),
        sum(count.shed_samples for count in counts),
        sum(count.waiting_samples for count in counts) + pending,
        pending,
    )


@dataclass(frozen=True)
class Outcome:
    """What became of one lamppost's samples in this run. `left`: in its spool from an earlier one.

    Nothing is lost when samples + left = acked + shed + waiting.
    """

    name: str
    epoch: str
    samples: int
    times_ms: int
    values: int
    left: int
    acked: int
    shed: int
    waiting: int

    @property
    def unaccounted(self) -> int:
        return self.samples + self.left - self.acked - self.shed - self.waiting


class CommandShelf:
    """The book of commands, in memory: a simulated lamppost forgets it when it ends."""

    def load(self) -> Book:
        return Book()

    def save(self, book: Book) -> None:
        """Kept by who gives it."""


class Shelf:
    """A twin that lasts as long as the simulation."""

    def __init__(self) -> None:
        self._twin = Twin()

    def load(self) -> Twin:
        return self._twin

    def save(self, twin: Twin) -> None:
        self._twin = twin


@dataclass(frozen=True)
class Setting:
    """What a lamppost is made of, beside what its process shares."""

    address: Address
    spool: Path
    every_s: float
    flush_s: float
    sensors: Sensors


def open_spool(folder: Path, clock: Clock) -> SharedSpool:
    """The agent's, without the megabyte that it keeps aside: thousands share this disk. Raises SpoolError."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ballast").touch()
    return SharedSpool(folder, declaration, SPOOL_BYTES, clock.street_s)


def fill_backlog(setting: Setting, span_s: float, until_ms: int, entries: Entries) -> int:
    """What it would have kept without a link for so long, as `lamppost agent rehearse`. Returns how many."""
    start_ms, step_ms = until_ms - round(span_s * 1000), round(setting.every_s * 1000)
    clock = SteppedClock(start_ms, boot="backlog", real_wire=True)
    spool, board = open_spool(setting.spool, clock), Board(clock)
    room = RoomKeeper(clock, spool, board, CAPS)
    spooler = Spooler(clock, spool, board, LinkView(), room, setting.flush_s, _nothing, _nothing, entries.add)
    before = entries.samples
    for now_ms in range(start_ms, until_ms, step_ms):
        clock.step_to(now_ms)
        for identity, reading in setting.sensors.read(now_ms):
            taken = Taken(SENSOR, identity, reading, setting.every_s, now_ms, clock.street_s())
            spooler.take_now(taken)
    spooler.finish_now()
    spool.close()
    return entries.samples - before


class SimulatedPost:
    """Make it on the event loop's thread; `begin`, `stop_sampling`, `stop`, then `close`."""

    def __init__(
        self,
        setting: Setting,
        clock: Clock,
        broker: LoopBroker,
        tally: Tally,
        entries: Entries,
        before: Totals | None = None,
        threads: Executor | None = None,
    ) -> None:
        self._setting, self._clock, self._tally = setting, clock, tally
        self.broker, self.entries, self._threads = broker, entries, threads
        self._every_s, self._silent, self._quiet = setting.every_s, False, QuietHours(clock)
        self.board = Board(clock)
        self.spool = open_spool(setting.spool, clock)
        self._before = before or totals(self.spool)
        shown = {"flush_interval_s": f"{setting.flush_s:g}", "sensors": "simulated"}
        facts = Facts(setting.address.tenant, setting.address.device, __version__, shown)
        self._reporter = Reporter(facts, clock, self.spool, self.board)
        self.link = self._make_link()
        self.board.listen(lambda _news: self.link.conditions_changed())
        self.spooler = self._make_spooler()
        self._twin = TwinKeeper(
            Shelf(),
            self.board,
            {**DEFAULTS, FLUSH: setting.flush_s},
            (SENSOR,),
            self._make_obedience(),
            self._publish_twin,
            WITHOUT,
        )
        self._commands = self._make_commands()
        self._sampling = Turner(self._sample)
        self._anchor_s = clock.street_s() + setting.every_s * random.random()  # noqa: S311 not in chorus
        self._due_s = self._anchor_s

    def _make_link(self) -> HostedLink:
        """The spooler does not exist yet; it is looked up when something comes for it."""
        inbound = Inbound(
            command=lambda command: self._commands.handle(command),
            certificate=_nothing_of,
            desired=lambda desired: self._twin.desired(desired),
        )
        return HostedLink(
            self._tally,
            self._setting.address,
            self._clock,
            self.broker,
            self.spool,
            self.board,
            inbound,
            self._reporter.presence,
            corrupt=lambda: self.spooler.rescue(),
            born=lambda: self._twin.tell(),
            backoff_max_s=BACKOFF_MAX_S,
            paused=self._quiet.paused,
        )

    def _make_obedience(self) -> Obedience:
        return Obedience(
            pace=self.spooler.keep_pace,
            caps=self.spooler.keep_within,
            refresh=self.link.refresh_each,
            samplers=(self,),
            quiet=self._quiet,
            budget=lambda _megabytes: None,
        )

    def _make_commands(self) -> CommandLoop:
        """Without a thread of its own: what a simulated lamppost does, it does at once."""

        def not_here() -> None:
            raise AgentError("a simulated lamppost does not start again")

        hands = Hands(
            declare=self.spooler.declare_all,
            sensors={},
            log_lines=lambda _lines: "",
            parts=dict,
            secrets=tuple,
            restart=not_here,
            reboot=not_here,
        )
        return CommandLoop(self._clock, self.spool, self.board, CommandShelf(), hands, self.link.work)

    def _make_spooler(self) -> HostedSpooler:
        return HostedSpooler(
            self._threads,
            self._clock,
            self.spool,
            self.board,
            self.link.view,
            SharedRoomKeeper(self._clock, self.spool, self.board, CAPS),
            self._setting.flush_s,
            sealed_work=self.link.work,
            epoch_changed=self.link.epoch_changed,
            watch=self.entries.add,
        )

    @property
    def name(self) -> str:
        """Of its sensors, as settings call them."""
        return SENSOR

    @property
    def configured_every_s(self) -> float:
        return self._setting.every_s

    def sample_each(self, every_s: float) -> None:
        """Street seconds, from now on. On the event loop's thread, as everything here."""
        self._every_s = every_s
        self._due_s = next_due(self._anchor_s, self._clock.street_s(), every_s)
        if not self._silent:
            self._sleep()

    def _publish_twin(self, payload: bytes) -> None:
        self.link.publish_now(Up.TWIN, payload)

    def begin(self) -> None:
        self.link.begin()
        self._sleep()

    def _sleep(self) -> None:
        self._sampling.within((self._due_s - self._clock.street_s()) / self._clock.speed)

    def _sample(self) -> None:
        now_s, now_ms = self._clock.street_s(), self._clock.now_ms()
        if now_s >= self._due_s:
            self._tally.behind_s = max(self._tally.behind_s, (now_s - self._due_s) / self._clock.speed)
            for identity, reading in self._setting.sensors.read(now_ms):
                self._tally.taken += 1
                self.spooler.take(Taken(SENSOR, identity, reading, self._every_s, now_ms, now_s))
            self._due_s = next_due(self._anchor_s, now_s, self._every_s)
        self._sleep()

    def stop_sampling(self) -> None:
        """The sensors fall silent; what they gave is sealed."""
        self._silent = True
        self._sampling.stop()
        self.spooler.finish()

    def waiting(self) -> int:
        """Samples and messages that are not acked, in the spool and on the way to it."""
        with self.spooler.moving:
            counts, pending = self.spool.counters().values(), self.spooler.pending()
        return pending + sum(count.waiting_messages for count in counts)

    def outcome(self) -> Outcome:
        """How it stands now. Raises SpoolError."""
        now = totals(self.spool)
        return Outcome(
            name=self._setting.address.device,
            epoch=self.spool.epoch.hex(),
            samples=self.entries.samples,
            times_ms=self.entries.times_ms,
            values=self.entries.values,
            left=self._before.waiting,
            acked=now.acked - self._before.acked,
            shed=now.shed - self._before.shed,
            waiting=now.waiting + self.spooler.pending() - now.pending,
        )

    def stop(self) -> None:
        """Say goodbye. Both loops end in a turn of their own."""
        self.link.stop()
        self.spooler.stop()

    @property
    def over(self) -> bool:
        return self.link.over and self.spooler.over

    def close(self) -> None:
        self._sampling.stop()
        self.link.close()
        self.spooler.close()
        self.broker.disconnect()
        self.spool.close()


def _nothing() -> None:
    """No link is there to be told."""


def _nothing_of(_issued: CertificateIssued) -> None:
    """The certificates of a simulation outlive it: none is renewed."""
