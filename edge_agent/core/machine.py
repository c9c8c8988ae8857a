"""A state machine as one table: complete by test, drawn by `mermaid`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import product
from typing import Generic, TypeVar

Phase = TypeVar("Phase", bound=StrEnum)
Signal = TypeVar("Signal", bound=StrEnum)
State = TypeVar("State")
Event = TypeVar("Event")
Action = TypeVar("Action")


class RefusedEvent(Exception):
    """Our fault: an event that cannot happen in this phase was given."""


@dataclass(frozen=True)
class Rule(Generic[Phase, State, Event, Action]):
    """What one (phase, signal) pair does: the phases it may end in, and the function that decides."""

    to: tuple[Phase, ...]
    do: Callable[[State, Event], tuple[State, tuple[Action, ...]]]


@dataclass(frozen=True)
class Table(Generic[Phase, Signal, State, Event, Action]):
    """All pairs of a machine: those in `rules`, and those `refused` because they cannot happen."""

    name: str
    phases: type[Phase]
    signals: type[Signal]
    rules: Mapping[tuple[Phase, Signal], Rule[Phase, State, Event, Action]]
    refused: frozenset[tuple[Phase, Signal]]

    def step(
        self, phase: Phase, signal: Signal, state: State, event: Event
    ) -> tuple[State, tuple[Action, ...]]:
        """Decide one event. Raises RefusedEvent for a refused pair."""
        rule = self.rules.get((phase, signal))
        if rule is None:
            raise RefusedEvent(f"{self.name}: {signal} in {phase}")
        return rule.do(state, event)

    def unlisted(self) -> set[tuple[Phase, Signal]]:
        """Pairs that are neither ruled nor refused; empty in a complete table."""
        return set(product(self.phases, self.signals)) - set(self.rules) - self.refused

    def contradictions(self) -> set[tuple[Phase, Signal]]:
        """Pairs that are both ruled and refused; empty in a sane table."""
        return set(self.rules) & self.refused

    def mermaid(self) -> str:
        """The table as a Mermaid state diagram: one arrow per pair of phases, its signals on it."""
        arrows: dict[tuple[str, str], list[str]] = {}
        for (phase, signal), rule in self.rules.items():
            for target in rule.to:
                arrows.setdefault((phase.value, target.value), []).append(signal.value)
        first = next(iter(self.phases)).value
        lines = ["stateDiagram-v2", f"    [*] --> {first}"]
        lines += [f"    {a} --> {b}: {', '.join(signals)}" for (a, b), signals in arrows.items()]
        return "\n".join(lines)
