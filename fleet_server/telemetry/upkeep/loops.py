"""The worker role's loops: one table, one thread, due times. Every tick is bounded and can be repeated."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import psycopg

from fleet_server.access import upkeep as access
from fleet_server.access.rules import WORKER, Action
from fleet_server.air import upkeep as air
from fleet_server.audit.checkpoints import LINES_REMOVED_A_TICK
from fleet_server.audit.recording import record_by
from fleet_server.auditor import upkeep as audit
from fleet_server.commands import upkeep as commands
from fleet_server.context import Context
from fleet_server.decisions.deciding import VERDICTS_A_TICK, decide
from fleet_server.enrolment import relisting, standing
from fleet_server.errors import DatabaseUnreachable
from fleet_server.limits.service import FLOODS_A_TICK, follow_floods
from fleet_server.privacy import upkeep as privacy
from fleet_server.telemetry.ingest.catalogue import SeriesCatalogue
from fleet_server.telemetry.ingest.pg_binary import register_arrays
from fleet_server.telemetry.ingest.replay import replay_ready
from fleet_server.telemetry.timescale import lift_limits
from fleet_server.telemetry.upkeep.districts import MARKS_A_TICK as DISTRICT_HOURS_A_TICK
from fleet_server.telemetry.upkeep.districts import follow_districts
from fleet_server.telemetry.upkeep.fold import STREAMS_A_TICK, fold
from fleet_server.telemetry.upkeep.months import months_ahead
from fleet_server.telemetry.upkeep.newest import forget_surpassed
from fleet_server.telemetry.upkeep.retain import retain
from fleet_server.telemetry.upkeep.rollups import MARKS_A_TICK, roll_up
from fleet_server.telemetry.upkeep.settle import HOLES_A_TICK, settle
from fleet_server.telemetry.upkeep.sweep import ROWS_A_TICK, forget_conditions, sweep_presence
from fleet_server.telemetry.upkeep.views import MAX_VIEWS, make_views
from fleet_server.twin.reconciling import TWINS_A_TICK, reconcile, regroup

LETTERS_A_TICK = 200
LATEST_A_TICK = 10_000  # rows: then units may be left
DAY_S = 86_400.0
ENTRIES_A_LIST = 1_000_000  # all that are due at once: what then is due waits for the next day's list
RETRY_AFTER_S = 2.0  # a database that restarts is back by then

_log = logging.getLogger(__name__)


@dataclass
class Bench:
    """What ticks work with. The connection is made anew when it broke."""

    context: Context
    series: SeriesCatalogue = field(default_factory=SeriesCatalogue)
    group: int = 0  # the dynamic group that was looked at last
    _connection: psycopg.Connection[Any] | None = None

    @property
    def connection(self) -> psycopg.Connection[Any]:
        """In autocommit mode. Raises DatabaseUnreachable."""
        if self._connection is None or self._connection.closed:
            self._connection = self.context.db.raw(autocommit=True)
            register_arrays(self._connection)
            lift_limits(self._connection)
            self.series.clear()  # it may be another database now, restored from an older backup
        return self._connection

    def begin_group(self, group: int) -> None:
        self.group = group

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()


@dataclass(frozen=True)
class Loop:
    """`tick` does a bounded piece of work and returns how much it found; at `full` there is more to do."""

    name: str
    every_s: float  # wall clock
    tick: Callable[[Bench], int]
    full: int  # then the next tick is due at once


def _replay(bench: Bench) -> int:
    outcomes = replay_ready(bench.connection, bench.series, bench.context.clock.now(), LETTERS_A_TICK)
    if outcomes:
        _log.info("dead letters replayed: %s", dict(outcomes))
        action = Action.DEAD_LETTERS_REPLAY
        record_by(bench.connection, WORKER, action, "dead letters that were ready", after=dict(outcomes))
    return sum(outcomes.values())


def _real() -> datetime:
    """What is promised to people in hours runs by real time, in the demo too."""
    return datetime.now(UTC)


LOOPS = (
    Loop("fold the ledger", 15.0, lambda b: fold(b.connection), STREAMS_A_TICK),
    Loop("roll up hours and days", 10.0, lambda b: roll_up(b.connection), MARKS_A_TICK),
    Loop("districts", 10.0, lambda b: follow_districts(b.connection), DISTRICT_HOURS_A_TICK),
    Loop("air", 5.0, lambda b: air.follow(b.connection, b.context.clock.now()), air.MARKS_A_TICK),
    Loop("decide on verdicts", 1.0, lambda b: decide(b.connection, b.context.clock.now()), VERDICTS_A_TICK),
    Loop(
        "clocks of commands", 1.0, lambda b: commands.run_clocks(b.connection, _real()), commands.ROWS_A_TICK
    ),
    Loop(
        "forget old commands", 600.0, lambda b: commands.forget(b.connection, _real()), commands.ROWS_A_TICK
    ),
    Loop("replay dead letters", 2.0, _replay, LETTERS_A_TICK),
    Loop("views of sensor kinds", 10.0, lambda b: make_views(b.connection), MAX_VIEWS),
    Loop("write down what was lost", 600.0, lambda b: settle(b.connection), HOLES_A_TICK),
    Loop(
        "retention",
        600.0,
        lambda b: retain(b.connection, b.context.config.retention, b.context.clock.now()),
        1,
    ),
    Loop("audit checkpoints", 30.0, lambda b: audit.sign_when_due(b.context), 2),
    Loop("devices refused", 60.0, lambda b: audit.tell_refused_devices(b.context), audit.DEVICES_A_TICK + 1),
    Loop("audit retention", 600.0, lambda b: audit.remove_old(b.context), LINES_REMOVED_A_TICK),
    Loop("forget names", 600.0, lambda b: privacy.forget_old(b.context), privacy.ROWS_A_TICK),
    Loop("forget old requests", 600.0, lambda b: access.forget_old(b.context), access.ROWS_A_TICK),
    Loop("forget surpassed readings", 60.0, lambda b: forget_surpassed(b.connection), LATEST_A_TICK),
    Loop("months ahead", 600.0, lambda b: months_ahead(b.connection, b.context.clock.now()), MAX_VIEWS),
    Loop(
        "floods",
        5.0,
        lambda b: follow_floods(b.connection, b.context, standing.change_state),
        FLOODS_A_TICK + 1,
    ),
    Loop("revocation list", 60.0, lambda b: relisting.list_again(b.context), 1),
    Loop("shorten the revocation list", DAY_S, lambda b: relisting.shorten(b.context), ENTRIES_A_LIST),
    Loop("settings", 1.0, lambda b: reconcile(b.context.db), TWINS_A_TICK),
    Loop("dynamic groups", 60.0, lambda b: regroup(b.context.db, b.group, b.begin_group), 1),
    Loop("presence sweep", 5.0, lambda b: sweep_presence(b.connection, b.context.clock.now()), ROWS_A_TICK),
    Loop(
        "forget old conditions",
        60.0,
        lambda b: forget_conditions(b.connection, b.context.clock.now()),
        ROWS_A_TICK,
    ),
)


def run_loops(context: Context, ended: threading.Event, loops: tuple[Loop, ...] = LOOPS) -> None:
    """Until `ended`. A tick that fails is logged once for each cause and tried again."""
    bench = Bench(context)
    due = dict.fromkeys(range(len(loops)), time.monotonic())
    failing: dict[int, str] = {}
    while not ended.is_set():
        now_s = time.monotonic()
        for i, loop in enumerate(loops):
            if due[i] <= now_s and not ended.is_set():
                due[i] = now_s + _run(bench, loop, i, failing)
        ended.wait(max(0.0, min(due.values()) - time.monotonic()))
    bench.close()


def _run(bench: Bench, loop: Loop, i: int, failing: dict[int, str]) -> float:
    """One tick; returns after how many seconds the next is due."""
    try:
        found = loop.tick(bench)
    except (psycopg.OperationalError, psycopg.InterfaceError, DatabaseUnreachable) as lost:
        _note(failing, i, loop, f"PostgreSQL: {str(lost).splitlines()[0]}", None)
        bench.close()
        return RETRY_AFTER_S
    except Exception as error:  # noqa: BLE001 - the loop's top: one loop's mistake must not stop the others
        _note(failing, i, loop, repr(error), error)
        return loop.every_s
    if failing.pop(i, None) is not None:
        _log.info("%s: works again", loop.name)
    return loop.every_s if found < loop.full else 0.0


def _note(failing: dict[int, str], i: int, loop: Loop, cause: str, error: Exception | None) -> None:
    if failing.get(i) != cause:
        failing[i] = cause
        _log.error("%s: %s", loop.name, cause, exc_info=error)
