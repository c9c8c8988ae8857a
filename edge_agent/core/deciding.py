"""What a unit's complete minute means: the faults that are seen, the episode that opens, lasts or is over,
and what of it is told. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from edge_agent.core import faulting, watching
from edge_agent.core.faulting import Fault
from edge_agent.core.faults import Hours, drifting, spiking, stuck, swelling
from edge_agent.core.judging import Judgement
from edge_agent.core.post import Due, Post, UnitState
from edge_agent.core.watching import Say, Signal
from edge_agent.core.words import fitting
from wire_contract.messages import Verdict
from wire_contract.verdict_kinds import RULE, FaultCode, VerdictKind, fault_reason

UNSURE_MINUTES = 30  # a model that is not sure for half an hour does not know this street

REPLACED = "another unit took its place"
# Unplugging is the sensor loop's own condition.
CONDITIONS: Mapping[FaultCode, str] = MappingProxyType(
    {
        FaultCode.SPIKE: "sensor_spiking",
        FaultCode.FLAT_LINE: "sensor_stuck",
        FaultCode.HUMIDITY_SWELL: "sensor_humid",
        FaultCode.DRIFT: "sensor_drifting",
    }
)
# How sure a fault is: what cannot be otherwise, and what only looks like it.
CONFIDENCE: Mapping[FaultCode, float] = MappingProxyType(
    {
        FaultCode.SPIKE: 0.9,
        FaultCode.FLAT_LINE: 0.99,
        FaultCode.HUMIDITY_SWELL: 0.8,
        FaultCode.DRIFT: 0.7,
        FaultCode.UNPLUGGED: 1.0,
    }
)


@dataclass(frozen=True)
class Raise:
    code: str
    subject: str
    detail: str


@dataclass(frozen=True)
class Clear:
    code: str
    subject: str


Told = Verdict | Raise | Clear


def decide(post: Post, due: Due, judgement: Judgement | None) -> tuple[Post, tuple[Told, ...]]:
    """`judgement`: None where there was no window to judge."""
    state = post.units[due.unit]
    if due.replaced:
        return post.without(due.unit), _ended(state, due)
    seen, state = _evidence(post, state, due)
    state, told = _faults(state, due, seen, judgement)
    signal = _signal(state, judgement)
    watch, says = watching.step(state.watch, signal, due.end_ms)
    told += tuple(_episode(state, due, say, signal, judgement) for say in says)
    state, unsure = _unsure(replace(state, watch=watch), judgement)
    return post.with_unit(due.unit, state), told + unsure


def _ended(state: UnitState, due: Due) -> tuple[Told, ...]:
    """What was told of a unit is over where another took its place: it says nothing any more, and nobody
    else clears what stands on its sensor."""
    told: list[Told] = []
    for code in (code for code, fault in state.faults.items() if fault.holds):
        reason = fault_reason(code, REPLACED)
        told.append(
            Verdict(due.end_ms, due.unit, VerdictKind.FAULT_OVER, 0.0, CONFIDENCE[code], reason, RULE, b"")
        )
        if code in CONDITIONS:
            told.append(Clear(CONDITIONS[code], state.seen.sensor))
    if state.watch.open:
        told.append(Verdict(due.end_ms, due.unit, VerdictKind.EPISODE_OVER, 0.0, 1.0, REPLACED, RULE, b""))
    if state.unsure >= UNSURE_MINUTES:
        told.append(Clear("model_unsure", state.seen.sensor))
    return tuple(told)


def _evidence(post: Post, state: UnitState, due: Due) -> tuple[dict[FaultCode, str | None], UnitState]:
    """Fault -> words where it is seen, "" where it is not, None where nothing is known; and the state with
    what a swell is measured against."""
    unplugged = "its port is gone" if state.seen.sensor in post.lost else ""
    if due.blind:
        return {**dict.fromkeys(CONDITIONS), FaultCode.UNPLUGGED: unplugged}, state
    swell, swollen = swelling(state.swell, state.damp(), due.end_ms)
    parted = _parted(post, due) if state.measures_particles else None
    return {
        FaultCode.SPIKE: spiking(state.spikes, due.end_ms),
        FaultCode.FLAT_LINE: stuck(state.flat, state.seen.kind),
        FaultCode.HUMIDITY_SWELL: swollen,
        FaultCode.DRIFT: parted,
        FaultCode.UNPLUGGED: unplugged,
    }, replace(state, swell=swell)


def _parted(post: Post, due: Due) -> str:
    hours: dict[int, Hours] = {
        unit: state.hours for unit, state in post.units.items() if state.measures_particles
    }
    return drifting(hours, due.end_ms).get(due.unit, "") if len(hours) > 1 else ""


def _faults(
    state: UnitState, due: Due, seen: Mapping[FaultCode, str | None], judgement: Judgement | None
) -> tuple[UnitState, tuple[Told, ...]]:
    told: list[Told] = []
    faults = dict(state.faults)
    for code, words in seen.items():
        signal = faulting.Signal.SEEN if words else faulting.Signal.UNSEEN
        if words is None:
            signal = faulting.Signal.TIMED_OUT
        faults[code], actions = faulting.step(faults.get(code, Fault(code)), signal)
        for action in actions:
            over = action is faulting.Do.TELL_OVER
            kind = VerdictKind.FAULT_OVER if over else VerdictKind.FAULT
            reason = fault_reason(code, "over" if over else words or "")
            input_hash = judgement.input_hash if judgement else b""
            score = 0.0 if over else 1.0
            told.append(
                Verdict(due.end_ms, due.unit, kind, score, CONFIDENCE[code], reason, RULE, input_hash)
            )
        if code in CONDITIONS:
            told += _condition(state.faults.get(code, Fault(code)), faults[code], state.seen.sensor, words)
    kept = {code: fault for code, fault in faults.items() if fault.suspected}
    return replace(state, faults=kept), tuple(told)


def _condition(before: Fault, after: Fault, sensor: str, words: str | None) -> tuple[Told, ...]:
    code = CONDITIONS[after.code]
    if before.holds and not after.holds:
        return (Clear(code, sensor),)
    return (Raise(code, sensor, words),) if after.holds and words else ()


def _signal(state: UnitState, judgement: Judgement | None) -> Signal:
    """A fault that holds ends an episode; one that is suspected opens none."""
    if state.faulty:
        return Signal.FAULTY
    if judgement is None:
        return Signal.TIMED_OUT
    suspected = any(fault.suspected for fault in state.faults.values())
    return Signal.BETWEEN if suspected and judgement.signal is Signal.HIGH else judgement.signal


def _episode(state: UnitState, due: Due, say: Say, signal: Signal, judgement: Judgement | None) -> Verdict:
    kind = VerdictKind.EPISODE if say is Say.EPISODE else VerdictKind.EPISODE_OVER
    score, confidence, model, input_hash = 0.0, 1.0, RULE, b""
    reason = "nothing is known any more"
    if judgement is not None:
        score, confidence, model = judgement.score, judgement.confidence, judgement.model
        reason, input_hash = judgement.reason, judgement.input_hash
    if signal is Signal.FAULTY:
        faults = ", ".join(code.value for code, fault in state.faults.items() if fault.holds)
        reason = f"the sensor has a fault: {faults}"
    return Verdict(due.end_ms, due.unit, kind, score, confidence, fitting(reason), model, input_hash)


def _unsure(state: UnitState, judgement: Judgement | None) -> tuple[UnitState, tuple[Told, ...]]:
    if judgement is None:
        return state, ()
    if not judgement.unsure:
        cleared = (Clear("model_unsure", state.seen.sensor),) if state.unsure >= UNSURE_MINUTES else ()
        return replace(state, unsure=0), cleared
    state = replace(state, unsure=state.unsure + 1)
    if state.unsure != UNSURE_MINUTES:
        return state, ()
    detail = f"the model was not sure for {UNSURE_MINUTES} min"
    return state, (Raise("model_unsure", state.seen.sensor, detail),)
