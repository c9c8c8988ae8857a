"""One fault's life on one sensor unit as one table: seen for long enough it holds, gone for long enough it
is over.

`python -m edge_agent.core.faulting` prints the table as a Mermaid diagram. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType

from edge_agent.core.machine import Rule, Table
from wire_contract.verdict_kinds import FaultCode

# Minutes on end for which a fault is seen before it holds. What needed its own quarter of an hour, or its own
# hours, to be seen at all holds at once; a plug that is loose for seconds is not worth a line each time.
HOLDS_AFTER: Mapping[FaultCode, int] = MappingProxyType(
    {
        FaultCode.SPIKE: 1,
        FaultCode.FLAT_LINE: 1,
        FaultCode.HUMIDITY_SWELL: 3,
        FaultCode.DRIFT: 1,
        FaultCode.UNPLUGGED: 2,
    }
)
# Minutes on end without it before it is over: swells and spikes pause.
OVER_AFTER: Mapping[FaultCode, int] = MappingProxyType(
    {
        FaultCode.SPIKE: 30,
        FaultCode.FLAT_LINE: 2,
        FaultCode.HUMIDITY_SWELL: 10,
        FaultCode.DRIFT: 60,
        FaultCode.UNPLUGGED: 1,
    }
)


class Phase(StrEnum):
    WELL = "well"
    DOUBTED = "doubted"
    FAULTY = "faulty"
    MENDING = "mending"


class Signal(StrEnum):
    SEEN = "seen"
    UNSEEN = "not seen"
    TIMED_OUT = "nothing known"
    POWER_LOST = "power lost"


class Do(StrEnum):
    TELL = "tell"
    TELL_OVER = "tell that it is over"


@dataclass(frozen=True)
class Fault:
    """`run`: minutes on end of what may change the phase."""

    code: FaultCode
    phase: Phase = Phase.WELL
    run: int = 0

    @property
    def holds(self) -> bool:
        return self.phase in (Phase.FAULTY, Phase.MENDING)

    @property
    def suspected(self) -> bool:
        return self.phase is not Phase.WELL


@dataclass(frozen=True)
class Event:
    """One minute of one unit."""

    signal: Signal


Decision = tuple[Fault, tuple[Do, ...]]


def _seen(fault: Fault, _event: Event) -> Decision:
    run = fault.run + 1
    if run >= HOLDS_AFTER[fault.code]:
        return Fault(fault.code, Phase.FAULTY), (Do.TELL,)
    return Fault(fault.code, Phase.DOUBTED, run), ()


def _unseen(fault: Fault, _event: Event) -> Decision:
    run = fault.run + 1
    if run >= OVER_AFTER[fault.code]:
        return Fault(fault.code), (Do.TELL_OVER,)
    return Fault(fault.code, Phase.MENDING, run), ()


def _again(fault: Fault, _event: Event) -> Decision:
    return Fault(fault.code, Phase.FAULTY), ()


def _nothing_after_all(fault: Fault, _event: Event) -> Decision:
    return Fault(fault.code), ()


def _stay(fault: Fault, _event: Event) -> Decision:
    return fault, ()


def _restart(fault: Fault, _event: Event) -> Decision:
    """What held is kept on the disk and holds on; what was only suspected begins anew."""
    return (replace(fault, run=0) if fault.holds else Fault(fault.code)), ()


_R = Rule[Phase, Fault, Event, Do]

_RULES: dict[tuple[Phase, Signal], _R] = {
    (Phase.WELL, Signal.SEEN): _R((Phase.DOUBTED, Phase.FAULTY), _seen),
    (Phase.WELL, Signal.UNSEEN): _R((Phase.WELL,), _stay),
    (Phase.DOUBTED, Signal.SEEN): _R((Phase.DOUBTED, Phase.FAULTY), _seen),
    (Phase.DOUBTED, Signal.UNSEEN): _R((Phase.WELL,), _nothing_after_all),
    (Phase.FAULTY, Signal.SEEN): _R((Phase.FAULTY,), _stay),
    (Phase.FAULTY, Signal.UNSEEN): _R((Phase.MENDING, Phase.WELL), _unseen),
    (Phase.MENDING, Signal.SEEN): _R((Phase.FAULTY,), _again),
    (Phase.MENDING, Signal.UNSEEN): _R((Phase.MENDING, Phase.WELL), _unseen),
    **{(phase, Signal.TIMED_OUT): _R((phase,), _stay) for phase in Phase},
    (Phase.WELL, Signal.POWER_LOST): _R((Phase.WELL,), _restart),
    (Phase.DOUBTED, Signal.POWER_LOST): _R((Phase.WELL,), _restart),
    (Phase.FAULTY, Signal.POWER_LOST): _R((Phase.FAULTY,), _restart),
    (Phase.MENDING, Signal.POWER_LOST): _R((Phase.MENDING,), _restart),
}

TABLE: Table[Phase, Signal, Fault, Event, Do] = Table(
    name="faulting", phases=Phase, signals=Signal, rules=_RULES, refused=frozenset()
)


def step(fault: Fault, signal: Signal) -> Decision:
    """Decide one minute."""
    return TABLE.step(fault.phase, signal, fault, Event(signal))


if __name__ == "__main__":
    print(TABLE.mermaid())
