"""One chaos run from start to verdict."""

from __future__ import annotations

import contextlib
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from demo.api import ApiRefused
from demo.city import backlog_of, stopped
from demo.layout import lay_out
from demo.records import agent_status
from demo.settings import WrongArgument
from demo.start import DidNotStart
from tests.chaos.acts import Hands
from tests.chaos.echo import Echo
from tests.chaos.evidence import UNREACHABLE, Evidence, accepted, gather, judge, shed_there, waiting
from tests.chaos.faults import Fault, Kind
from tests.chaos.plan import plan
from tests.chaos.reckoning import Reckoning
from tests.chaos.report import Done, Report, table
from tests.chaos.room import Allowed
from tests.chaos.town import BROKER_HOST, Town, make_town, settings

SETTLED_S = 180.0  # two resends of 45 s at most, a reconnect and a crash recovery on a busy machine
DRAINED_S = 240.0
LOOK_S = 0.5
HEAR_S = 1.0  # an agent writes its status file each two seconds
HISTORY_H = 16.0
SHOWN = 10  # of the frames that are missing

OK, BROKEN, NOT_STARTED, STOPPED = 0, 1, 3, 130


@dataclass(frozen=True)
class Asked:
    """What a run is asked to do."""

    seed: int
    minutes: float
    kinds: frozenset[Kind]
    directory: Path
    report: Path | None = None
    history_h: float = HISTORY_H


class NotKept(Exception):
    """The promise of the wire was broken: by which lampposts, after which act."""

    def __init__(self, when: str, accounts: Sequence[Reckoning]) -> None:
        super().__init__(when)
        self.when, self.accounts = when, accounts


class Stopped(BaseException):
    """A signal asked the runner to stop."""


@dataclass
class Runner:
    """`run()` returns the exit status: 0 kept, 1 not, 3 did not start, 130 stopped by a signal."""

    asked: Asked
    allowed: Allowed
    started_s: float = field(default_factory=time.monotonic)
    zero_s: float = 0.0

    def run(self) -> int:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _stop)
        asked = self.asked
        city_settings = settings(asked.directory, asked.seed, asked.history_h)
        try:
            town = make_town(lay_out(city_settings), city_settings, self.allowed)
        except (WrongArgument, OSError) as wrong:
            print(f"chaos: {wrong}", file=sys.stderr)
            return 2
        try:
            return self._in(town)
        except (DidNotStart, ApiRefused, OSError) as failed:
            print(f"chaos: {failed}\nlogs: {town.layout.logs}", file=sys.stderr)
            return NOT_STARTED
        except Stopped:
            self._say("stopped by a signal")
            return STOPPED
        finally:
            with contextlib.suppress(Stopped):
                town.stop()

    def _in(self, town: Town) -> int:
        for step in town.start():
            self._say(step)
        faults = plan(
            self.asked.seed, self.asked.minutes, [post.name for post in town.layout.posts], self.asked.kinds
        )
        echo = Echo(BROKER_HOST, town.layout.ports["broker"], town.layout.root / "server" / "certificates")
        echo.start()
        hands = Hands(town, echo)
        self.zero_s = time.monotonic()
        done: list[Done] = []
        report = Report(self.asked, self.allowed)
        try:
            self._acts(town, hands, faults, done)
            accounts = self._end(town, hands)
        except NotKept as broken:
            hands.end_all()
            self._report(report, town, hands, echo, done, broken.accounts)
            self._say_broken(broken, town)
            return BROKEN
        finally:
            echo.stop()
        self._report(report, town, hands, echo, done, accounts)
        self._say(f"kept: {sum(a.produced for a in accounts):,} frames sent, none lost, doubled or altered")
        return OK

    # -- the acts ----------------------------------------------------------------------------------------

    def _acts(self, town: Town, hands: Hands, faults: Sequence[Fault], done: list[Done]) -> None:
        """Each act, and after it: all that was sensed until then is where it belongs. An act begins when the
        one before is settled, with its own faults as far apart as planned."""
        for act in sorted({fault.act for fault in faults}):
            mine = [fault for fault in faults if fault.act == act]
            before_s = max((fault.until_s for fault in faults if fault.act < act), default=0.0)
            self._act(town, hands, mine, before_s, done)
            took_s = self._settle(town, hands, f"after act {act}")
            self._say(f"act {act} settled in {took_s:.1f} s")

    def _act(
        self, town: Town, hands: Hands, faults: Sequence[Fault], from_s: float, done: list[Done]
    ) -> None:
        """`from_s`: the instant of the plan that is now."""
        begins = [(fault.at_s, 1, fault) for fault in faults]
        ends = [(fault.until_s, 2, fault) for fault in faults]
        act_zero_s = time.monotonic() - from_s
        for at_s, turn, fault in sorted(begins + ends):
            if at_s > 0.0 and not any(agent.running for agent in town.agents.values()):
                self._go_live(town)  # over the slow lines, where the plan begins with them
                act_zero_s = time.monotonic() - from_s
            self._wait(town, act_zero_s + at_s - time.monotonic())
            if turn == 1:
                met, waits = hands.begin(fault), waiting(town.layout.posts)
                done.append(Done(fault, round(time.monotonic() - self.zero_s, 2), met, waits))
                self._say(f"{fault}: {f'{met}, ' if met else ''}{waits} samples waiting on lampposts")
            else:
                hands.end(fault)

    def _go_live(self, town: Town) -> None:
        self._say("the lampposts go live")
        town.go_live()
        self.zero_s = time.monotonic()

    def _wait(self, town: Town, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while (left_s := deadline - time.monotonic()) > 0:
            town.hear_agents()
            time.sleep(min(left_s, HEAR_S))

    def _settle(self, town: Town, hands: Hands, when: str) -> float:
        """Seconds until every frame sensed before now is stored, shed or excused. Raises NotKept."""
        began_s, until_ms = time.monotonic(), time.time() * 1000
        accounts: list[Reckoning] = []
        while time.monotonic() - began_s < SETTLED_S:
            with contextlib.suppress(*UNREACHABLE):
                accounts = judge(gather(town), hands.happened, hands.offsets_ms, until_ms=until_ms)
                if all(account.is_kept for account in accounts):
                    return time.monotonic() - began_s
                if any(account.doubled or account.altered for account in accounts):
                    break
            self._wait(town, LOOK_S)
        raise NotKept(f"{when}, {SETTLED_S:.0f} s later", accounts)

    def _end(self, town: Town, hands: Hands) -> list[Reckoning]:
        """Stop sampling, drain, compare everything. Raises NotKept."""
        self._say("sampling stops; what is still on the lampposts drains")
        deadline_s = time.monotonic() + DRAINED_S
        accounts: list[Reckoning] = []
        found: Evidence | None = None
        while time.monotonic() < deadline_s:
            if not self._all_drained(town):
                continue
            with contextlib.suppress(*UNREACHABLE):
                found = gather(town)
                town.hear_agents()
                accounts = judge(found, hands.happened, hands.offsets_ms, accepted=accepted(town))
                if all(account.is_kept for account in accounts) and _tombstones_agree(town, found):
                    return accounts
                if any(account.doubled or account.altered for account in accounts):
                    break
        if found is not None and not _tombstones_agree(town, found):
            self._say(f"the spools say that they shed {shed_there(town.layout.posts)}")
        raise NotKept("at the end", accounts)

    def _all_drained(self, town: Town) -> bool:
        drained = True
        for post in town.layout.posts:
            status, agent = agent_status(post), town.agents[post.name]
            if not stopped(status) and status.get("pid") == agent.pid:  # it lives, and has its handlers
                agent.signal(signal.SIGUSR1)
            drained = drained and stopped(status) and backlog_of(status) == 0
        self._wait(town, LOOK_S)
        return drained

    # -- words -------------------------------------------------------------------------------------------

    def _say(self, words: str) -> None:
        since_s = time.monotonic() - (self.zero_s or self.started_s)
        print(f"{since_s:7.1f} s  {words}", flush=True)

    def _report(
        self,
        report: Report,
        town: Town,
        hands: Hands,
        echo: Echo,
        done: Sequence[Done],
        accounts: Sequence[Reckoning],
    ) -> None:
        with contextlib.suppress(*UNREACHABLE):
            report.evidence = gather(town)
        report.accounts, report.done = list(accounts), list(done)
        report.counts = {name: dict(line.counts()) for name, line in town.lines.items()}
        report.echo = dict(echo.counts)
        for line in table(report):
            print(line)
        report.write()

    def _say_broken(self, broken: NotKept, town: Town) -> None:
        print(f"\nNOT KEPT {broken.when}. Seed {self.asked.seed}; logs: {town.layout.logs}")
        for account in broken.accounts:
            for frame in account.lost[:SHOWN]:
                at = f"wall {frame.wall_ms:.0f} street {frame.street_ms:.0f}"
                print(f"  {account.post} lost: {at} {frame.values}")


def _tombstones_agree(town: Town, found: Evidence) -> bool:
    """No tombstone without a spool that says it gave that up. The spool may say more: a message that the city
    had already, and whose ack came when it was given up, needs no tombstone."""
    there = shed_there(town.layout.posts)
    return all(there[post] >= sum(grave.samples for grave in found.graves[post]) for post in there)


def _stop(_number: int, _frame: FrameType | None) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)  # once: what follows puts everything away
    raise Stopped
