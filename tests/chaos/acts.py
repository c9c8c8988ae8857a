"""Carries out the faults of a plan on a running town: one pair of hands for each kind, begin and end."""

from __future__ import annotations

import random
import signal
import time
from collections import defaultdict
from collections.abc import Callable

from tests.chaos import victims
from tests.chaos.disks import Filler
from tests.chaos.echo import Echo
from tests.chaos.faults import Fault, Kind
from tests.chaos.reckoning import Happened
from tests.chaos.town import FREE_MIB, HOUR_MS, Town
from tests.chaos.weather import Weather

NOBODY = "nobody there: it is being started"
UNSET_MS = 5_000  # 1970-01-01 and five seconds: a clock that nobody ever set

Begin = Callable[[Fault], str]
End = Callable[[Fault], None]


class Hands:
    """`begin(fault)` and `end(fault)` in the plan's order; `happened` is what they did, for the reckoning.

    `begin` says what it met, in a few words: a fault that found nobody to strike says so.
    """

    def __init__(self, town: Town, echo: Echo) -> None:
        self._town, self._echo = town, echo
        self._frozen: dict[Fault, list[int]] = {}
        self._fillers: dict[Fault, Filler] = {}
        self._began_ms: dict[Fault, float] = {}
        self.happened: list[Happened] = []
        self.offsets_ms: dict[str, set[int]] = defaultdict(set)

    def begin(self, fault: Fault) -> str:
        self._began_ms[fault] = time.time() * 1000
        return self._hand(fault)[0](fault)

    def end(self, fault: Fault) -> None:
        self._hand(fault)[1](fault)
        self.happened.append(Happened(fault, self._began_ms.pop(fault), time.time() * 1000))

    def underway(self) -> list[Happened]:
        """Those that have begun and not ended, as if they ended now."""
        return [Happened(fault, began, time.time() * 1000) for fault, began in self._began_ms.items()]

    def end_all(self) -> None:
        """For a run that is broken off."""
        for fault in list(self._began_ms):
            self.end(fault)

    def _hand(self, fault: Fault) -> tuple[Begin, End]:
        kind = fault.kind
        match kind:
            case (
                Kind.AGENT_KILL | Kind.INGEST_KILL | Kind.UPKEEP_KILL | Kind.BROKER_KILL | Kind.DATABASE_KILL
            ):
                return self._kill, _nothing
            case Kind.DATABASE_BACKEND | Kind.SERVER_KILL:
                return self._kill, _nothing
            case Kind.BROKER_WIPE:
                return self._kill_and_wipe, _nothing
            case Kind.AGENT_FREEZE | Kind.INGEST_FREEZE | Kind.BROKER_FREEZE | Kind.DATABASE_FREEZE:
                return self._freeze, self._thaw
            case Kind.NET_RESET:
                return self._reset, _nothing
            case Kind.NET_HOLE:
                return self._worsen, self._clear_hole
            case Kind.DISK_FULL:
                return self._fill, self._free
            case Kind.DISK_TIGHT:
                return self._fill_and_cut, self._free_and_join
            case Kind.CLOCK_FORWARD | Kind.CLOCK_BACK | Kind.CLOCK_UNSET | Kind.CLOCK_SERVER:
                return self._put_wrong, self._put_right
            case Kind.RACE:
                return self._race, self._end_race
            case Kind.RACE_LATE:
                return self._say_again, _nothing
            case _:
                return self._worsen, self._clear

    # -- processes ---------------------------------------------------------------------------------------

    def _pids(self, fault: Fault) -> list[int]:
        town, kind = self._town, fault.kind
        match kind:
            case Kind.AGENT_KILL | Kind.AGENT_FREEZE:
                agent = town.agents[fault.target]
                return [agent.pid] if agent.running else []
            case Kind.INGEST_KILL | Kind.INGEST_FREEZE:
                return _one(victims.role_pids(town, "ingest"), fault.luck)
            case Kind.UPKEEP_KILL:
                return victims.role_pids(town, "worker")
            case Kind.BROKER_KILL | Kind.BROKER_WIPE | Kind.BROKER_FREEZE:
                return victims.role_pids(town, "broker")
            case Kind.DATABASE_KILL:
                return [pid for pid in [victims.postmaster_pid(town)] if pid]
            case Kind.DATABASE_BACKEND:
                return _one(victims.backends(town), fault.luck)
            case Kind.DATABASE_FREEZE:
                return victims.family_of(victims.postmaster_pid(town))
            case Kind.SERVER_KILL:
                return [town.server.pid] if town.server is not None and town.server.running else []
            case _:
                raise AssertionError(f"{kind} strikes no process")

    def _kill(self, fault: Fault) -> str:
        sent = victims.send(self._pids(fault), signal.SIGKILL)
        return f"killed {sent}" if sent else NOBODY

    def _kill_and_wipe(self, fault: Fault) -> str:
        said = self._kill(fault)
        return f"{said}, {victims.wipe_broker_state(self._town)} files wiped"

    def _freeze(self, fault: Fault) -> str:
        pids = self._pids(fault)
        self._frozen[fault] = pids
        return f"stopped {victims.send(pids, signal.SIGSTOP)}"

    def _thaw(self, fault: Fault) -> None:
        victims.send(self._frozen.pop(fault), signal.SIGCONT)

    # -- lines -------------------------------------------------------------------------------------------

    def _worsen(self, fault: Fault) -> str:
        self._town.lines[fault.target].apply(fault, weather_of(fault))
        return ""

    def _clear(self, fault: Fault) -> None:
        self._town.lines[fault.target].clear(fault)

    def _clear_hole(self, fault: Fault) -> None:
        """Half of the holes let through what waited, half end in a reset: one side had given up."""
        if fault.luck < 0.5:
            self._town.lines[fault.target].drop()
        self._clear(fault)

    def _reset(self, fault: Fault) -> str:
        self._town.lines[fault.target].reset_after(int(fault.size))
        return ""

    # -- disks and clocks --------------------------------------------------------------------------------

    def _fill(self, fault: Fault) -> str:
        post = next(post for post in self._town.layout.posts if post.name == fault.target)
        leave_bytes = 0 if fault.kind is Kind.DISK_FULL else (FREE_MIB << 20) // 4
        filler = self._fillers[fault] = Filler(post.data, leave_bytes)
        filler.start()
        return ""

    def _free(self, fault: Fault) -> None:
        self._fillers.pop(fault).stop()

    def _fill_and_cut(self, fault: Fault) -> str:
        self._town.lines[fault.target].apply(fault, Weather(cut=True))
        return self._fill(fault)

    def _free_and_join(self, fault: Fault) -> None:
        self._free(fault)
        self._clear(fault)

    def _put_wrong(self, fault: Fault) -> str:
        off_ms = self._off_ms(fault)
        self.offsets_ms[fault.target].add(off_ms)
        self._town.put_clock_wrong(fault.target, fault, off_ms)
        return f"{off_ms / HOUR_MS:+.2f} h"

    def _put_right(self, fault: Fault) -> None:
        self._town.put_clock_right(fault.target, fault)

    def _off_ms(self, fault: Fault) -> int:
        if fault.kind is Kind.CLOCK_UNSET:
            return UNSET_MS - int(self._town.street_now_ms)
        sign = -1 if fault.kind is Kind.CLOCK_BACK else 1
        return int(sign * fault.size * HOUR_MS)

    # -- two workers, one batch --------------------------------------------------------------------------

    def _race(self, _fault: Fault) -> str:
        self._echo.racing = True
        return ""

    def _end_race(self, _fault: Fault) -> None:
        self._echo.racing = False

    def _say_again(self, fault: Fault) -> str:
        return f"{self._echo.again(random.Random(fault.luck))} batches"


def weather_of(fault: Fault) -> Weather:
    """What a fault of a line makes of it."""
    size = fault.size
    match fault.kind:
        case Kind.NET_CUT:
            return Weather(cut=True)
        case Kind.NET_HOLE:
            return Weather(hole=True)
        case Kind.NET_DELAY:
            return Weather(delay_s=size)
        case Kind.NET_THROTTLE:
            return Weather(rate=size)
        case Kind.NET_FRAGMENT:
            return Weather(piece=int(size))
        case Kind.PACKET_LOSS:
            return Weather(loss=size)
        case Kind.PACKET_REORDER:
            return Weather(overtaken=size)
        case Kind.PACKET_TWICE:
            return Weather(twice=size)
        case Kind.PACKET_DAMAGE:
            return Weather(damaged=size)
        case _:
            raise AssertionError(f"{fault.kind} is no weather")


def _one(pids: list[int], luck: float) -> list[int]:
    return [pids[min(int(luck * len(pids)), len(pids) - 1)]] if pids else []


def _nothing(_fault: Fault) -> None:
    """Over at once."""
