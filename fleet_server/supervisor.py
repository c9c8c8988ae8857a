"""`lamppost serve`: every role a process of its own, the dead started again, all stopped in order.

Stages start one after another, each when the one before works: database, setup, broker, then api, ingest,
worker and ui together. They stop the other way round. When the supervisor is killed the kernel
ends its children.
"""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from fleet_server import preflight
from fleet_server.child import Child
from fleet_server.config import ServerConfig
from fleet_server.errors import ConfigurationError
from fleet_server.renewal import Renewal
from fleet_server.roles import API, BROKER, DATABASE, INGEST, REFUSED, SETUP, UI, WORKER, Role, role_command
from fleet_server.state_file import StateFile, addresses, describe

log = logging.getLogger("lamppost.serve")

LOOK_S = 0.1  # a death is noticed within this; costs a tenth of a percent of a core
START_TIMEOUT_S = 120.0  # of one stage: a recovery on a slow disk, four Python programs on a small machine

BROKER_STARTS = 3  # within two seconds or so: what Mosquitto ends of at its start does not go by itself
BROKER_GIVEN_UP = (
    "broker ended %d times as it started. Its last words: %s. Mend what they tell of; all that it said stands"
    " in %s/logs/broker.log, what it was told beside it, in broker/mosquitto.conf."
)


class Supervisor:
    """`run()` returns the exit status. Build and run it in the main thread: it handles the signals."""

    def __init__(self, config: ServerConfig, arguments: Sequence[str]) -> None:
        self._config = config
        self._arguments = list(arguments)
        self._children: list[Child] = []
        self._state = StateFile(config.data_dir)
        self._renewal = Renewal(config)
        self._signals: list[int] = []
        self._ready = False

    def run(self) -> int:
        """Start everything, keep it running, stop it on SIGTERM or SIGINT. 0 after an orderly stop.

        Raises ConfigurationError where something is in the way that can be seen before a start.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        preflight.check_folder(self._config.data_dir)
        with _only_one(self._config.data_dir):
            preflight.check(self._config)
            try:
                if (status := self._start()) is None:
                    status = self._keep()
            finally:
                self._stop()
                self._state.remove()
            return status

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._signals.append(number)
        if len(self._signals) > 1:  # asked twice: at once
            for child in self._children:
                child.kill_group()

    def _stages(self) -> list[list[Child]]:
        config = self._config
        ingest = [self._child(INGEST, number + 1) for number in range(config.ingest.workers)]
        last = [self._child(API), *ingest, self._child(WORKER), self._child(UI)]
        stages = [[self._child(SETUP)], last]
        if config.broker.managed:
            stages.insert(1, [self._child(BROKER)])
        if config.database.embedded_directory is not None:
            stages.insert(0, [self._child(DATABASE)])
        return stages

    def _child(self, role: Role, number: int = 1) -> Child:
        data = self._config.data_dir
        to_file = role.own_log or (self._config.log.files and role is not SETUP)
        log_file = data / "logs" / f"{role.name}{'' if number == 1 else f'-{number}'}.log"
        return Child(
            role, number, role_command(role, self._arguments), data / "run", log_file if to_file else None
        )

    def _start(self) -> int | None:
        """The exit status where the start failed or was broken off, else None."""
        for stage in self._stages():
            for child in stage:
                child.start()
            if stage[0].role is not SETUP:
                self._children += stage
            status = self._await(stage)
            if status is not None:
                for child in stage:
                    child.kill_group()
                return status
            if stage[0].role is SETUP:
                self._renewal.begin()
        self._ready = True
        self._write_state()
        where = addresses(self._config)
        log.info("ready: pages %s, api %s, devices %s and %s", *[where[k] for k in list(where)[:4]])
        return None

    def _await(self, stage: list[Child]) -> int | None:
        """Until the stage works. The exit status where it cannot."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._signals:
            waiting = [child for child in stage if not self._done(child)]
            if not waiting:
                return None
            for child in waiting:
                status = child.exit_status()
                if status == REFUSED or (child.role is SETUP and status is not None):
                    log.error("%s does not start. %s", child.name, child.last_words())
                    return status
                if child.role is BROKER and child.restarts.in_a_row >= BROKER_STARTS:
                    log.error(BROKER_GIVEN_UP, BROKER_STARTS, child.last_words(), self._config.data_dir)
                    return 1
            if time.monotonic() > deadline:
                names = ", ".join(child.name for child in waiting)
                log.error(
                    "%s did not start within %.0f s. %s", names, START_TIMEOUT_S, waiting[0].last_words()
                )
                return 1
            self._look_after()
            time.sleep(LOOK_S)
        return 128 + self._signals[0]

    def _done(self, child: Child) -> bool:
        if child.role is SETUP:
            return child.exit_status() == 0
        return child.look(self._config)

    def _keep(self) -> int:
        while not self._signals:
            self._look_after()
            for role_name, number in self._renewal.look():
                log.info("certificates or revocations changed: %s to %s", number.name, role_name)
                for child in self._children:
                    if child.role.name == role_name:
                        child.signal(number)
            time.sleep(LOOK_S)
        log.info("stopping")
        return 0

    def _look_after(self) -> None:
        """Bury the dead, start those whose time has come, see who is ready."""
        now_s = time.monotonic()
        for child in self._children:
            status = child.exit_status()
            if status is None:
                if not child.ready and child.look(self._config) and self._ready:
                    log.info("%s works again", child.name)
            elif child.restarts.not_before_s <= child.started_s:
                child.kill_group()  # what it had started itself
                child.ready = False
                child.restarts = child.restarts.died(child.started_s, now_s)
                wait_s = child.restarts.not_before_s - now_s
                log.warning("%s %s; starting it again in %.1f s", child.name, _ending(status), wait_s)
            elif child.restarts.not_before_s <= now_s:
                self._start_again(child)
        self._write_state()

    def _start_again(self, child: Child) -> None:
        try:
            child.start()
        except OSError as refused:  # no room for its log, no process to be had: the others go on
            now_s = time.monotonic()
            child.restarts = child.restarts.died(now_s, now_s)
            wait_s = child.restarts.not_before_s - now_s
            log.warning("%s cannot be started (%s); trying again in %.1f s", child.name, refused, wait_s)

    def _write_state(self) -> None:
        ready = self._ready and all(child.ready for child in self._children)
        self._state.write(describe(self._config, self._children, ready=ready))

    def _stop(self) -> None:
        """Stage by stage from the last; within a stage together."""
        self._renewal.stop()
        for stage in sorted({child.role.stage for child in self._children}, reverse=True):
            stopping = [child for child in self._children if child.role.stage == stage]
            for child in stopping:
                child.signal(child.role.stop_signal)
            for child in stopping:
                deadline = time.monotonic() + child.role.stop_within_s
                if not child.reap(deadline - time.monotonic()):
                    log.warning(
                        "%s did not stop within %.0f s and is killed", child.name, child.role.stop_within_s
                    )
                child.kill_group()
                child.reap(5.0)
            self._write_state()


def _ending(status: int) -> str:
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"


class _only_one:  # noqa: N801 - used as a function
    """Holds DATA_DIR/serve.lock. Raises ConfigurationError where another supervisor has it."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "serve.lock"

    def __enter__(self) -> None:
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._file)
            raise ConfigurationError(
                f"Another `lamppost serve` works in {self._path.parent}.",
                remedy="Stop it, or give this one a folder of its own: --data DIR.",
            ) from None

    def __exit__(self, *_: object) -> None:
        os.close(self._file)
