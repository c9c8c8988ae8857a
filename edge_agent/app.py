"""Builds the agent from its configuration and runs it: the only file that makes adapters."""

from __future__ import annotations

import json
import logging
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any

from edge_agent import __version__, settings
from edge_agent.config_keys import AgentConfig, SensorKeys
from edge_agent.core.commanding import LINES_MOST, Allowed
from edge_agent.core.declaring import declaration
from edge_agent.core.records import ClassCounters
from edge_agent.core.sealing import Pace
from edge_agent.core.words import fitting
from edge_agent.errors import SpoolError
from edge_agent.io import diagnostics, systemd
from edge_agent.io.budget_file import BudgetFile
from edge_agent.io.certificate_dates import validity
from edge_agent.io.command_file import CommandFile
from edge_agent.io.log_ring import LogRing
from edge_agent.io.model_folder import MANIFEST_FILE, load_model, model_directory
from edge_agent.io.model_trial import ModelTrial
from edge_agent.io.paho_broker import PahoBroker
from edge_agent.io.radio import Radio
from edge_agent.io.sqlite_spool import SqliteSpool
from edge_agent.io.status_file import StatusFile
from edge_agent.io.twin_file import TwinFile
from edge_agent.io.watch_file import WatchFile
from edge_agent.io.wire_meter import WireMeter
from edge_agent.loops.board import Board
from edge_agent.loops.budget import BudgetKeeper
from edge_agent.loops.commanding import CommandLoop, Hands
from edge_agent.loops.identity import IdentityLoop
from edge_agent.loops.inbound import Inbound
from edge_agent.loops.link import LinkLoop
from edge_agent.loops.looking import SharedSensor
from edge_agent.loops.room import RoomKeeper
from edge_agent.loops.sampling import SamplingLoop
from edge_agent.loops.spooler import Spooler
from edge_agent.loops.status import Facts, Reporter
from edge_agent.loops.twin import TwinKeeper
from edge_agent.loops.watching import WatchingLoop
from edge_agent.parts import broker_address, make_caps, make_clock, sensor_plan
from edge_agent.ports import Broker, Clock, Model, Sensor
from firmware_bridge.kinds import SensorKind
from wire_contract.classes import Class
from wire_contract.topics import Address, Up

log = logging.getLogger("lamppost")

STATUS_EVERY_S = 2.0  # wire clock; the file is for people and for the demo's summary
DRAIN_S = 4.0  # after SIGTERM: what is sealed may still leave, systemd waits 90 s
JOIN_S = 5.0  # a serial read ends within 3 s
STUCK_AFTER_S = 90.0  # a loop that has not turned for so long hangs: the watchdog is not fed any more

Opener = Callable[[SensorKind, str], Sensor]


def make_model(config: AgentConfig) -> Model | None:
    """None where the configuration wants the rule. Raises ModelMissing, ModelRefused."""
    if config.model.runtime == "rule":
        return None
    return load_model(model_directory(config.model.directory), config.model.runtime)


def model_trial(config: AgentConfig) -> ModelTrial:
    return ModelTrial(
        config.data_dir / "model.trying", model_directory(config.model.directory) / MANIFEST_FILE
    )


def watch_file(config: AgentConfig) -> WatchFile:
    return WatchFile(config.data_dir / "watching.json")


def facts(config: AgentConfig) -> Facts:
    """What the agent says of itself and does not change."""
    told = {
        "flush_interval_s": f"{config.telemetry.flush_interval_s:g}",
        "sensors": fitting(", ".join(f"{each.name}: {each.kind}" for each in config.sensors)),
    }
    if config.cell:
        told["cell"] = config.cell
    return Facts(config.device.tenant, config.device.name, __version__, told)


class Agent:
    """One lamppost. `start`, then `run` until a signal or `stop`; adapters may be given by tests."""

    def __init__(
        self,
        config: AgentConfig,
        clock: Clock | None = None,
        broker: Broker | None = None,
        open_sensor: Opener | None = None,
    ) -> None:
        self._clock = clock or make_clock(config)
        self._file, self._shelf = config, TwinFile(config.data_dir / "twin.json", self._clock.now_ms)
        config = self._config = settings.at_start(config, self._shelf.load())
        self.board = Board(self._clock)
        self.spool = SqliteSpool(config.spool_dir, declaration, config.spool.max_bytes, self._clock.street_s)
        way = Radio(lambda: self.link.conditions_changed())
        self._reporter = Reporter(facts(config), self._clock, self.spool, self.board, way.signal)
        self._quiet = settings.QuietHours(self._clock)
        meter, holds = WireMeter(), settings.configured(config)
        self._budget = BudgetKeeper(
            self._clock,
            self.board,
            BudgetFile(config.data_dir / "data_used.json"),
            meter.total,
            self._keep_pace,
            work=lambda: self.link.work(),
            budget_mb=config.telemetry.budget_mb,
            pace=settings.pace_of(holds),
        )
        self.link = self._make_link(broker or PahoBroker(broker_address(config), meter))
        self.board.listen(lambda _news: self.link.conditions_changed())
        self.watching = self._make_watching()
        self.spooler = self._make_spooler()
        self._identity = IdentityLoop(config, self._clock, self.board, self.link, validity)
        self._looks: dict[str, Callable[[], tuple[bool, str]]] = {}
        self._sampling = [self._make_sampling(keys, open_sensor or _open_serial) for keys in config.sensors]
        self._twin = self._make_twin()
        self.commands = self._make_commands()
        self._status = StatusFile(config.data_dir / "status.json", self._build_status)
        self._threads: list[threading.Thread] = []
        self._sampling_threads: list[threading.Thread] = []
        self._wake: SimpleQueue[None] = SimpleQueue()  # not an Event: put() may come from a signal handler
        self._stopping = False
        self.start_again = False  # once it has ended: a command asked for it
        self._stop_sampling = False
        rescued = self.spool.opened_with
        if rescued is not None:
            self.spooler.tell_rescue(rescued.kept_at, rescued.messages, rescued.samples)

    def _make_link(self, broker: Broker) -> LinkLoop:
        """Spooler and identity do not exist yet; they are looked up when something comes for them."""
        inbound = Inbound(
            command=lambda command: self.commands.take(command),
            certificate=lambda issued: self._identity.issued(issued),
            desired=lambda desired: self._twin.desired(desired),
        )
        return LinkLoop(
            Address(self._config.device.tenant, self._config.device.name),
            self._clock,
            broker,
            self.spool,
            self.board,
            inbound,
            self._reporter.presence,
            corrupt=lambda: self.spooler.rescue(),
            born=lambda: self._twin.tell(),
            backoff_max_s=self._config.bench.backoff_max_s,
            paused=lambda: self._quiet.paused() | self._budget.paused(),
        )

    def _make_spooler(self) -> Spooler:
        return Spooler(
            self._clock,
            self.spool,
            self.board,
            self.link.view,
            RoomKeeper(self._clock, self.spool, self.board, make_caps(self._config)),
            self._config.telemetry.flush_interval_s,
            sealed_work=self.link.work,
            epoch_changed=self.link.epoch_changed,
            watch=self.watching.see,
        )

    def _make_watching(self) -> WatchingLoop:
        """The spooler does not exist yet; it is looked up when there is a verdict."""

        def decides(who: str) -> None:
            self._reporter.decided_by(who)
            self.link.conditions_changed()

        return WatchingLoop(
            self._clock,
            self.board,
            watch_file(self._config),
            load=lambda: model_trial(self._config).load(lambda: make_model(self._config)),
            say=lambda verdicts: self.spooler.verdicts(verdicts),
            decides=decides,
        )

    def _keep_pace(self, pace: Pace) -> None:
        self.spooler.keep_pace(pace)
        self._reporter.flush_each(pace.live_s)
        self.link.conditions_changed()

    def _make_twin(self) -> TwinKeeper:
        return TwinKeeper(
            self._shelf,
            self.board,
            settings.configured(self._file),
            [each.name for each in self._config.sensors],
            settings.Obedience(
                pace=self._budget.keep_pace,
                caps=self.spooler.keep_within,
                refresh=self.link.refresh_each,
                samplers=self._sampling,
                quiet=self._quiet,
                budget=self._budget.limit,
            ),
            lambda payload: self.link.publish_now(Up.TWIN, payload),
        )

    def _make_sampling(self, keys: SensorKeys, open_sensor: Opener) -> SamplingLoop:
        sensor = SharedSensor(open_sensor(SensorKind(keys.kind), keys.port), self._clock)
        self._looks[keys.name] = sensor.look
        return SamplingLoop(sensor_plan(keys), sensor, self._clock, self.board, self.spooler.take)

    def _make_commands(self) -> CommandLoop:
        config = self._config
        self._log = LogRing()

        def parts() -> dict[str, str]:
            return {
                "log.txt": self._log.last(LINES_MOST),
                "status.json": json.dumps(self._build_status(), indent=1),
                **diagnostics.parts(config),
            }

        hands = Hands(
            declare=self.spooler.declare_all,
            sensors=self._looks,
            log_lines=self._log.last,
            parts=parts,
            secrets=lambda: diagnostics.secrets(config),
            restart=self._restart,
            reboot=diagnostics.reboot,
            allowed=Allowed(config.commands.reboot),
        )
        shelf = CommandFile(config.data_dir / "commands.json")
        return CommandLoop(self._clock, self.spool, self.board, shelf, hands, self.link.work)

    def _restart(self) -> None:
        self.start_again = True
        self.stop()

    def start(self) -> None:
        """Start every loop in a thread of its own."""
        log.addHandler(self._log)
        self._tell_start()
        self._answering = threading.Thread(target=self.commands.run, name="commands", daemon=True)
        self._answering.start()
        self._threads = [
            threading.Thread(target=self.spooler.run, name="spooler", daemon=True),
            threading.Thread(target=self.link.run, name="link", daemon=True),
            threading.Thread(target=self.watching.run, name="watching", daemon=True),
        ]
        if not self._config.bench.insecure_broker:
            self._threads.append(threading.Thread(target=self._identity.run, name="identity", daemon=True))
        self._sampling_threads = [
            threading.Thread(target=loop.run, name="sampling", daemon=True) for loop in self._sampling
        ]
        for thread in (*self._threads, *self._sampling_threads):
            thread.start()

    def _tell_start(self) -> None:
        device, server = self._config.device, self._config.server
        sensors = ", ".join(f"{each.name} ({each.kind} on {each.port})" for each in self._config.sensors)
        log.info(
            "lamppost agent %s starts as %s/%s for %s:%d; sensors: %s; %d samples wait in %s",
            *(__version__, device.tenant, device.name, server.host, server.port, sensors or "none"),
            *(self._samples_waiting(), self._config.spool_dir),
        )

    def run(self) -> None:
        """Until SIGTERM or SIGINT: status and watchdog. SIGUSR1 ends sampling but not draining."""
        signal.signal(signal.SIGTERM, lambda *_: self.stop())
        signal.signal(signal.SIGINT, lambda *_: self.stop())
        signal.signal(signal.SIGUSR1, lambda *_: self._only_drain())
        self.start()
        systemd.notify("READY=1")
        every_s = min(systemd.watchdog_every_s() or STATUS_EVERY_S, STATUS_EVERY_S)
        while not self._stopping:
            if self._stop_sampling and self._sampling_threads:
                self._end_sampling()
            self._budget.look()
            self._status.write()
            if self.alive():
                systemd.notify("WATCHDOG=1")
            with suppress(Empty):
                self._wake.get(timeout=every_s)
        self.shut_down()

    def stop(self) -> None:
        self._stopping = True
        self._wake.put(None)

    def _only_drain(self) -> None:
        self._stop_sampling = True
        self._wake.put(None)

    def shut_down(self) -> None:
        """Stop sampling, seal, let what is sealed leave for a few seconds, close."""
        systemd.notify("STOPPING=1")
        self._end_sampling()
        self.watching.stop()
        self._threads[2].join(JOIN_S)
        deadline_s = self._clock.wire_s() + DRAIN_S
        pause = threading.Event()
        while self.link.view.connected and self._waits() and self._clock.wire_s() < deadline_s:
            pause.wait(0.05)
        self._identity.stop()
        self.commands.stop()
        self.link.stop()
        self._threads[1].join(JOIN_S)
        self._budget.look()
        self._budget.save()
        self.spooler.stop()
        self._threads[0].join(JOIN_S)
        self._status.write()
        log.info("lamppost agent stopped; %d samples wait", self._samples_waiting())
        self._answering.join(JOIN_S)
        log.removeHandler(self._log)
        self.spool.close()

    def _end_sampling(self) -> None:
        for loop in self._sampling:
            loop.stop()
        for thread in self._sampling_threads:
            thread.join(JOIN_S)
        self._sampling_threads = []
        self.spooler.finish()

    def _counted(self) -> tuple[dict[Class, ClassCounters], int]:
        """What the spool counts, and the samples on their way into it, of one moment. Raises SpoolError."""
        with self.spooler.moving:
            return self.spool.counters(), self.spooler.pending()

    def _waits(self) -> bool:
        try:
            counters, pending = self._counted()
        except SpoolError:
            return False  # nothing can leave a spool that cannot be read
        return bool(pending or sum(count.waiting_messages for count in counters.values()))

    def _samples_waiting(self) -> int:
        try:
            counters, pending = self._counted()
        except SpoolError:
            counters, pending = {}, self.spooler.pending()
        return sum(count.waiting_samples for count in counters.values()) + pending

    def alive(self) -> bool:
        """Every loop turns: what the watchdog is told."""
        now_s = self._clock.wire_s()
        beats = [self.link.beat_s, self.spooler.beat_s, self.watching.beat_s]
        if len(self._threads) > len(beats):
            beats.append(self._identity.beat_s)
        beats.append(self.commands.beat_s)
        if self._sampling_threads:
            beats += [loop.beat_s for loop in self._sampling]
        threads = (*self._threads, self._answering, *self._sampling_threads)
        return now_s - min(beats) < STUCK_AFTER_S and all(thread.is_alive() for thread in threads)

    def _build_status(self) -> dict[str, Any]:
        moment = {
            "connected": self.link.view.connected,
            "in_flight": self.link.view.in_flight,
            "sampling": bool(self._sampling_threads),
            "latest": dict(self.spooler.latest),
            "late_verdicts": self.spooler.late_verdicts,
            "watching": self.watching.figures(),
            "data": self._budget.figures(),
        }
        return self._reporter.status(moment, *self._counted())


def _open_serial(kind: SensorKind, port: str) -> Sensor:
    from firmware_bridge.serial_sensor import open_sensor

    return open_sensor(kind, port)
